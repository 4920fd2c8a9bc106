"""Between the images' own grids and the network's: the steps before and after a network, as MONAI transforms."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from torch import Tensor

from common.errors import InputError
from common.geometry import (
    Grid,
    carry_ddf,
    foreground_mask,
    lengths,
    network_grid,
    resample,
    smooth_for,
)
from common.geometry.affines import Array
from common.registration.clock import end_network, stage
from common.registration.foreground import foreground_points, outside_value
from common.registration.intensities import range_of, window_for
from common.registration.masks import counted_on
from common.spatial.passes import passes_of
from common.switches import reads_switches

logger = logging.getLogger(__name__)

#: Millimetres of anatomy below which no human brain is looked at, and the length of one.
SMALL, HUMAN = 36.0, 170.0
#: Voxels along the anatomy that a network can work with, so that a spacing chosen for it stays.
ENOUGH = 60
#: Grid points along the shortest edge of a fixed voxel, at most: what is between voxels is made up.
DENSEST = 4
#: Largest difference of two images that count as the same, as a share of the mean foreground: that of interpolations.
SAME = 1e-3


def grid_of(image: MetaTensor) -> Grid:
    """Grid of a (C, X, Y, Z) image."""
    shape = image.shape[-3:]
    return Grid((shape[0], shape[1], shape[2]), image.affine.numpy())


def same_image(first: Tensor, second: Tensor) -> bool:
    """Whether two images in [0, 1] on one grid differ by no more than two interpolations of one image do."""
    bright = second[second > 0]
    level = float(bright.mean()) if len(bright) else 0.0
    return float((first - second).abs().max()) <= SAME * level


@reads_switches
class ToNetworkGridd(Transform):
    """Put both images on one network grid: adds ``image`` (2, X, Y, Z) float32 in [0, 1], moving first, fixed second.

    One interpolation an image; finer images are blurred first (``smooth_for``). The grid is ``network_grid``'s and is
    the affine of ``image``. Anatomy much smaller than a human brain, such as a mouse's, gets a grid that is as fine for
    its size, with a word. An optional ``alignment`` in the dictionary, (4, 4) from the fixed image's world to that of
    the moving image in RAS millimetres, is applied to the latter. ``identical_inputs`` is true where the channels agree
    (``same_image``).

    Args:
        spacing: millimetres: one number, or three equal ones.
        multiple: every axis is a multiple of it.
        shape: a fixed shape in RAS order, for networks that need one.
        cube: equal sizes along all axes.
        smallest: voxels that every axis has at least, 32: what the coarsest level of every network can work with.
        passes: how the network goes over the grid, see ``coarse_to_fine``: its coarsest grid has to satisfy
            ``multiple`` and ``smallest``.
        window: intensities that become 0 and 1, see ``window_for``; ``auto`` is that of soft tissue for CT.
    """

    def __init__(
        self,
        spacing: float | Sequence[float] = 1.0,
        multiple: int = 16,
        shape: Sequence[int] | None = None,
        cube: bool = False,
        smallest: int = 32,
        passes: int | Sequence[int] = (1,),
        window: Any = "auto",
    ) -> None:
        values = [float(s) for s in (spacing if isinstance(spacing, Sequence) else [spacing])]
        if len(set(values)) != 1:
            raise InputError(f"the network grid is isotropic: expected one spacing in mm, got {values}")
        coarsest = max(passes_of(passes))
        self.spacing, self.multiple, self.smallest = values[0], multiple * coarsest, smallest * coarsest
        self.shape, self.cube, self.window = shape, cube, window
        window_for(window, "fixed", True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with ``image``."""
        out = dict(data)
        with stage(out, "network_grid"):
            if "alignment" in out and _one_image(out["fixed"], out["moving"]):
                del out["alignment"]
            grid = self._grid(out)
            pair = [self._channel(out, "moving", grid, out.get("alignment")), self._channel(out, "fixed", grid)]
            # The same image may come in another orientation or type: on one grid it is the same again.
            out["identical_inputs"] = same_image(pair[0], pair[1])
            out["image"] = MetaTensor(torch.cat(pair), affine=torch.from_numpy(grid.affine.copy()))
            counted = counted_on(out, grid, out.get("alignment"))
            # Of two images that hardly meet, nothing may be left to judge by: then the faces say nothing.
            if counted is not None and (_excluded(out) or _shown_in(pair[1], counted)):
                out["counted"] = counted
            for role in ("fixed", "moving"):  # megabytes that nobody reads from here on
                out.pop(f"{role}_foreground", None)
        return out

    def _grid(self, data: dict[Hashable, Any]) -> Grid:
        fixed, moving = foreground_points(data, "fixed"), foreground_points(data, "moving")
        if data.get("alignment") is not None:
            back = np.linalg.inv(np.asarray(data["alignment"], dtype=np.float64))
            moving = moving @ back[:3, :3].T + back[:3, 3]
        return network_grid(
            grid_of(data["fixed"]),
            fixed,
            moving,
            spacing=self._spacing_for(fixed, float(grid_of(data["fixed"]).spacing.min())),
            multiple=self.multiple,
            shape=self.shape,
            cube=self.cube,
            smallest=self.smallest,
        )

    def _spacing_for(self, points: Array, finest: float) -> float:
        """The spacing for a fixed foreground (N, 3) in mm, in an image whose shortest voxel edge is ``finest`` mm."""
        size = float(np.ptp(points, axis=0).max()) if len(points) else HUMAN
        if size >= SMALL or size >= ENOUGH * self.spacing:
            return self.spacing
        finer = min(self.spacing, max(self.spacing * size / HUMAN, finest / DENSEST))
        if finer == self.spacing:
            return finer
        words = "the anatomy is %.3g mm long, that of a small animal: the network's grid has %.2g mm instead of %g mm"
        logger.warning(words, size, finer, self.spacing)
        return finer

    def _channel(self, data: dict[Hashable, Any], role: str, grid: Grid, alignment: Any = None) -> Tensor:
        affine, voxels = data[role].affine.numpy(), data[role].as_tensor()
        low, high = range_of(data, role, self.window)
        fill = min(max(outside_value(data, role), low), high)
        # Before it is interpolated: metal would shine into its surroundings, padding darken the skin.
        smooth = smooth_for(voxels.clamp(low, high), affine, float(grid.spacing[0]))
        channel = resample(smooth, affine, grid, fill=fill, alignment=alignment)
        return channel.sub_(low).div_(high - low).clamp_(0.0, 1.0)


def _excluded(data: Mapping[Hashable, Any]) -> bool:
    return any(f"{role}_exclude" in data for role in ("fixed", "moving"))


def _shown_in(channel: Tensor, counted: Tensor) -> bool:
    """Whether an image (1, x, y, z) shows something where both count."""
    return bool((foreground_mask(channel[0].numpy()) & (counted > 0.5).all(dim=0).numpy()).any())


def _one_image(fixed: MetaTensor, moving: MetaTensor) -> bool:
    """Whether both are the same voxels at the same place."""
    same_grid = fixed.shape == moving.shape and torch.allclose(fixed.affine, moving.affine, rtol=0, atol=1e-5)
    return bool(same_grid and torch.equal(fixed.as_tensor(), moving.as_tensor()))


class ToFixedGridd(Transform):
    """Bring the network's field home: adds ``ddf``, ``moved``, and ``moved_label`` where there are labels.

    ``pred`` (3, x, y, z) in voxels of ``image``'s grid becomes ``ddf`` (3, X, Y, Z) in voxels of the fixed image's grid
    (joined with ``alignment`` where given). ``moved`` is the moving image as it came, neither stripped nor filled,
    interpolated once (trilinear) through that field; ``moved_label`` likewise by nearest neighbour. Where the field
    points out of the moving image, ``moved`` is its background value (its minimum where it has none), noted as
    ``outside_value``; labels are 0. For two images that are the same on the network grid the field is exactly zero, and
    the network's own is only noted (``network_max_voxel``).
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with the fields and images named above."""
        out = dict(data)
        end_network(out)
        with stage(out, "fixed_grid"):
            fixed, moving = out["fixed"], out.get("moving_whole", out["moving"])
            pred = torch.as_tensor(out["pred"]).detach().float().cpu()
            pred = pred.as_tensor() if isinstance(pred, MetaTensor) else pred
            if not bool(torch.isfinite(pred).all()):
                raise RuntimeError(f"the network's field is not finite for {fixed.meta['filename_or_obj']}")
            out["network_max_voxel"] = float(lengths(pred).max())
            if out.get("identical_inputs"):
                logger.warning("fixed and moving are the same image: the field is set to zero")
                pred = torch.zeros_like(pred)
            grid = grid_of(fixed)
            ddf = carry_ddf(pred, out["image"].affine.numpy(), grid, out.get("alignment"))
            out["outside_value"] = outside_value(out, "moving_whole" if "moving_whole" in out else "moving")
            out["ddf"] = _on(ddf, fixed)
            out["moved"] = _on(through(moving, ddf, grid, fill=out["outside_value"]), fixed)
            if isinstance(out.get("moving_label"), torch.Tensor):
                out["moved_label"] = _on(through(out["moving_label"], ddf, grid, mode="nearest"), fixed)
        return out


def through(image: MetaTensor, ddf: Tensor | None, grid: Grid, mode: str = "bilinear", fill: float = 0.0) -> Tensor:
    """An image sampled once on a grid through a displacement in that grid's voxels. -> (1, *grid.shape)."""
    return resample(image.as_tensor(), image.affine.numpy(), grid, mode, fill, ddf=ddf)


def _on(volume: Tensor, image: MetaTensor) -> MetaTensor:
    return MetaTensor(volume, affine=image.affine.clone(), meta={"filename_or_obj": image.meta["filename_or_obj"]})
