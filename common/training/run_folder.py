"""The folder of a run: which files a run has, and that they are those of one run."""

import logging
from pathlib import Path

from common.errors import InputError
from common.switches import reads_switches

logger = logging.getLogger(__name__)


@reads_switches
class RunFolder:
    """``ckpt_dir``: the log, the best and the last weights of one run, by name.

    Args:
        path: the folder; made when the first file is written.
        resume: the run goes on with what lies there.
        overwrite: what lies there may go.
        rank: number of the process; process 0 writes, the others only keep a log.
    """

    def __init__(self, path: str, resume: bool = False, overwrite: bool = False, rank: int = 0) -> None:
        self.path, self.resume, self.overwrite, self.rank = Path(path), resume, overwrite, rank
        self.writes = rank == 0
        self.log = self.path / ("log.csv" if rank == 0 else f"log_rank{rank}.csv")
        self.last, self.best, self.best_facts = (self.path / name for name in ("last.pt", "best.pt", "best.json"))
        self.tensorboard = self.path / "tensorboard"

    def claim(self) -> None:
        """Make sure, before anything is loaded, that the run starts in a folder of its own or resumes one.

        Files of an earlier run that may go are removed here, all of them: a new log never stands beside old weights.

        Raises:
            InputError: ``resume`` and nothing to go on with; or weights of a run, and neither ``resume`` nor
                ``overwrite``.
        """
        if not self.writes:
            return
        if self.resume:
            if not self.last.exists():
                raise InputError(f"{self.last}: expected the checkpoint of a run to resume, found none")
            return
        weights = [file.name for file in (self.last, self.best) if file.exists()]
        if weights and not self.overwrite:
            raise InputError(
                f"{self.path}: holds {' and '.join(weights)} of another run: go on with it (--resume true), "
                "replace it (--overwrite true), or name another --ckpt_dir"
            )
        for file in self._files():
            file.unlink()
            logger.info("removed %s of the run before", file)

    def _files(self) -> list[Path]:
        named = [self.log, self.last, self.best, self.best_facts, *sorted(self.path.glob("log_rank*.csv"))]
        return [file for file in named if file.exists()] + sorted(self.tensorboard.glob("events.out.tfevents.*"))
