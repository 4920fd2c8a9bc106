from pathlib import Path

import pytest

from common.errors import InputError
from common.training.run_folder import RunFolder

FILES = ("log.csv", "log_rank1.csv", "last.pt", "best.pt", "best.json")


def used(folder: Path, *names: str) -> Path:
    """A folder with the files of a run, and one of the user's."""
    (folder / "tensorboard").mkdir(parents=True)
    for name in (*names, "notes.txt", "tensorboard/events.out.tfevents.1", "tensorboard/mine.txt"):
        (folder / name).write_text("old")
    return folder


def left(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_a_folder_with_weights_of_another_run_is_refused(tmp_path: Path) -> None:
    folder = used(tmp_path, *FILES)
    before = left(folder)
    with pytest.raises(InputError) as caught:
        RunFolder(str(folder)).claim()
    assert str(caught.value) == (
        f"{folder}: holds last.pt and best.pt of another run: go on with it (--resume true), "
        "replace it (--overwrite true), or name another --ckpt_dir"
    )
    with pytest.raises(InputError, match="expected RunFolder's overwrite to be true or false"):
        RunFolder(str(folder), overwrite="perhaps")  # type: ignore[arg-type]
    assert left(folder) == before


@pytest.mark.parametrize("overwrite", [True, "true"])
def test_overwriting_removes_all_files_of_the_run_and_no_other(tmp_path: Path, overwrite: bool) -> None:
    folder = used(tmp_path, *FILES)
    RunFolder(str(folder), overwrite=overwrite).claim()
    assert left(folder) == {"notes.txt", "tensorboard/mine.txt"}


def test_what_a_run_without_weights_left_behind_goes(tmp_path: Path) -> None:
    folder = used(tmp_path, "log.csv")
    RunFolder(str(folder)).claim()
    assert left(folder) == {"notes.txt", "tensorboard/mine.txt"}


def test_a_resumed_run_keeps_everything_and_needs_a_checkpoint(tmp_path: Path) -> None:
    folder = used(tmp_path / "used", *FILES)
    before = left(folder)
    RunFolder(str(folder), resume=True, overwrite=True).claim()
    assert left(folder) == before
    with pytest.raises(InputError, match=r"last\.pt: expected the checkpoint of a run to resume, found none"):
        RunFolder(str(tmp_path / "none"), resume=True).claim()


def test_only_the_first_process_decides(tmp_path: Path) -> None:
    folder = used(tmp_path, *FILES)
    before = left(folder)
    RunFolder(str(folder), rank=1).claim()
    assert left(folder) == before
    RunFolder(str(tmp_path / "none")).claim()
    assert not (tmp_path / "none").exists()
