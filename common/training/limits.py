"""A limit on the time that a run takes."""

import time

from ignite.engine import Engine, Events

from common.switches import reads_switches


@reads_switches
class TimeLimit:
    """Handler: end the run after so many minutes (0: never), at the end of an epoch, so that nothing is lost."""

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
