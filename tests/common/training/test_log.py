import csv
from pathlib import Path

import pytest
from ignite.engine import Engine, Events

from common.errors import InputError
from common.training.log import TrainingLog
from common.training.run_folder import RunFolder
from tests.common.training.engines import engine


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run_with_log(path: Path, batches: list[float], *further: str, begin: int = 0, interval: int = 1) -> Engine:
    run = engine(*further)
    if begin:  # as a checkpoint does it
        run.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "iteration", begin))
        run.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "epoch", 1))
    log = TrainingLog(RunFolder(str(path)), interval)
    log.attach(run)
    run.run(batches, max_epochs=2 if begin else 1)
    log.note(run, {"val_dice": 0.5, "val folds": 0.25})
    return run


def test_rows_hold_means_and_scores_and_go_to_tensorboard(tmp_path: Path) -> None:
    run_with_log(tmp_path, [1.0, 2.0, 3.0, 5.0], interval=2)
    rows = rows_of(tmp_path / "log.csv")
    assert [row["loss"] for row in rows] == ["1.5", "4", ""]
    assert [row["step"] for row in rows] == ["2", "4", "4"]
    assert rows[1]["smooth"] == "8" and rows[2]["val_dice"] == "0.50000" and rows[2]["val folds"] == "0.25000"
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_term_that_appears_later_gets_a_column_and_its_own_mean(tmp_path: Path) -> None:
    run_with_log(tmp_path, [1.0, 2.0, 2.0, 4.0], "warmth", interval=2)
    rows = rows_of(tmp_path / "log.csv")
    assert list(rows[0]) == [
        "step",
        "epoch",
        "seconds",
        "cpu_seconds",
        "loss",
        "smooth",
        "warmth",
        "val_dice",
        "val folds",
    ]
    assert [row["warmth"] for row in rows] == ["", "12", ""]  # of the one step that has it
    assert [row["loss"] for row in rows] == ["1.5", "3", ""]


@pytest.mark.parametrize(
    ("before", "after", "columns"),
    [
        ([], [], []),
        ([], ["warmth"], ["warmth"]),
        (["warmth"], [], ["warmth"]),
        (["warmth"], ["field"], ["warmth", "field"]),
    ],
)
def test_a_resumed_log_keeps_its_rows_and_takes_other_columns(
    tmp_path: Path, before: list[str], after: list[str], columns: list[str]
) -> None:
    run_with_log(tmp_path, [3.0, 4.0], *before)
    first = rows_of(tmp_path / "log.csv")
    run_with_log(tmp_path, [5.0, 6.0], *after, begin=2)
    rows = rows_of(tmp_path / "log.csv")
    assert [row["step"] for row in rows] == ["1", "2", "2", "3", "4", "4"]
    assert set(rows[0]) == {
        "step",
        "epoch",
        "seconds",
        "cpu_seconds",
        "loss",
        "smooth",
        "val_dice",
        "val folds",
        *columns,
    }
    for old, row in zip(first, rows, strict=False):
        assert {name: row[name] for name in old} == old
    assert [[row.get(name, "") for row in rows if row["loss"]] for name in columns] == [
        [str(3 * loss) if name in (before if loss < 5 else after) else "" for loss in (3, 4, 5, 6)] for name in columns
    ]
    for clock in ("seconds", "cpu_seconds"):
        assert float(rows[3][clock]) >= float(first[-1][clock])


def test_rows_of_a_killed_run_behind_its_checkpoint_go(tmp_path: Path) -> None:
    run_with_log(tmp_path, [3.0, 4.0, 9.0, 9.0])
    run_with_log(tmp_path, [3.0, 5.0], begin=2)
    assert [row["loss"] for row in rows_of(tmp_path / "log.csv")] == ["3", "4", "3", "5", ""]


def test_a_new_run_starts_a_new_log(tmp_path: Path) -> None:
    run_with_log(tmp_path, [3.0, 4.0], "warmth")
    run_with_log(tmp_path, [1.0])
    rows = rows_of(tmp_path / "log.csv")
    assert [row["loss"] for row in rows] == ["1", ""] and "warmth" not in rows[0]


@pytest.mark.parametrize("text", ["step,loss\n1,2,3\n", "step,loss\n1\n", "loss\n1\n", "step,loss\none,2\n"])
def test_a_file_that_is_no_log_is_not_gone_on_with(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(InputError, match=r"log\.csv: expected the log of a run"):
        run_with_log(tmp_path, [1.0], begin=1)
    assert (tmp_path / "log.csv").read_text() == text


def test_other_processes_keep_a_log_of_their_own(tmp_path: Path) -> None:
    run = engine()
    TrainingLog(RunFolder(str(tmp_path), rank=1), 1).attach(run)
    run.run([1.0], max_epochs=1)
    assert [file.name for file in tmp_path.iterdir()] == ["log_rank1.csv"]
