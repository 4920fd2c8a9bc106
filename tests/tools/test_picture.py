"""The picture command: it says what it wrote."""

from pathlib import Path

import pytest

from tools import picture as command


def test_it_says_what_it_wrote(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(command, "draw_registration", lambda *paths: Path("/").joinpath(*paths))
    command.picture("fixed.nii.gz", "moving.nii.gz", "result")
    assert capsys.readouterr().out == "written: /fixed.nii.gz/moving.nii.gz/result/registration.png\n"
