"""The report command: it says what it wrote, and takes images that have moved."""

import pytest

from tools import report as command


def test_it_says_what_it_wrote(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path):
    given = {}
    monkeypatch.setattr(
        command, "write_report", lambda folder, **images: [given.update(images) or folder / "report.html"]
    )
    command.report(tmp_path, moving=tmp_path / "m.nii.gz")
    assert capsys.readouterr().out == f"written: {tmp_path / 'report.html'}\n"
    assert given == {"fixed": None, "moving": tmp_path / "m.nii.gz", "fixed_label": None, "moving_label": None}
