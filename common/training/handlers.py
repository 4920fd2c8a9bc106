"""What happens around a step: log, progress bar, checkpoints, schedule, time limit. Each has MONAI's ``attach``."""

import csv
import json
import logging
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.optim import Optimizer

from common.errors import InputError
from common.spatial import warp

logger = logging.getLogger(__name__)


def save_atomically(value: Any, path: Path) -> None:
    """Save with ``torch.save`` so that the file is either the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    torch.save(value, partial)
    os.replace(partial, path)


def half_precision(state: dict[str, torch.Tensor], eight_bit: str = "") -> dict[str, torch.Tensor]:
    """Return a state dict whose floating-point tensors are float16, as ``models/model.pt`` holds it.

    Args:
        state: any state dict.
        eight_bit: regular expression; tensors whose names match it from the start become float8 (e4m3: 3 % relative
            error, worst below 0.016) where a file would be too large. Loading turns them into the network's type.
    """

    def smaller(name: str, value: torch.Tensor) -> torch.Tensor:
        if not value.is_floating_point():
            return value
        return value.to(torch.float8_e4m3fn) if eight_bit and re.match(eight_bit, name) else value.half()

    return {name: smaller(name, value) for name, value in state.items()}


class EpochSeed:
    """Tell the sampler which epoch comes, so that items go on where a resumed run stopped."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.STARTED, lambda e: self.sampler.set_epoch(e.state.epoch))
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: self.sampler.set_epoch(e.state.epoch))


class PolynomialRate:
    """Learning rate ``base * (1 - epoch / epochs) ** power`` with the epoch counted from 0; power 0 is constant.

    The rate is a function of the epoch alone, so that nothing has to be stored to resume. ``warmup_steps`` raises it
    linearly over the first steps. A parameter group's ``rate_factor`` (see ``parameter_groups``) multiplies its rate.
    """

    def __init__(self, optimizer: Optimizer, base: float, power: float, epochs: int, warmup_steps: int = 0) -> None:
        self.optimizer, self.base, self.power = optimizer, base, power
        self.epochs, self.warmup_steps = epochs, warmup_steps

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self.update)

    def rate(self, epoch: int, step: int) -> float:
        """Return the rate of ``step`` (from 1) in ``epoch`` (from 1)."""
        decay = max(0.0, 1.0 - (epoch - 1) / self.epochs) ** self.power if self.power > 0 else 1.0
        return self.base * decay * min(1.0, step / max(1, self.warmup_steps))

    def update(self, engine: Engine) -> None:
        """Set the rate of the coming step."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(engine.state.epoch, engine.state.iteration) * group.get("rate_factor", 1.0)


class TrainingLog:
    """Append one row to a CSV file every ``interval`` steps: step, seconds, mean of each term, learning rate.

    ``note(engine, name, value)`` adds a validation score to the next row. With ``writer_dir`` the same goes to
    TensorBoard.
    """

    def __init__(self, path: str, interval: int = 10, optimizer: Optimizer | None = None, writer_dir: str = "") -> None:
        self.path, self.interval, self.optimizer = Path(path), interval, optimizer
        self.sums: dict[str, float] = {}
        self.count, self.extra, self.seconds_before = 0, {}, 0.0  # type: ignore[var-annotated]
        self.writer: Any = None
        self.writer_dir = writer_dir
        self.columns = ["step", "epoch", "seconds", "loss", "image", "label", "smooth", "field"]
        self.columns += ["gradient", "rate", "val_dice"]

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, lambda e: self.writer and self.writer.close())

    def start(self, engine: Engine) -> None:
        """Open the file; a resumed run goes on below the rows that are there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and engine.state.iteration > 0:
            with self.path.open() as file:
                rows = list(csv.DictReader(file))
            self.seconds_before = float(rows[-1]["seconds"]) if rows else 0.0
        else:
            with self.path.open("w", newline="") as file:
                csv.writer(file).writerow(self.columns)
        self.began = time.monotonic()
        if self.writer_dir:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(self.writer_dir)

    def collect(self, engine: Engine) -> None:
        """Add a step's terms; write a row when the interval is full."""
        output: Any = engine.state.output
        for name, value in output.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1
        if engine.state.iteration % self.interval == 0:
            self.write(engine)

    def note(self, engine: Engine, name: str, value: float) -> None:
        """Write a row of its own for a validation score."""
        self.extra[name] = value
        self.write(engine)

    def picture(self, engine: Engine, name: str, image: torch.Tensor) -> None:
        """Send a grey picture (H, W) in [0, 1] to TensorBoard."""
        if self.writer is not None:
            self.writer.add_image(name, image[None].clamp(0, 1), engine.state.iteration)

    def write(self, engine: Engine) -> None:
        """Write one row and start the next mean."""
        row: dict[str, Any] = {name: f"{total / self.count:.6g}" for name, total in self.sums.items()}
        row.update({name: f"{value:.5f}" for name, value in self.extra.items()})
        seconds = self.seconds_before + time.monotonic() - self.began
        row.update(step=engine.state.iteration, epoch=engine.state.epoch, seconds=f"{seconds:.1f}")
        if self.optimizer is not None:
            row["rate"] = f"{self.optimizer.param_groups[0]['lr']:.3g}"
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, extrasaction="ignore").writerow(row)
        if self.writer is not None:
            for name, value in row.items():
                if name not in ("step", "epoch"):
                    self.writer.add_scalar(name, float(value), engine.state.iteration)
        self.sums, self.count, self.extra = {}, 0, {}


class Progress:
    """A progress bar over all steps of the run with the time left and the last loss."""

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        if self.enabled:
            engine.add_event_handler(Events.STARTED, self.start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.advance)
            engine.add_event_handler(Events.COMPLETED, lambda e: self.bar.close())

    def start(self, engine: Engine) -> None:
        """Open the bar at the step where the run begins."""
        from tqdm import tqdm

        total = engine.state.max_epochs * engine.state.epoch_length
        self.bar = tqdm(total=total, initial=engine.state.iteration, unit="step", mininterval=2.0)

    def advance(self, engine: Engine) -> None:
        """Move on by one step."""
        output: Any = engine.state.output
        self.bar.set_postfix(loss=f"{output['loss']:.4f}", refresh=False)
        self.bar.update()


def overview(pair: torch.Tensor, ddf: torch.Tensor) -> torch.Tensor:
    """Put the middle slices of moving, fixed, moved and their absolute difference side by side: (Y, 4 X).

    Args:
        pair: (B, 2, X, Y, Z) in [0, 1]; the first pair is drawn.
        ddf: (B, 3, X, Y, Z) in voxels.
    """
    moving, fixed = (torch.as_tensor(pair[:1, i : i + 1]).float().cpu() for i in range(2))
    moved = warp(moving, torch.as_tensor(ddf[:1]).float().cpu())
    row = [volume[0, 0, :, :, volume.shape[-1] // 2] for volume in (moving, fixed, moved, (moved - fixed).abs())]
    return torch.cat(row).T.flip(0)


class TimeLimit:
    """End the run after so many minutes (0: never), at the end of an epoch, so that nothing is lost."""

    def __init__(self, minutes: float) -> None:
        self.minutes = minutes

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        if self.minutes > 0:
            engine.add_event_handler(Events.STARTED, self.start)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self.check)

    def start(self, engine: Engine) -> None:
        """Start the clock."""
        self.end = time.monotonic() + 60.0 * self.minutes

    def check(self, engine: Engine) -> None:
        """Stop when the time is over."""
        if time.monotonic() > self.end:
            engine.terminate()


class Validation:
    """Run the evaluator every ``interval`` epochs; keep the weights with the best key metric.

    Writes ``best.pt`` (plain float32 state dict) and ``best.json`` (metric, epoch, step) in ``directory``. With
    ``patience`` > 0 the run stops after so many validations without improvement.
    """

    def __init__(
        self,
        evaluator: Any,
        interval: int,
        network: nn.Module,
        directory: str,
        log: TrainingLog | None = None,
        patience: int = 0,
        save: bool = True,
        on_better: Callable[[], None] | None = None,
    ) -> None:
        self.evaluator, self.interval, self.network = evaluator, interval, network
        self.directory, self.log, self.patience, self.save = Path(directory), log, patience, save
        self.best, self.best_epoch, self.waited = -math.inf, 0, 0

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.validate)

    def validate(self, engine: Engine) -> None:
        """Score the network; save it if it is better than ever."""
        self.evaluator.run(engine.state.epoch)
        score = float(self.evaluator.state.metrics[self.evaluator.state.key_metric_name])
        if self.log is not None:
            self.log.note(engine, "val_dice", score)
            output = self.evaluator.state.output
            if isinstance(output, dict) and "pred" in output:
                self.log.picture(engine, "moving, fixed, moved, difference", overview(output["image"], output["pred"]))
        if score > self.best:
            self.best, self.best_epoch, self.waited = score, engine.state.epoch, 0
            if self.save:
                save_atomically(self.network.state_dict(), self.directory / "best.pt")
                facts = {"val_dice": score, "epoch": engine.state.epoch, "step": engine.state.iteration}
                (self.directory / "best.json").write_text(json.dumps(facts, indent=1) + "\n")
        else:
            self.waited += 1
            if self.patience and self.waited >= self.patience:
                engine.terminate()

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed run needs."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the best score of the run that is resumed."""
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]


class Checkpoints:
    """Save everything that a run needs to go on (``last.pt``) at the end of an epoch, and load it at the start.

    Args:
        directory: where ``last.pt`` lies.
        network: whose state dict is stored.
        optimizer: stored too.
        validation: its best score is stored too.
        interval: epochs between two files.
        resume: load ``last.pt`` at the start; the run then goes on bit for bit on one device.
        initial: state dict to start from when nothing is resumed, "" for none.
        partial: take from ``initial`` what fits in name and shape, say of a network that shares parts with this one.
        save: False on all ranks but the first.
    """

    def __init__(
        self,
        directory: str,
        network: nn.Module,
        optimizer: Optimizer,
        validation: Validation | None = None,
        interval: int = 1,
        resume: bool = False,
        initial: str = "",
        partial: bool = False,
        save: bool = True,
    ) -> None:
        self.path, self.network, self.optimizer = Path(directory) / "last.pt", network, optimizer
        self.validation, self.interval, self.resume, self.initial = validation, interval, resume, initial
        self.partial, self.save_enabled = partial, save

    def attach(self, engine: Engine) -> None:
        """Register on the trainer. Attach this handler first: the others start from what it loads.

        Saving is registered when the run starts, behind every other handler, so that a checkpoint holds the result of
        the validation of its epoch.
        """
        engine.add_event_handler(Events.STARTED, self.load)

    def load(self, engine: Engine) -> None:
        """Resume, or load initial weights."""
        if not engine.has_event_handler(self.save):
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.save)
        if self.resume:
            if not self.path.exists():
                raise InputError(f"{self.path}: expected the checkpoint of a run to resume, found none")
            stored = torch.load(self.path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(stored["network"])
            self.optimizer.load_state_dict(stored["optimizer"])
            engine.state.epoch, engine.state.iteration = stored["epoch"], stored["step"]
            if self.validation is not None:
                self.validation.load_state_dict(stored["validation"])
        elif self.initial:
            self.load_initial()

    def load_initial(self) -> None:
        """Load ``initial``: every tensor of it, or with ``partial`` those that fit."""
        mine, found = self.network.state_dict(), read_weights(self.initial)
        fitting = {key: value for key, value in found.items() if key in mine and mine[key].shape == value.shape}
        if not self.partial and (len(fitting) < len(found) or len(fitting) < len(mine)):
            raise InputError(
                f"{self.initial}: {len(fitting)} of {len(mine)} tensors fit this network, expected all "
                "(set initial_partial to start from what fits)"
            )
        self.network.load_state_dict(fitting, strict=False)
        logger.info("started from %d of %d tensors of %s", len(fitting), len(mine), self.initial)

    def save(self, engine: Engine) -> None:
        """Store the run as it stands."""
        if self.save_enabled:
            stored = {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "validation": {} if self.validation is None else self.validation.state_dict(),
                "epoch": engine.state.epoch,
                "step": engine.state.iteration,
            }
            save_atomically(stored, self.path)


def read_weights(path: str) -> dict[str, torch.Tensor]:
    """Read a plain state dict, or the network of a ``last.pt``; half precision becomes float32."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path}: expected a state dict written by torch.save, got: {error}") from error
    state = stored.get("network", stored)
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
