"""The learning rate of each step."""

import time

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from common.switches import reads_switches


@reads_switches
class PolynomialRate:
    """Handler: learning rate ``base * (1 - epoch / epochs) ** power``, the epoch counted from 0; power 0 is constant.

    The rate is a function of the epoch alone, so that nothing has to be stored to resume; in a run of limited time, of
    the epoch or of the share of the time that is over, whichever is further. A parameter group's ``rate_factor`` (see
    ``parameter_groups``) multiplies its rate.

    Args:
        optimizer: whose rate is set.
        base: rate of the first epoch.
        power: of the decay.
        epochs: after so many the rate is zero.
        warmup_steps: the rate rises linearly over the first so many steps.
        minutes: after so many, counted from the start of this process, the rate is zero too; 0 for no limit.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base: float,
        power: float,
        epochs: int,
        warmup_steps: int = 0,
        minutes: float = 0.0,
    ) -> None:
        self.optimizer, self.base, self.power = optimizer, base, power
        self.epochs, self.warmup_steps, self.minutes = epochs, warmup_steps, minutes
        self.began = time.monotonic()

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_STARTED, self.update)

    def start(self, engine: Engine) -> None:
        """Start the clock."""
        self.began = time.monotonic()

    def rate(self, epoch: int, step: int, seconds: float = 0.0) -> float:
        """Return the rate of ``step`` (from 1) in ``epoch`` (from 1), so many seconds after the start."""
        over = (epoch - 1) / self.epochs
        if self.minutes > 0:
            over = max(over, seconds / (60 * self.minutes))
        decay = max(0.0, 1.0 - over) ** self.power if self.power > 0 else 1.0
        return self.base * decay * min(1.0, step / max(1, self.warmup_steps))

    def update(self, engine: Engine) -> None:
        """Set the rate of the coming step."""
        rate = self.rate(engine.state.epoch, engine.state.iteration, time.monotonic() - self.began)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("rate_factor", 1.0)
