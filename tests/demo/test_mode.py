"""A demo keeps the mode of KServe that it began in."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.demo.main import keep_mode
from reconciler.demo.repository import DemoRepository, Mode
from reconciler.errors import Refused


@pytest.mark.parametrize(("begun", "asked"), [("Knative", "Standard"), ("Standard", "Knative")])
def test_another_mode_is_refused(begun: Mode, asked: Mode, tmp_path: Path) -> None:
    keep_mode(tmp_path, begun)
    DemoRepository.open(tmp_path / "repo")
    keep_mode(tmp_path, begun)
    with pytest.raises(Refused, match=f"holds a demo in {begun} mode"):
        keep_mode(tmp_path, asked)


def test_a_demo_of_before_there_were_two_is_in_knative_mode(tmp_path: Path) -> None:
    DemoRepository.open(tmp_path / "repo")
    with pytest.raises(Refused, match="in Knative mode"):
        keep_mode(tmp_path, "Standard")
    keep_mode(tmp_path, "Knative")


def test_what_was_reset_may_begin_in_another(tmp_path: Path) -> None:
    keep_mode(tmp_path, "Knative")
    keep_mode(tmp_path, "Standard")
    assert (tmp_path / "mode").read_text(encoding="utf-8") == "Standard"


def test_every_model_is_served_in_the_mode(tmp_path: Path) -> None:
    repository = DemoRepository.open(tmp_path / "repo")
    modes: tuple[Mode, ...] = ("Standard", "Knative")
    for mode in modes:
        repository.serve_in(mode)
        for model in ("iris", "diabetes"):
            text = (repository.folder / "models" / f"{model}.yaml").read_text(encoding="utf-8")
            assert f"    mode: {mode}\n" in text
    assert repository.git("status", "--porcelain") == ""
