"""What the network says of an image: where it lies, on which grids, and from which weights only."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from common.anatomy import describe
from common.anatomy import network as module
from common.anatomy.description import explained, normalised
from common.errors import InputError
from common.images import read_volume
from common.sample import sample_pair


@pytest.fixture(scope="module")
def brain():
    """The sample's T1 at 2 mm, RAS, (1, 1, X, Y, Z) in [0, 1]."""
    file = read_volume(sample_pair()["fixed"], "fixed").in_ras()
    image = F.avg_pool3d(torch.from_numpy(np.ascontiguousarray(file.voxels.astype(np.float32)))[None, None], 2)
    assert float(file.grid.spacing.max()) == pytest.approx(1.0, abs=0.01)
    return image / image.max()


def test_a_brain_is_told_in_any_brightness(brain):
    found, darker = describe(brain, 2.0), describe(0.3 * brain, 2.0)
    assert found.factor == 1 and found.maps.shape == (1, 16, *brain.shape[2:])
    assert found.named > 0.7 and found.explained > 0.5 and 400 < found.millilitres["cerebral cortex"] < 1100
    assert 12 < found.millilitres["thalamus"] < 40 and 15 < found.millilitres["brain stem"] < 50
    assert float((found.maps - darker.maps).abs().mean()) < 0.01


def test_the_maps_move_with_the_image(brain):
    moved = F.pad(brain, [0, 0, 7, 0, 0, 3])
    found, shifted = describe(brain, 2.0), describe(moved, 2.0)
    apart = shifted.maps[..., : brain.shape[2], 7:, :] - found.maps
    assert float(apart.abs().max()) < 0.05


def test_finer_images_are_joined_first(brain):
    fine = brain.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)
    found = describe(fine, 1.0)
    assert found.factor == 2
    torch.testing.assert_close(found.maps, describe(brain, 2.0).maps)


@pytest.mark.parametrize(("spacing", "cut"), [(4.0, 0), (1.4, 0), (1.0, 1)])
def test_grids_that_do_not_fit_are_left_alone(brain, spacing, cut):
    assert describe(brain[..., : brain.shape[4] // 2 * 2 - cut], spacing) is None


def test_an_empty_image_has_no_structures(brain):
    found = describe(torch.zeros_like(brain), 2.0)
    assert found.named == 0 and found.explained == 0 and sum(found.millilitres.values()) == 0


def test_a_contrast_that_it_does_not_know_explains_little(brain):
    noise = torch.rand(brain.shape, generator=torch.Generator().manual_seed(0))
    assert describe((brain > 0.05) * (0.5 + 0.5 * noise), 2.0).explained < 0.2


def test_explained_is_the_variance_between_regions():
    inside = torch.ones(9, 9, 9, dtype=torch.bool)
    index = torch.zeros(9, 9, 9, dtype=torch.int64)
    index[5:] = 1
    assert explained(index.float(), index, inside) == pytest.approx(1.0)
    assert explained(index.float(), 1 - index.flip(1), inside) == pytest.approx(1.0)
    assert explained(torch.rand(9, 9, 9), index, inside) < 0.1
    assert explained(torch.ones(9, 9, 9), index, inside) == 0.0
    assert explained(torch.rand(9, 9, 9), index, ~inside) == 0.0


def test_the_range_is_that_of_what_is_not_dark():
    image = torch.cat([torch.zeros(1000), torch.linspace(0.1, 0.5, 1000), torch.tensor([9.0])])
    assert float(normalised(image)[1999]) == pytest.approx(1.0, abs=0.01)
    assert float(normalised(image).max()) == 1.5


def test_only_the_weights_that_are_known_are_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WEIGHTS", tmp_path / "weights.pt")
    module.trained_network.cache_clear()
    try:
        with pytest.raises(InputError, match=r"expected the weights of the anatomy network, got: No such file"):
            module.trained_network()
        (tmp_path / "weights.pt").write_bytes(b"something else")
        with pytest.raises(
            InputError, match=rf"of the anatomy network \(SHA-256 {module.DIGEST[:12]}\.\.\.\), got another file"
        ):
            module.trained_network()
    finally:
        module.trained_network.cache_clear()
