"""The one warp, held to MONAI's, to ITK's and to its own definition."""

import warnings

import numpy as np
import pytest
import torch

from common.spatial import warp
from tests.conftest import smooth_ddf

SHAPE = (13, 10, 12)


def test_zero_field_is_the_identity():
    image = torch.rand(2, 3, *SHAPE)
    torch.testing.assert_close(warp(image, torch.zeros(2, 3, *SHAPE)), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("axis", range(3))
def test_a_shift_along_each_axis_moves_voxels(axis):
    image = torch.rand(1, 1, *SHAPE)
    ddf = torch.zeros(1, 3, *SHAPE)
    ddf[:, axis] = 2.0
    expected = torch.roll(image, -2, dims=axis + 2)
    inside = [slice(None)] * 5
    inside[axis + 2] = slice(0, SHAPE[axis] - 2)
    torch.testing.assert_close(warp(image, ddf)[tuple(inside)], expected[tuple(inside)], atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_equals_monai(mode, padding):
    from monai.networks.blocks import Warp

    image, ddf = torch.rand(2, 2, *SHAPE), smooth_ddf(SHAPE, 3.0, batch=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = Warp(mode=mode, padding_mode=padding)
    torch.testing.assert_close(warp(image, ddf, mode, padding), reference(image, ddf), atol=2e-5, rtol=0)


def test_equals_itk_warp_image_filter():
    itk = pytest.importorskip("itk")
    image, ddf = torch.rand(1, 1, *SHAPE), smooth_ddf(SHAPE, 2.0)
    # ITK images are indexed (z, y, x) in NumPy; a unit grid makes voxels and millimetres the same.
    itk_image = itk.image_from_array(np.ascontiguousarray(image[0, 0].numpy().transpose(2, 1, 0)))
    vectors = np.ascontiguousarray(ddf[0].numpy().transpose(3, 2, 1, 0))
    field = itk.image_from_array(vectors, ttype=itk.Image[itk.Vector[itk.F, 3], 3])
    filter_type = itk.WarpImageFilter[type(itk_image), type(itk_image), type(field)]
    warper = filter_type.New(Input=itk_image, DisplacementField=field)
    warper.Update()
    result = itk.array_from_image(warper.GetOutput()).transpose(2, 1, 0)
    inside = (slice(3, -3),) * 3
    np.testing.assert_allclose(warp(image, ddf)[0, 0].numpy()[inside], result[inside], atol=1e-5)


def test_one_volume_in_pieces_equals_a_batch_of_two():
    image, ddf = torch.rand(1, 2, *SHAPE), smooth_ddf(SHAPE, 2.0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        single = warp(image, ddf)
    finally:
        torch.set_num_threads(threads)
    pair = warp(image.expand(2, -1, -1, -1, -1), ddf.expand(2, -1, -1, -1, -1))
    torch.testing.assert_close(single, pair[:1], atol=0, rtol=0)


def test_gradients_agree_with_finite_differences():
    image = torch.rand(1, 1, 4, 5, 3, dtype=torch.float64, requires_grad=True)
    ddf = (0.3 * torch.rand(1, 3, 4, 5, 3, dtype=torch.float64) + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(warp, (image, ddf))


def test_half_precision_fields_are_sampled_in_single_precision():
    image, ddf = torch.rand(1, 1, 300, 4, 4), torch.zeros(1, 3, 300, 4, 4)
    moved = warp(image.bfloat16(), ddf.bfloat16())
    assert moved.dtype == torch.bfloat16
    torch.testing.assert_close(moved, image.bfloat16(), atol=5e-3, rtol=0)


def test_an_axis_of_one_voxel_stays_finite():
    image = torch.rand(1, 1, 5, 1, 4)
    assert torch.isfinite(warp(image, torch.zeros(1, 3, 5, 1, 4))).all()


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"expects image .* got \(1, 1, 4, 4, 4\) and \(1, 2, 4, 4, 4\)"):
        warp(torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 2, 4, 4, 4))
