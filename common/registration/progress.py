"""A progress bar for registrations that take longer than two seconds."""

import sys
import threading
import time
from typing import Any

from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from tqdm import tqdm

from common.streams import LastingStream
from common.switches import switch

#: What happens between two events of one pair, in order.
STAGES = ("reading", "network", "results")
#: Seconds between two redraws where stderr is a file: a log needs no second hand.
QUIET = 30.0


class StageProgress:
    """Handler for MONAI's evaluator: a bar over the stages of all pairs, on stderr.

    Nothing is shown before ``delay`` seconds. A thread redraws the bar while a stage is running, so that the time goes
    on even if a network takes a minute. A stderr that takes no more ends the drawing, not the run.

    Args:
        delay: seconds.
        console: false shows nothing at all.
    """

    def __init__(self, delay: float = 2.0, console: bool | str = True) -> None:
        self.delay, self.console = delay, switch(console)
        self._bar: Any = None
        self._done = threading.Event()

    def attach(self, engine: Engine) -> None:
        """Follow the events of an engine."""
        if not self.console:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.GET_BATCH_STARTED, lambda _: self._show(STAGES[0]))
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, lambda _: self._step(STAGES[1]))
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, lambda _: self._step(STAGES[2]))
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: self._step(""))
        engine.add_event_handler(Events.COMPLETED, lambda _: self._close())
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        total = len(STAGES) * int(engine.state.epoch_length or 1)
        self._stream = LastingStream(sys.stderr)
        self._bar = tqdm(total=total, delay=self.delay, unit="stage", desc="registering", leave=True, file=self._stream)
        self._done.clear()
        threading.Thread(target=self._redraw, args=(self._bar, self._done), daemon=True).start()

    def _redraw(self, bar: Any, done: threading.Event) -> None:
        wait = self.delay
        while not done.wait(wait):
            bar.refresh()
            bar.last_print_t = time.time()  # tqdm's own mark that the bar has been seen and has to be closed
            wait = 1.0 if self._stream.isatty() else QUIET

    def _show(self, stage: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(stage, refresh=False)

    def _step(self, next_stage: str) -> None:
        if self._bar is not None:
            self._show(next_stage)
            self._bar.update()

    def _close(self) -> None:
        self._done.set()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _fail(self, engine: Engine, error: Exception) -> None:
        self._close()
        raise error  # ignite swallows an exception that has a handler, unless the handler raises it again
