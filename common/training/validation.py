"""Validation during training: score the network, keep the best weights, stop when nothing gets better."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from torch import Tensor, nn

from common.metrics import dice_per_structure
from common.spatial import warp
from common.switches import reads_switches
from common.training.log import TrainingLog
from common.training.overview import overview
from common.training.run_folder import RunFolder
from common.training.weights import save
from common.writing import save_json

logger = logging.getLogger(__name__)


@reads_switches
class Validation:
    """Handler: run the evaluator every ``interval`` epochs; keep the weights with the best key metric.

    Writes ``best.pt`` (plain float32 state dict) and ``best.json`` (metric, epoch, step) in the run's folder.

    Args:
        evaluator: MONAI's evaluator with a key metric.
        interval: epochs between two validations.
        network: whose weights are kept.
        folder: where to.
        log: gets the score, and a picture of the last pair.
        patience: with a number above 0, the run stops after so many validations without improvement.
    """

    def __init__(
        self,
        evaluator: Any,
        interval: int,
        network: nn.Module,
        folder: RunFolder,
        log: TrainingLog | None = None,
        patience: int = 0,
    ) -> None:
        self.evaluator, self.interval, self.network = evaluator, interval, network
        self.folder, self.log, self.patience = folder, log, patience
        self.best, self.best_epoch, self.waited = -math.inf, 0, 0

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.validate)
        engine.add_event_handler(Events.COMPLETED, lambda _: self.sum_up())

    def validate(self, engine: Engine) -> None:
        """Score the network; save it if it is better than ever."""
        self.evaluator.run(engine.state.epoch)
        name = self.evaluator.state.key_metric_name
        score = float(self.evaluator.state.metrics[name])
        self._tell(engine, name, score)
        if score > self.best:
            self.best, self.best_epoch, self.waited = score, engine.state.epoch, 0
            if self.folder.writes:
                save(self.network.state_dict(), self.folder.best)
                facts = {name: score, "epoch": engine.state.epoch, "step": engine.state.iteration}
                save_json(facts, self.folder.best_facts)
        else:
            self.waited += 1
            if self.patience and self.waited >= self.patience:
                engine.terminate()

    def sum_up(self) -> None:
        """Say what the run has come to."""
        if self.folder.writes and self.best_epoch:
            logger.info("best score %.4f in epoch %d: %s", self.best, self.best_epoch, self.folder.best)

    def _tell(self, engine: Engine, name: str, score: float) -> None:
        if self.folder.writes:
            logger.info("epoch %d: %s %.4f (best so far %.4f)", engine.state.epoch, name, score, max(score, self.best))
        if self.log is None:
            return
        metrics = self.evaluator.state.metrics.items()  # ignite keeps a metric of several numbers whole as well
        self.log.note(engine, {name: float(value) for name, value in metrics if not isinstance(value, Mapping)})
        output = self.evaluator.state.output
        if isinstance(output, dict) and "pred" in output:
            self.log.picture(engine, "moving, fixed, moved, difference", overview(output["image"], output["pred"]))

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed run needs."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the best score of the run that is resumed."""
        self.best, self.best_epoch, self.waited = state["best"], state["best_epoch"], state["waited"]


class WarpedDice(Metric):
    """Ignite metric: mean over pairs and classes of the Dice of nearest-neighbour warped labels.

    Expects ``(ddf, labels)``: (B, 3, X, Y, Z) and (B, 2, X, Y, Z) with the moving label map first. A class that is in
    neither map of a pair is left out.
    """

    def __init__(self, classes: Sequence[int], **arguments: Any) -> None:
        self.classes = list(classes)
        super().__init__(**arguments)

    def reset(self) -> None:
        """Forget all pairs."""
        self.rows: list[list[float]] = []

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Score one batch."""
        ddf, labels = (torch.as_tensor(part) for part in output)
        moved = warp(labels[:, :1].float(), ddf.float(), mode="nearest").round().long().cpu().numpy()
        fixed = labels[:, 1].long().cpu().numpy()
        for b in range(len(moved)):
            self.rows.append(list(dice_per_structure(fixed[b], moved[b, 0], self.classes).values()))

    def compute(self) -> float:
        """Return the mean Dice."""
        if not self.rows:
            raise NotComputableError("WarpedDice expects at least one pair, got none")
        return float(torch.tensor(self.rows, dtype=torch.float64).nanmean())
