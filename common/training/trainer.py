"""One optimisation step for registration, inside MONAI's ``SupervisedTrainer``."""

import contextlib
import logging
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from torch import Tensor

from common.errors import InputError
from common.switches import reads_switches
from common.training.views import Preparation

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "bfloat16", "float16")


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Move the tensors of a batch to ``device``."""
    return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


def prepare_training(batch: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any) -> tuple:
    """MONAI's ``prepare_batch`` for training: the pair, and the whole batch for the objective."""
    moved = to_device(batch, torch.device(device))
    return moved["image"], moved


def prepare_validation(batch: dict[str, Any], device: Any = None, non_blocking: bool = False, **kwargs: Any) -> tuple:
    """MONAI's ``prepare_batch`` for validation: the pair, and both label maps as one tensor (B, 2, X, Y, Z)."""
    moved = to_device(batch, torch.device(device))
    return moved["image"], torch.cat([moved["moving_label"], moved["fixed_label"]], dim=1)


def precision_for(precision: str, device: torch.device) -> torch.dtype:
    """Return the type that a network computes in on a device.

    A CPU has no arithmetic in float16 to speak of (minutes for a step): there float32 takes its place, with a word.

    Raises:
        InputError: no such precision.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "float16" and device.type == "cpu":
        logger.warning("precision float16 is for GPUs: on the CPU this run takes float32")
        return torch.float32
    return getattr(torch, precision)


@reads_switches
class RegistrationTrainer(SupervisedTrainer):
    """``SupervisedTrainer`` whose network returns named fields and whose loss is an ``Objective``.

    Adds to MONAI's: mixed precision on any device, gradient clipping, a guard that skips a step whose gradient is not
    finite (and stops after several in a row), and a random state that is a function of the step, so that a resumed run
    goes on bit for bit.

    Args:
        seed: of dropout and of the classes that a step looks at.
        precision: ``float32``, ``bfloat16`` or ``float16`` (on a GPU, with loss scaling).
        max_gradient_norm: clip the gradient to this norm; 0 does not clip.
        max_bad_steps: stop after this many steps in a row without a finite gradient.
        preparation: what happens to a batch before the network sees it.
        arguments: everything of ``SupervisedTrainer``; ``network`` returns fields (``FieldsForward``).

    Raises:
        InputError: no such precision; in the run, too many steps without a finite gradient.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        precision: str = "float32",
        max_gradient_norm: float = 0.0,
        max_bad_steps: int = 10,
        preparation: Preparation | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(prepare_batch=prepare_training, decollate=False, **arguments)
        self.seed, self.max_gradient_norm, self.max_bad_steps = seed, max_gradient_norm, max_bad_steps
        self.precision, self.bad_steps = precision_for(precision, torch.device(arguments["device"])), 0
        self.preparation = preparation or Preparation()
        self.grad_scaler = torch.amp.GradScaler("cuda", enabled=self.precision is torch.float16)

    def _autocast(self, device: torch.device) -> contextlib.AbstractContextManager:
        if self.precision is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=self.precision)

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Any]:
        torch.manual_seed(self.seed * 1_000_003 + engine.state.iteration)
        pair, batch = self.prepare_batch(batchdata, engine.state.device, engine.non_blocking)
        self.network.train()
        self.loss_function.train()  # type: ignore[attr-defined]
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast(pair.device):
            batch = self.preparation(batch, lambda image: self.inferer(image, self.network)["ddf"])
            fields = self.inferer(batch["image"], self.network)
        terms = self.loss_function(fields, batch)
        self.grad_scaler.scale(terms["loss"]).backward()
        self.grad_scaler.unscale_(self.optimizer)
        norm = self._clip()
        self._step_if_finite(norm)
        output = {name: float(value.detach()) for name, value in terms.items()}
        engine.state.output = {**output, "gradient": float(norm)}
        return engine.state.output

    def _clip(self) -> Tensor:
        limit = self.max_gradient_norm if self.max_gradient_norm > 0 else float("inf")
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        return torch.nn.utils.clip_grad_norm_(parameters, limit)

    def _step_if_finite(self, norm: Tensor) -> None:
        if torch.isfinite(norm):
            self.bad_steps = 0
            self.grad_scaler.step(self.optimizer)
        else:
            self.bad_steps += 1
            if self.bad_steps > self.max_bad_steps and not self.grad_scaler.is_enabled():
                raise InputError(
                    f"the gradient was not finite in {self.bad_steps} steps in a row (step {self.state.iteration}): "
                    "expected finite losses; lower learning_rate or set precision to float32"
                )
        self.grad_scaler.update()
