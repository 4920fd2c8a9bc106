"""A pair of any size through every bundle: its own grid settings and its own network class, made small."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from common.registration import AutocastInferer, ToFixedGridd
from tests.bundles.small import small_network
from tests.common.registration.phantom import make_image

#: Fixed grid, its spacing and orientation; none of the sizes is a multiple of anything.
IMAGES = {
    "odd and anisotropic": {"shape": (41, 23, 37), "spacing": (0.9, 2.3, 1.1), "code": "LPS"},
    "flat": {"shape": (29, 31, 7), "spacing": (1.5, 1.4, 5.0), "code": "PIR"},
}


def configuration(bundle: Path, **options) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.update(options)
    return parser


def prepared(bundle: Path, folder: Path, name: str, spacing: float = 2.0, passes: tuple[int, ...] = (1,)) -> dict:
    """Load and place a pair as the bundle's preprocessing does."""
    fixed = make_image(folder / "fixed.nii.gz", **IMAGES[name])
    moving = make_image(folder / "moving.nii.gz", shape=(25, 33, 21), code="ASR", deform=1.5, dtype=np.int16)
    preprocessing = configuration(bundle, spacing=spacing, passes=list(passes)).get_parsed_content("preprocessing")
    return preprocessing({"fixed": str(fixed), "moving": str(moving), "name": "pair"})


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", IMAGES)
def test_a_pair_of_any_size(bundle, name, tmp_path):
    data = prepared(bundle, tmp_path, name)
    network, image = small_network(bundle), data["image"].as_tensor()
    settings = configuration(bundle)
    assert all(n % (settings["multiple"]) == 0 for n in image.shape[1:])
    assert len(set(image.shape[1:])) == 1 or not settings["cube"]
    both = torch.stack([image, image.flip(0)])
    half = AutocastInferer(amp=True)(both, network)
    assert half.dtype == torch.float32
    assert torch.isfinite(half).all()
    # In float64: norms over small or flat features make an untrained network a strong amplifier of rounding.
    with torch.no_grad():
        network, both = network.double(), both.double()
        together = network(both)
        singles = torch.cat([network(one[None]) for one in both])
    assert together.shape == (2, 3, *image.shape[1:])
    assert torch.isfinite(together).all()
    assert not torch.allclose(together[0], together[1], atol=1e-4)
    torch.testing.assert_close(together, singles, atol=1e-5, rtol=1e-4)
    home = ToFixedGridd()({**data, "pred": singles[0]})
    shape = nib.load(tmp_path / "fixed.nii.gz").shape
    assert home["ddf"].shape == (3, *shape)
    assert home["moved"].shape == (1, *shape)
    assert torch.isfinite(home["moved"]).all()


def test_a_tiny_foreground_makes_a_grid_that_the_network_takes(bundle, tmp_path):
    data = prepared(bundle, tmp_path, "odd and anisotropic", spacing=8.0)
    network = small_network(bundle)
    assert min(data["image"].shape[1:]) == 32
    with torch.no_grad():
        assert torch.isfinite(network(data["image"].as_tensor()[None])).all()


def test_the_grid_is_large_enough_for_the_coarse_pass(bundle, tmp_path):
    passes = configuration(bundle, refine="off").get_parsed_content("passes")
    data = prepared(bundle, tmp_path, "odd and anisotropic", spacing=8.0, passes=passes)
    assert min(data["image"].shape[1:]) == 32 * max(passes)
    ddf = AutocastInferer(amp=True, passes=passes)(data["image"].as_tensor()[None], small_network(bundle))
    assert ddf.shape == (1, 3, *data["image"].shape[1:])
    assert torch.isfinite(ddf).all()
