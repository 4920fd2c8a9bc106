"""The progress bar of a run."""

import sys
from typing import Any

from ignite.engine import Engine, Events

from common.streams import LastingStream
from common.switches import reads_switches


@reads_switches
class StepProgress:
    """Handler: a bar over all steps of the run with the time left and the last loss.

    Args:
        enabled: False shows none.
        rank: number of the process; process 0 shows the bar.
    """

    def __init__(self, enabled: bool = True, rank: int = 0) -> None:
        self.enabled = enabled and rank == 0

    def attach(self, engine: Engine) -> None:
        """Register on the trainer."""
        if self.enabled:
            engine.add_event_handler(Events.STARTED, self.start)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.advance)
            engine.add_event_handler(Events.COMPLETED, lambda _: self.bar.close())

    def start(self, engine: Engine) -> None:
        """Open the bar at the step where the run begins."""
        from tqdm import tqdm

        stream = LastingStream(sys.stderr)
        total = engine.state.max_epochs * engine.state.epoch_length
        self.bar = tqdm(total=total, initial=engine.state.iteration, unit="step", mininterval=2.0, file=stream)

    def advance(self, engine: Engine) -> None:
        """Move on by one step."""
        output: Any = engine.state.output
        self.bar.set_postfix(loss=f"{output['loss']:.4f}", refresh=False)
        self.bar.update()
