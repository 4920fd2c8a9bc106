"""Refinement as a step of the pipeline: what it adds, what it leaves alone, and a network that failed."""

import pytest
import torch

from common.errors import InputError
from common.registration import RefineFieldd
from common.registration.clock import stage
from tests.conftest import smooth_ddf


def blobs(shift: float) -> torch.Tensor:
    """A volume (1, 1, 24, 24, 24) of three soft balls."""
    axes = torch.meshgrid(*[torch.arange(24.0)] * 3, indexing="ij")
    volume = torch.zeros(24, 24, 24)
    for x, y, z, width in ((8, 12, 12, 5), (15, 9, 13, 3), (13, 16, 9, 2)):
        square = sum((axis - centre) ** 2 for axis, centre in zip(axes, (x + shift, y, z), strict=True))
        volume += torch.exp(-square / width**2)
    return volume[None, None] / volume.max()


@pytest.fixture
def data() -> dict:
    pair: dict = {"image": torch.cat([blobs(1.0), blobs(0.0)], dim=1)[0], "pred": torch.zeros(3, 24, 24, 24)}
    with stage(pair, "network_grid"):
        pass
    return pair


def test_the_field_gets_better_and_stays_one_to_one(data):
    out = RefineFieldd("fast", similarity="correlation")(data)
    assert float(out["pred"][0, 8, 12, 12]) == pytest.approx(1.0, abs=0.3)
    assert out["refinement"]["smallest_determinant"] > 0 and out["refinement"]["reasons"]
    assert set(out["clock"]) == {"network_grid", "network", "refine", "end"}
    assert torch.equal(data["pred"], torch.zeros(3, 24, 24, 24))


@pytest.mark.parametrize("change", [{}, {"identical_inputs": True}])
def test_what_is_left_alone(data, change):
    out = RefineFieldd("auto" if change else "off")({**data, **change})
    assert out["pred"] is data["pred"] and "refinement" not in out and "network" in out["clock"]


def test_a_network_that_failed_is_replaced_by_the_alignment(data, caplog):
    data["pred"] = smooth_ddf((24, 24, 24))[0] * float("nan")
    out = RefineFieldd("fast", similarity="correlation")(data)
    assert torch.isfinite(out["pred"]).all() and out["refinement"]["start"] == "affine"
    assert "refinement starts from the alignment alone" in caplog.text


def test_what_is_no_preset():
    with pytest.raises(InputError, match="refine: expected one of off, fast, accurate, auto, got 'best'"):
        RefineFieldd("best")
