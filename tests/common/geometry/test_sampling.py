import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from common.geometry import Grid, index_map, resample, sampling, smooth_for
from tests.common.registration.phantom import centred_affine

SOURCE = (11, 12, 13)
TARGET = Grid((9, 14, 10), centred_affine((9, 14, 10), spacing=(2.5, 2.0, 2.2), degrees=(12, 7, -20)))


def source(seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    image = torch.rand(2, *SOURCE, generator=torch.Generator().manual_seed(seed))
    return image, centred_affine(SOURCE, spacing=(1.8, 2.1, 2.0), degrees=(3, -9, 4), shift=(1, 2, -1))


def oracle(image: torch.Tensor, affine: np.ndarray, ddf=None, alignment=None, order: int = 1) -> np.ndarray:
    """SciPy in float64; beyond half a voxel outside the value is -7."""
    index = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in TARGET.shape], indexing="ij"))
    if ddf is not None:
        index = index + ddf.double().numpy()
    matrix = index_map(TARGET.affine, affine, alignment)
    there = np.tensordot(matrix[:3, :3], index, axes=1) + matrix[:3, 3].reshape(3, 1, 1, 1)
    values = np.stack([map_coordinates(c, there, order=order, mode="nearest") for c in image.double().numpy()])
    size = np.array(SOURCE).reshape(3, 1, 1, 1)
    values[:, ((there < -0.5) | (there > size - 0.5)).any(axis=0)] = -7
    return values


@pytest.mark.parametrize("voxels", [10, 1_000_000])
def test_resample_agrees_with_scipy(voxels, monkeypatch):
    monkeypatch.setattr(sampling, "VOXELS_AT_ONCE", voxels)
    image, affine = source()
    ddf = torch.randn(3, *TARGET.shape) * 0.7
    world = np.eye(4)
    world[:3] += np.random.default_rng(4).normal(0, 0.02, (3, 4))
    out = resample(image, affine, TARGET, fill=-7.0, alignment=world, ddf=ddf)
    expected = oracle(image, affine, ddf, world)
    agree = np.isclose(out.numpy(), expected, atol=2e-5)
    assert (expected == -7).any()
    assert agree.mean() > 0.999  # a position on the very border may fall to either side


def test_nearest_gives_labels_only():
    image, affine = source()
    labels = (image * 5).round()
    out = resample(labels, affine, TARGET, mode="nearest", fill=-7.0)
    assert np.mean(out.numpy() == oracle(labels, affine, order=0)) > 0.999
    assert set(out.unique().tolist()) <= {-7.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0}


def test_same_grid_gives_the_same_values():
    image, affine = source()
    out = resample(image, affine, Grid(SOURCE, affine))
    assert torch.allclose(out, image, atol=1e-5)


def test_smoothing_touches_only_axes_that_get_thinned():
    image, _ = source()
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    assert smooth_for(image, affine, 1.0) is image
    smooth = smooth_for(image, affine, 2.0)
    assert smooth.dtype == torch.float32
    ramp = torch.arange(12.0).view(1, 1, 12, 1).expand(1, 11, 12, 13).contiguous()
    assert torch.allclose(smooth_for(ramp, affine, 2.0), ramp, atol=1e-5)
    impulse = torch.zeros(1, 21, 3, 3)
    impulse[0, 10, 1, 1] = 1
    line = smooth_for(impulse, affine, 2.0)[0, :, 1, 1].double()
    offset = torch.arange(21).double() - 10
    assert abs(float((line * offset**2).sum()) - 0.25) < 0.06  # variance of a box of two voxels less that of one
