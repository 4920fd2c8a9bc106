import pytest
import torch

from common.data.augment import affine_field, deform, random_affine, random_deformation, random_field, smooth_noise
from common.spatial import fold_share, jacobian_determinant, warp

SHAPE = (20, 16, 18)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fields_are_functions_of_the_seed() -> None:
    first, again, other = (random_field(SHAPE, generator(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (1, 3, *SHAPE)


def test_deformations_do_not_fold_and_grow_with_the_strength() -> None:
    weak, strong = (random_deformation(SHAPE, s, generator(3)) for s in (0.5, 2.0))
    assert fold_share(jacobian_determinant(strong)).item() == 0.0
    assert strong.abs().max() > 2.5 * weak.abs().max()


def test_affine_field_of_a_translation_and_of_a_rotation_about_the_centre() -> None:
    shift = torch.tensor([[1.0, 0, 0, 2], [0, 1, 0, 0], [0, 0, 1, 0]])
    field = affine_field(shift, SHAPE)
    assert torch.equal(field[0, 0], torch.full(SHAPE, 2.0)) and field[0, 1:].abs().max() == 0
    half_turn = torch.tensor([[-1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0]])
    image = torch.rand(1, 1, *SHAPE)
    torch.testing.assert_close(warp(image, affine_field(half_turn, SHAPE)), image.flip(2, 3), atol=1e-4, rtol=1e-4)


def test_random_affine_stays_within_its_bounds() -> None:
    for seed in range(10):
        matrix = random_affine(generator(seed), degrees=5.0, scale=0.05, shear=0.0, shift=2.0)
        stretches = torch.linalg.svdvals(matrix[:, :3])
        assert stretches.min() > 0.949 and stretches.max() < 1.051
        assert matrix[:, 3].abs().max() <= 2.0


def test_smooth_noise_is_smooth() -> None:
    noise = smooth_noise((32, 32, 32), (3, 3, 3), 1, generator())
    assert torch.diff(noise, dim=2).abs().max() < 0.5


def test_deform_moves_image_and_label_alike() -> None:
    label = torch.zeros(SHAPE, dtype=torch.uint8)
    label[5:12, 4:10, 6:13] = 7
    field = random_field(SHAPE, generator(5))
    images, moved = deform(label[None].float(), label, field)
    assert moved.dtype == torch.uint8 and set(moved.unique().tolist()) == {0, 7}
    clear = (images[0] < 1) | (images[0] > 6)  # away from the border both say the same
    assert torch.equal(moved[clear] == 7, images[0][clear] > 6)
    assert clear.float().mean() > 0.8


def test_random_field_without_affine_is_the_deformation() -> None:
    assert torch.equal(random_field(SHAPE, generator(2), affine=False), random_deformation(SHAPE, 1.0, generator(2)))
    assert pytest.approx(0.0) == float((random_field(SHAPE, generator(2), strength=0.0, affine=False)).abs().max())
