"""The learning rate of each step."""

from ignite.engine import Engine, Events
from torch.optim import Optimizer

from common.switches import reads_switches


@reads_switches
class PolynomialRate:
    """Handler: learning rate ``base * (1 - epoch / epochs) ** power``, the epoch counted from 0; power 0 is constant.

    The rate is a function of the epoch alone, so that nothing has to be stored to resume. A parameter group's
    ``rate_factor`` (see ``parameter_groups``) multiplies its rate.

    Args:
        optimizer: whose rate is set.
        base: rate of the first epoch.
        power: of the decay.
        epochs: after so many the rate is zero.
        warmup_steps: the rate rises linearly over the first so many steps.
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
