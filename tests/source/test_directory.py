"""A folder on disk, read like a commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired.repository import Assembler
from reconciler.errors import Terminal
from reconciler.source.directory import DirectorySnapshot, read_directory
from tests.desired.world import PIPELINE, commit, model

TRAINED = "training: {kubeflowPipeline: {package: p.yaml}}"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def messages(snapshot: DirectorySnapshot) -> list[tuple[str, str]]:
    return [(d.path, d.message) for d in Assembler().assemble(commit(), snapshot, {}).diagnostics]


def test_folder_is_the_root_of_its_documents(tmp_path: Path) -> None:
    write(tmp_path, {"models/a.yaml": model("a", TRAINED), "p.yaml": PIPELINE, "notes.txt": "x", ".git/x.yaml": "x"})
    snapshot = read_directory([tmp_path])
    assert [file.path for file in snapshot.documents] == ["models/a.yaml", "p.yaml"]
    assert messages(snapshot) == []


def test_single_file_counts_paths_from_the_repository(tmp_path: Path) -> None:
    write(tmp_path, {".git/HEAD": "", "models/a.yaml": model("a", TRAINED), "p.yaml": PIPELINE})
    snapshot = read_directory([tmp_path / "models" / "a.yaml"])
    assert snapshot.root == tmp_path
    assert [file.path for file in snapshot.documents] == ["models/a.yaml"]
    assert messages(snapshot) == []


def test_root_can_be_named(tmp_path: Path) -> None:
    write(tmp_path, {"models/a.yaml": model("a", TRAINED), "p.yaml": PIPELINE})
    assert messages(read_directory([tmp_path / "models"], root=tmp_path)) == []
    assert messages(read_directory([tmp_path / "models"])) == [("models/a.yaml"[7:], "there is no file p.yaml")]


def test_links_and_folders_with_their_own_repository_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": model("a"), "sub/.git/HEAD": "", "sub/b.yaml": model("b")})
    (tmp_path / "evil.yaml").symlink_to("/etc/passwd")
    (tmp_path / "loop.yaml").symlink_to(tmp_path)
    (tmp_path / "loop").symlink_to(tmp_path)
    snapshot = read_directory([tmp_path])
    assert [file.path for file in snapshot.documents] == ["a.yaml"]
    link = "a symbolic link; links are not followed"
    assert messages(snapshot) == [("evil.yaml", link), ("loop.yaml", link)]


@pytest.mark.parametrize("named", ["link", "loop/p.yaml", "sub/p.yaml"])
def test_named_files_are_not_reached_through_links_or_submodules(tmp_path: Path, named: str) -> None:
    write(tmp_path, {"a.yaml": model("a", TRAINED.replace("p.yaml", named)), "p.yaml": PIPELINE, "sub/.git/HEAD": ""})
    write(tmp_path, {"sub/p.yaml": PIPELINE})
    (tmp_path / "link").symlink_to("p.yaml")
    (tmp_path / "loop").symlink_to(".")
    ((path, message),) = messages(read_directory([tmp_path]))
    assert path == "a.yaml"
    assert "is a s" in message


def test_file_above_the_limit_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": "#" * (2**20 + 1), "b.yaml": model("b")})
    snapshot = read_directory([tmp_path])
    assert list(Assembler().assemble(commit(), snapshot, {}).models) == ["b"]
    ((path, message),) = messages(snapshot)
    assert (path, "1,048,577 bytes" in message) == ("a.yaml", True)


def test_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Terminal, match="there is no file or folder"):
        read_directory([tmp_path / "none"])


def test_file_outside_the_root_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"a/a.yaml": model("a"), "b/b.yaml": model("b")})
    with pytest.raises(Terminal, match="lies outside the repository's root"):
        read_directory([tmp_path / "a" / "a.yaml"], root=tmp_path / "b")
