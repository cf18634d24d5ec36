"""The storage initializer: brings what a storageUri names into a local directory."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

_TIMEOUT_SECONDS = 60.0


class StorageError(Exception):
    """The model could not be fetched; the text is the init container's termination message."""


def fetch(uri: str, target: Path) -> Path:
    """Copy or download a model and return the directory to load it from.

    `file://` and plain paths name a directory or a file here; `http(s)://` names one file, unpacked
    when it is a zip or tar archive. Everything else needs credentials, which this stand-in has none of.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        _download(uri, target)
    elif parts.scheme == "file" or "://" not in uri:
        _copy(Path(unquote(parts.path)) if parts.scheme == "file" else Path(uri), uri, target)
    else:
        raise StorageError(
            f"Failed to fetch model. No model found in {uri}. "
            "(The embedded KServe fetches file://, http:// and https:// only.)"
        )
    return target


def _copy(source: Path, uri: str, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        shutil.copy2(source, target)
    else:
        raise StorageError(f"Local path {uri} does not exist.")


def _download(uri: str, target: Path) -> None:
    name = Path(urlsplit(uri).path).name
    if not name:
        raise StorageError(f"No filename contained in URI: {uri}")
    file = target / name
    try:
        with httpx.stream("GET", uri, timeout=_TIMEOUT_SECONDS, follow_redirects=True) as answer:
            if answer.status_code != 200:
                raise StorageError(f"URI: {uri} returned a {answer.status_code} response code.")
            with file.open("wb") as out:
                for chunk in answer.iter_bytes():
                    out.write(chunk)
    except httpx.HTTPError as error:
        raise StorageError(f"Failed to fetch model. {uri}: {error}") from error
    _unpack(file, target)


def _unpack(file: Path, target: Path) -> None:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            archive.extractall(target)  # noqa: S202  zipfile strips absolute paths and ".."
    elif tarfile.is_tarfile(file):
        with tarfile.open(file) as archive:
            archive.extractall(target, filter="data")
    else:
        return
    file.unlink()
