"""Everything that a run needs to go on, saved at the end of an epoch and loaded at the start."""

from ignite.engine import Engine, Events
from torch import nn
from torch.optim import Optimizer

from common.errors import InputError
from common.switches import reads_switches
from common.training.run_folder import RunFolder
from common.training.validation import Validation
from common.training.weights import load, save, start_from


@reads_switches
class Checkpoints:
    """Handler: write ``last.pt``; resume from it, bit for bit on one device, or start from other weights.

    Args:
        folder: of the run; says whether it is resumed.
        network: whose state dict is stored.
        optimizer: stored too.
        validation: its best score is stored too.
        interval: epochs between two files.
        initial: state dict to start from when nothing is resumed, "" for none.
        partial: take from ``initial`` what fits in name and shape.
    """

    def __init__(
        self,
        folder: RunFolder,
        network: nn.Module,
        optimizer: Optimizer,
        validation: Validation | None = None,
        interval: int = 1,
        initial: str = "",
        partial: bool = False,
    ) -> None:
        self.folder, self.network, self.optimizer, self.validation = folder, network, optimizer, validation
        self.interval, self.initial, self.partial = interval, initial, partial

    def attach(self, engine: Engine) -> None:
        """Register on the trainer. Attach this handler first: the others start from what it loads.

        Saving is registered when the run starts, behind every other handler, so that a checkpoint holds the result of
        the validation of its epoch.
        """
        engine.add_event_handler(Events.STARTED, self.start)

    def start(self, engine: Engine) -> None:
        """Resume, or load initial weights.

        Raises:
            InputError: the file is missing, damaged, or of another network.
        """
        if self.folder.writes and not engine.has_event_handler(self.save):
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.save)
        if self.folder.resume:
            self._resume(engine)
        elif self.initial:
            start_from(self.network, self.initial, self.partial)

    def _resume(self, engine: Engine) -> None:
        stored = load(self.folder.last)
        try:
            self.network.load_state_dict(stored["network"])
            self.optimizer.load_state_dict(stored["optimizer"])
            engine.state.epoch, engine.state.iteration = stored["epoch"], stored["step"]
            if self.validation is not None:
                self.validation.load_state_dict(stored["validation"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{self.folder.last}: expected the checkpoint of a run with this network and optimizer, got: {error}"
            ) from error

    def save(self, engine: Engine) -> None:
        """Store the run as it stands."""
        stored = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "validation": {} if self.validation is None else self.validation.state_dict(),
            "epoch": engine.state.epoch,
            "step": engine.state.iteration,
        }
        save(stored, self.folder.last)
