"""What the bundles' configurations call: the start of a run, the pairs, the weights."""

import inspect
import logging
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from torch import nn

from common.bundle.command_line import end_errors_in_one_line
from common.bundle.folder import Weights
from common.bundle.options import check_options
from common.bundle.settings import settings_of
from common.errors import InputError
from common.registration.pairs import registration_pairs
from common.sample import sample_pair
from common.switches import switch

logger = logging.getLogger(__name__)


def begin(bundle_root: str, device: str | torch.device = "cpu") -> None:
    """Start a run: errors of a user end in one line, unknown options and devices that are not there are refused.

    Args:
        bundle_root: the bundle's folder.
        device: where the run computes.

    Raises:
        InputError: see above.
    """
    end_errors_in_one_line()
    config: Any = _calling_parser().config
    check_options(config, Path(bundle_root))
    check_device(device)


def _calling_parser() -> ConfigParser:
    """The parser whose expression is being evaluated: MONAI hands it to no one."""
    frame = inspect.currentframe()
    while frame is not None:
        candidate = frame.f_locals.get("self")
        if isinstance(candidate, ConfigParser):
            return candidate
        frame = frame.f_back
    raise RuntimeError("begin() is for expressions of a configuration")


def check_device(device: str | torch.device) -> torch.device:
    """Return a device that this machine has.

    Raises:
        InputError: no such device, or none here.
    """
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device: expected cpu, cuda or cuda:0 and so on, got {device!r}") from error
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: expected one that is here, got {device}; this machine has {_devices()}")
    return wanted


def _devices() -> str:
    return ", ".join(["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))])


def run_settings(weights: str | Path, load_pretrain: bool | str = True) -> dict[str, Any]:
    """The settings of the run whose configuration is being read, see ``settings_of``.

    Args:
        weights: file of the network's weights.
        load_pretrain: whether the run loads them.
    """
    config: Any = _calling_parser().config
    return settings_of(config, weights if switch(load_pretrain) else None)


def pairs_of(
    fixed: str | None = None,
    moving: str | None = None,
    datalist: str | Path | Sequence[Mapping[str, Any]] | None = None,
    fixed_label: str | None = None,
    moving_label: str | None = None,
    fixed_points: str | None = None,
    moving_points: str | None = None,
    true_field: str | None = None,
    initial: str | None = None,
    fixed_mask: str | None = None,
    moving_mask: str | None = None,
    fixed_exclude: str | None = None,
    moving_exclude: str | None = None,
    output_dir: str | Path | None = None,
    require_overlap: bool = True,
    resume: bool | str = False,
    settings: Mapping[str, Any] | None = None,
) -> list[dict[str, str]]:
    """Pairs of a run, see ``registration_pairs``; the sample pair, with a word, where none is named."""
    further: dict[str, Any] = {"fixed_label": fixed_label, "moving_label": moving_label, "true_field": true_field}
    further |= {"fixed_mask": fixed_mask, "moving_mask": moving_mask}
    further |= {"fixed_points": fixed_points, "moving_points": moving_points}
    further |= {"fixed_exclude": fixed_exclude, "moving_exclude": moving_exclude}
    if datalist is None and not any((fixed, moving, *further.values())):
        logger.warning("no images are named: the sample pair is registered (give --fixed and --moving, or --datalist)")
        return [sample_pair()]
    further |= {"initial": initial, "output_dir": output_dir, "require_overlap": require_overlap}
    further |= {"resume": switch(resume, "resume"), "settings": settings}
    return registration_pairs(fixed, moving, datalist, **further)


def require_pairs(pairs: Sized, resume: bool | str = False) -> None:
    """Refuse to run on nothing.

    Args:
        pairs: the dataset of a run.
        resume: whether it may be empty, since all is done.

    Raises:
        InputError: it is empty.
    """
    if len(pairs) == 0 and not switch(resume, "resume"):
        raise InputError("nothing to register: the list of pairs is empty")


class LoadWeights:
    """Handler for MONAI's evaluator: load a bundle's weights before the first pair.

    Args:
        path: file with the state dict, ``models/model.pt`` of the bundle.
        network: who gets them.
        wanted: false leaves the network with its first, random weights (``load_pretrain``).

    Raises:
        InputError: there is no such file, or it is no state dict.
    """

    def __init__(self, path: str, network: nn.Module, wanted: bool | str = True) -> None:
        self.weights = Weights(path) if switch(wanted) else None
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register on the evaluator."""
        engine.add_event_handler(Events.STARTED, lambda _: self.load())

    def load(self) -> None:
        """Load them.

        Raises:
            InputError: they are of another network.
        """
        if self.weights is not None:
            self.weights.load_into(self.network)

    def record(self) -> dict[str, str] | None:
        """What ``metrics.json`` says of the weights that ran: file and SHA-256; None for random ones."""
        return None if self.weights is None else {"file": str(self.weights.path), "sha256": self.weights.digest}
