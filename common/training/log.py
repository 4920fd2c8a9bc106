"""The log of a run: a CSV table that grows with whatever is measured, and the same for TensorBoard."""

import csv
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor
from torch.optim import Optimizer

from common.errors import InputError
from common.switches import reads_switches
from common.training.run_folder import RunFolder
from common.writing import write_csv


class Table:
    """A CSV file that grows by rows, and by columns: a new name gets a column, empty in the rows above.

    Args:
        path: the file; it appears with the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []

    def clear(self) -> None:
        """Start anew."""
        self.path.unlink(missing_ok=True)
        self.columns = []

    def resume(self, step: int) -> dict[str, str]:
        """Go on below the rows up to ``step``; later ones, of a run that was killed, go. Returns the last row kept.

        Raises:
            InputError: the file is no such table.
        """
        rows = [row for row in self._rows() if int(row["step"]) <= step]
        self.clear()
        if not rows:
            return {}
        self.columns = list(rows[0])
        write_csv(rows, self.path)
        return rows[-1]

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row."""
        new = [name for name in row if name not in self.columns]
        if new:
            earlier = self._rows()
            self.columns += new
            write_csv([{name: line.get(name, "") for name in self.columns} for line in (*earlier, row)], self.path)
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerow(row)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        if any(None in row or None in row.values() or not str(row.get("step")).isdigit() for row in rows):
            raise InputError(f"{self.path}: expected the log of a run, a row of whole columns for each step")
        return rows


class Clock:
    """Seconds of a run over all its parts.

    Args:
        now: reads the time.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now, self.began, self.before = now, now(), 0.0

    def start(self, before: float) -> None:
        """Start, after so many seconds of earlier parts."""
        self.began, self.before = self.now(), before

    def read(self) -> float:
        """Return the seconds."""
        return self.before + self.now() - self.began


@reads_switches
class TrainingLog:
    """Handler: a row every ``interval`` steps with step, epoch, seconds, rate and the mean of each term.

    ``cpu_seconds`` is what the process computed, on all its cores: what runs on a shared machine are compared by.
    Columns follow the terms that appear. A term that only some steps have is averaged over those.

    Args:
        folder: where the log lies; process 0 writes for TensorBoard too.
        interval: steps between two rows.
        optimizer: whose learning rate (of its first group) is written.
    """

    def __init__(self, folder: RunFolder, interval: int = 10, optimizer: Optimizer | None = None) -> None:
        self.folder, self.interval, self.optimizer = folder, interval, optimizer
        self.table = Table(folder.log)
        self.values: dict[str, list[float]] = {}
        self.clocks = {"seconds": Clock(time.monotonic), "cpu_seconds": Clock(time.process_time)}
        self.writer: Any = None

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, lambda _: self.writer and self.writer.close())

    def start(self, engine: Engine) -> None:
        """Open the table; a resumed run goes on below the rows that it had written."""
        step = engine.state.iteration
        last = self.table.resume(step) if step > 0 else {}
        if step == 0:
            self.table.clear()
        for name, clock in self.clocks.items():
            clock.start(float(last.get(name) or 0.0))
        if self.folder.writes:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder.tensorboard), purge_step=step + 1 if step else None)

    def collect(self, engine: Engine) -> None:
        """Take in a step's terms; write a row when the interval is full."""
        output: Any = engine.state.output
        for name, value in output.items():
            self.values.setdefault(name, []).append(value)
        if engine.state.iteration % self.interval == 0:
            self._write(engine)

    def note(self, engine: Engine, scores: Mapping[str, float]) -> None:
        """Write a row of its own for the scores of a validation."""
        self._write(engine, {name: f"{value:.5f}" for name, value in scores.items()})

    def picture(self, engine: Engine, name: str, image: Tensor) -> None:
        """Send a grey picture (H, W) in [0, 1] to TensorBoard."""
        if self.writer is not None:
            self.writer.add_image(name, image[None].clamp(0, 1), engine.state.iteration)

    def _write(self, engine: Engine, notes: Mapping[str, str] | None = None) -> None:
        means = {name: f"{sum(values) / len(values):.6g}" for name, values in self.values.items()}
        if self.optimizer is not None:
            means["rate"] = f"{self.optimizer.param_groups[0]['lr']:.3g}"
        means |= notes or {}
        place = {"step": engine.state.iteration, "epoch": engine.state.epoch}
        times = {name: f"{clock.read():.1f}" for name, clock in self.clocks.items()}
        self.table.append({**place, **times, **means})
        if self.writer is not None:
            for name, value in means.items():
                self.writer.add_scalar(name, float(value), engine.state.iteration)
        self.values = {}
