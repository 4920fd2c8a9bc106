"""What a bundle's train.json calls besides the parts of a run: its start, label tables, handlers by reference."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from ignite.engine import Engine
from monai.utils import set_determinism
from torch import Tensor

from common.data.datalist import read_datalist


class Handler(Protocol):
    """Anything with MONAI's and ignite's ``attach``."""

    def attach(self, engine: Engine) -> Any:
        """Register on an engine."""


class Handlers:
    """Several handlers as one, attached in this order.

    A configuration can so name its handlers and list them by reference: MONAI's check of a training workflow wants
    every entry of ``train#handlers`` to be a dictionary with a ``_target_``.
    """

    def __init__(self, handlers: Sequence[Handler]) -> None:
        self.handlers = handlers

    def attach(self, engine: Engine) -> None:
        """Register all of them."""
        for handler in self.handlers:
            handler.attach(engine)


def set_up(seed: int, threads: int = 0) -> None:
    """Fix every random state and, with ``threads`` > 0, the number of CPU threads."""
    set_determinism(seed)
    torch.use_deterministic_algorithms(False)  # grid_sample's backward pass has no deterministic CUDA kernel
    if threads > 0:
        torch.set_num_threads(threads)


def start_processes(backend: str) -> None:
    """Join the process group that ``torchrun`` describes in the environment; each process takes its own GPU."""
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group(backend)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def classes_of(datalist: str, ignore: Sequence[int] = ()) -> list[int]:
    """Return the label values that a datalist names under ``labels``, without background and ``ignore``."""
    named = read_datalist(datalist).get("labels", {})
    return sorted({int(value) for value in named} - {0} - set(ignore))


def identifiers_of(datalist: str) -> list[int] | None:
    """Return the FreeSurfer number of each label value (``freesurfer_ids`` of the datalist), or ``None``."""
    named = read_datalist(datalist).get("freesurfer_ids")
    if not named:
        return None
    numbers = {int(value): int(number) for value, number in named.items()}
    return [numbers.get(value, 0) for value in range(max(numbers) + 1)]


def prediction_and_labels(output: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Pick the field and the two label maps out of the evaluator's output."""
    return output["pred"], output["label"]
