"""Many pairs in one run: a pair that cannot be used does not end the others, and is reported when they are done."""

import logging
from typing import Any

from monai.data import Dataset
from monai.engines import SupervisedEvaluator
from torch.utils.data import get_worker_info

from common.errors import InputError, find_input_error

logger = logging.getLogger(__name__)

#: Key of a pair that could not be read: why. Its name is the only other one.
FAILED = "failed"


class PairDataset(Dataset):
    """Pairs and the transforms that read them; one that cannot be used becomes a word on it.

    A single pair's own error is raised, but not in a process that reads ahead: what is raised there comes back as text.

    Args:
        data: a dictionary of paths a pair, see ``registration_pairs``.
        transform: reads a pair.
    """

    def _transform(self, index: int) -> Any:
        try:
            return super()._transform(index)
        except Exception as error:
            cause, several = find_input_error(error), len(self.data) > 1
            if cause is None or not (several or get_worker_info()):
                raise
            name = str(dict(self.data[index]).get("name", index + 1))
            if several:
                logger.warning("pair %s is left out: %s", name, cause)
            return {FAILED: str(cause), "name": name}


class PairEvaluator(SupervisedEvaluator):
    """MONAI's evaluator over a ``PairDataset``: goes past pairs that could not be read, and ends with an error then."""

    def run(self) -> None:  # type: ignore[override]
        """Run over all pairs; do nothing where none is left, which ignite takes for a mistake.

        Raises:
            InputError: some could not be read; the others are done.
        """
        self.failed: dict[str, str] = {}
        if self.state.epoch_length:
            super().run()
        if not self.failed:
            return
        if self.state.epoch_length == 1:
            raise InputError(*self.failed.values())
        raise InputError(
            f"{len(self.failed)} of {self.state.epoch_length} pairs could not be registered, the others are done: "
            + "; ".join(f"{name}: {why}" for name, why in self.failed.items())
        )

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> Any:
        if FAILED not in batchdata:
            return super()._iteration(engine, batchdata)
        self.failed |= dict(zip(batchdata["name"], batchdata[FAILED], strict=True))
        return []
