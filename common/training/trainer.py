"""One optimisation step for registration, inside MONAI's ``SupervisedTrainer``, and the score of a validation pass."""

import contextlib
from collections.abc import Sequence
from typing import Any

import torch
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from monai.engines import SupervisedTrainer
from torch import Tensor
from torch.nn import functional as F

from common.spatial import resize_ddf, warp
from common.training.fine import left_to_do


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


class RegistrationTrainer(SupervisedTrainer):
    """``SupervisedTrainer`` whose network returns named fields and whose loss is an ``Objective``.

    Adds to MONAI's: mixed precision on any device, gradient clipping, a guard that skips a step whose gradient is not
    finite (and stops after several in a row), and a random state that is a function of the step, so that a resumed run
    goes on bit for bit.

    Args:
        seed: of dropout and of the classes that a step looks at.
        precision: ``float32``, ``bfloat16`` or ``float16`` (CUDA only, with loss scaling).
        max_gradient_norm: clip the gradient to this norm; 0 does not clip.
        max_bad_steps: stop after this many steps in a row without a finite gradient.
        coarse: voxels of a fine volume that make one of the coarse pass, for batches that hold a ``window``.
        teacher: network whose field stands for the true one, in the objective's field term, where that is not known.
            It sees the images that the loss compares. (Knowledge distillation, Hinton et al. 2015, on fields.)
        arguments: everything of ``SupervisedTrainer``; ``network`` returns fields (``FieldsForward``).
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        precision: str = "float32",
        max_gradient_norm: float = 0.0,
        max_bad_steps: int = 10,
        coarse: int = 2,
        teacher: torch.nn.Module | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(prepare_batch=prepare_training, decollate=False, **arguments)
        self.seed, self.max_gradient_norm, self.max_bad_steps = seed, max_gradient_norm, max_bad_steps
        self.precision = getattr(torch, precision)
        self.bad_steps, self.coarse = 0, coarse
        self.teacher = None if teacher is None else teacher.eval().requires_grad_(False)
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
            batch = self._left_to_do(batch) if "window" in batch else self._taught(batch)
            fields = self.inferer(batch["image"], self.network)
        terms = self.loss_function(fields, batch)
        self.grad_scaler.scale(terms["loss"]).backward()
        self.grad_scaler.unscale_(self.optimizer)
        norm = self._clip()
        self._step_if_finite(norm)
        output = {name: float(value.detach()) for name, value in terms.items()}
        engine.state.output = {**output, "gradient": float(norm)}
        return engine.state.output

    def _left_to_do(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Let the network's own coarse pass go first, without gradient; see ``left_to_do``."""
        with torch.no_grad():
            ddf = self.inferer(F.avg_pool3d(batch["image"], self.coarse), self.network)["ddf"].float()
            x, y, z = batch["image"].shape[2:]
            return left_to_do(batch, resize_ddf(ddf, (x, y, z)))

    def _taught(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Fill in the teacher's field (B, 3, X, Y, Z) for the samples of a batch whose true field is not known."""
        if self.teacher is None:
            return batch
        with torch.no_grad():
            ddf = self.teacher(torch.cat([batch["moving"], batch["fixed"]], dim=1)).float()
        if "true_known" in batch:
            ddf = torch.where(batch["true_known"].view(-1, 1, 1, 1, 1) > 0, batch["true_ddf"], ddf)
        return {**batch, "true_ddf": ddf, "true_known": torch.ones(len(ddf), device=ddf.device)}

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
                raise FloatingPointError(
                    f"the gradient was not finite in {self.bad_steps} steps in a row (step {self.state.iteration}): "
                    "expected finite losses; lower learning_rate or set precision to float32"
                )
        self.grad_scaler.update()


def label_dice(moved: Tensor, fixed: Tensor, classes: Sequence[int]) -> Tensor:
    """Dice of each class in two index maps of one shape; NaN where a class is in neither. Returns (K,) float64."""
    count = int(max(*classes, int(moved.max()), int(fixed.max()))) + 1
    joint = torch.bincount(moved.long().flatten() * count + fixed.long().flatten(), minlength=count * count)
    joint = joint.view(count, count).double()
    index = torch.as_tensor(list(classes), device=joint.device)
    return (2 * joint.diagonal() / (joint.sum(0) + joint.sum(1)))[index]


class WarpedDice(Metric):
    """Ignite metric: mean over pairs and classes of the Dice of nearest-neighbour warped labels.

    Expects ``(ddf, labels)``: (B, 3, X, Y, Z) and (B, 2, X, Y, Z) with the moving label map first.
    """

    def __init__(self, classes: Sequence[int], **arguments: Any) -> None:
        self.classes = list(classes)
        super().__init__(**arguments)

    def reset(self) -> None:
        """Forget all pairs."""
        self.rows: list[Tensor] = []

    def update(self, output: Any) -> None:
        """Score one batch."""
        ddf, labels = output
        ddf, labels = torch.as_tensor(ddf), torch.as_tensor(labels)
        moved = warp(labels[:, :1].float(), ddf.float(), mode="nearest").round()
        for b in range(len(moved)):
            self.rows.append(label_dice(moved[b, 0], labels[b, 1], self.classes).cpu())

    def compute(self) -> float:
        """Return the mean Dice."""
        if not self.rows:
            raise NotComputableError("WarpedDice expects at least one pair, got none")
        return float(torch.stack(self.rows).nanmean())
