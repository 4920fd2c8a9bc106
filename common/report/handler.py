"""The report at the end of each pair of a run."""

from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from common.behind import Behind
from common.errors import InputError
from common.report.figures import require_matplotlib
from common.report.page import write_report
from common.switches import switch


class ReportWriter:
    """Handler for MONAI's evaluator: write ``report.html`` and ``report.png`` beside the files of every pair.

    They are made from the written files, after ``metrics.json``: a run that is killed in between leaves a whole result
    without a report, which ``python -m tools report`` makes.

    Args:
        wanted: false writes none.
        behind: where the files are written, so that the reports come after them.

    Raises:
        InputError: a report is wanted and matplotlib is missing.
    """

    def __init__(self, wanted: bool | str = False, behind: Behind | None = None) -> None:
        self.wanted, self._behind = switch(wanted), behind or Behind()
        if self.wanted:
            require_matplotlib()

    def attach(self, engine: Engine) -> None:
        """Register on the evaluator."""
        if self.wanted:
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)

    def write(self, engine: Engine) -> None:
        """Write the reports of one batch; the outputs' ``output_files`` name them, ``metrics.json`` still last."""
        outputs: Any = engine.state.output
        if any("output_files" not in output for output in outputs):
            raise InputError("report: expected a run that writes results; an evaluation writes tables only")
        self._behind.do(lambda: self._write_all(outputs))

    @staticmethod
    def _write_all(outputs: Any) -> None:
        for output in outputs:
            *files, last = output["output_files"]
            written = [str(path) for path in write_report(Path(last).parent)]
            output["output_files"] = [*files, *written, last]
