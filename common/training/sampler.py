"""Which items an epoch serves, and to which process: what makes resuming exact."""

from collections.abc import Iterator

from ignite.engine import Engine, Events
from torch.utils.data import Sampler

from common.errors import InputError
from common.switches import reads_switches


@reads_switches
class StepSampler(Sampler[int]):
    """Item numbers that go on from epoch to epoch, shared out over ranks.

    In epoch ``e`` rank ``r`` of ``w`` gets ``e * length + r``, then every ``w``-th item; the union over the ranks is
    what one process would see. As a handler of the trainer it follows the epochs, also those of a resumed run.

    Args:
        length: items of an epoch, over all processes.
        rank: number of this process.
        world: number of processes.

    Raises:
        InputError: the items cannot be shared evenly.
    """

    def __init__(self, length: int, rank: int = 0, world: int = 1) -> None:
        if length % world:
            raise InputError(f"an epoch of {length} items cannot be shared evenly by {world} processes")
        self.length, self.rank, self.world, self.epoch = length, rank, world, 0

    def attach(self, engine: Engine) -> None:
        """Register on the trainer, behind what loads a checkpoint."""
        for event in (Events.STARTED, Events.EPOCH_COMPLETED):
            engine.add_event_handler(event, lambda engine: self.set_epoch(engine.state.epoch))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, counted from 0, that the next iteration serves."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.world

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.length
        return iter(range(first + self.rank, first + self.length, self.world))
