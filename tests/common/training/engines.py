"""Small engines for the tests of handlers."""

from collections.abc import Iterable

from ignite.engine import Engine


class Evaluator:
    """Gives out scores in turn."""

    def __init__(self, scores: Iterable[float]) -> None:
        self.scores = iter(scores)
        self.state = type("State", (), {"metrics": {}, "key_metric_name": "val_dice", "output": None})()

    def run(self, epoch: int) -> None:
        """Score an epoch."""
        self.state.metrics = {"val_dice": next(self.scores)}


def engine(*further: str) -> Engine:
    """A run whose loss is the batch; further terms are three times the batch, for batches above 2 only."""

    def step(engine: Engine, batch: float) -> dict[str, float]:
        terms = dict.fromkeys(further, 3.0 * batch) if batch > 2 else {}
        return {"loss": float(batch), "smooth": 2.0 * batch, **terms}

    return Engine(step)
