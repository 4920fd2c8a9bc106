"""Many pairs in one run: a pair that cannot be used does not end the others, and is reported when they are done."""

import logging
from typing import Any

from monai.data import Dataset
from monai.engines import SupervisedEvaluator

from common.errors import InputError, find_input_error

logger = logging.getLogger(__name__)

#: The one key of a pair that could not be read: its name and why.
FAILED = "failed"


class PairDataset(Dataset):
    """Pairs and the transforms that read them; of several pairs, one that cannot be used becomes a word on it.

    Args:
        data: a dictionary of paths a pair, see ``registration_pairs``.
        transform: reads a pair.
    """

    def _transform(self, index: int) -> Any:
        try:
            return super()._transform(index)
        except Exception as error:
            cause = find_input_error(error)
            if cause is None or len(self.data) < 2:
                raise
            name = dict(self.data[index]).get("name", index + 1)
            logger.warning("pair %s is left out: %s", name, cause)
            return {FAILED: f"{name}: {cause}"}


class PairEvaluator(SupervisedEvaluator):
    """MONAI's evaluator over a ``PairDataset``: goes past pairs that could not be read, and ends with an error then."""

    def run(self) -> None:  # type: ignore[override]
        """Run over all pairs; do nothing where none is left, which ignite takes for a mistake.

        Raises:
            InputError: some could not be read; the others are done.
        """
        self.failed: list[str] = []
        if self.state.epoch_length:
            super().run()
        if self.failed:
            raise InputError(
                f"{len(self.failed)} of {self.state.epoch_length} pairs could not be registered, the others are done: "
                + "; ".join(self.failed)
            )

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> Any:
        if FAILED not in batchdata:
            return super()._iteration(engine, batchdata)
        self.failed.extend(batchdata[FAILED])
        return []
