"""A bad field gives way to a better one, with a word; a good one stays; whoever wants the bad one can have it."""

import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.refine import Options, Pair, refine
from common.refine.options import STARTS
from common.registration import KeepBetterd, RefineFieldd
from common.registration.clock import stage
from tests.common.registration.test_refinement import blobs
from tests.conftest import smooth_ddf

SIZE = (32, 32, 32)


def volume(shift: float, size: int = 32) -> torch.Tensor:
    """Three soft balls with flat air around, (1, X, Y, Z)."""
    inside = blobs(shift)[0, 0]
    out = torch.zeros(size, size, size)
    edge = (size - 24) // 2
    out[edge : edge + 24, edge : edge + 24, edge : edge + 24] = torch.where(inside > 0.03, inside, 0.0)
    return out[None]


@pytest.fixture
def data() -> dict:
    """A pair on one grid of 2 mm whose moving image lies one voxel further."""
    affine = torch.diag(torch.tensor([2.0, 2, 2, 1])).double()
    moving, fixed = volume(1.0), volume(0.0)
    pair: dict = {
        "image": MetaTensor(torch.cat([moving, fixed]), affine=affine),
        "pred": torch.zeros(3, *SIZE),
        "fixed": MetaTensor(fixed, affine=affine, meta={"filename_or_obj": "f.nii"}),
        "moving": MetaTensor(moving, affine=affine, meta={"filename_or_obj": "m.nii"}),
    }
    with stage(pair, "network_grid"):
        pass
    return pair


def good_field() -> torch.Tensor:
    return torch.stack([torch.ones(SIZE), torch.zeros(SIZE), torch.zeros(SIZE)])


def kinds(out: dict) -> list[str]:
    return [flag["flag"] for flag in out["quality"]]


def net(keep: bool | str = False) -> KeepBetterd:
    return KeepBetterd(RefineFieldd("off", similarity="correlation"), keep)


def test_a_good_field_stays(data, monkeypatch):
    """And nothing is refined for it."""
    monkeypatch.setattr(RefineFieldd, "from_alignment", None)
    out = net()({**data, "pred": good_field()})
    assert torch.equal(out["pred"], good_field())
    assert kinds(out) == [] and "fallback" not in out
    figures = out["quality_figures"]
    assert figures["result"]["local_correlation"] > 0.97 > figures["start"]["local_correlation"]
    assert figures["deformation"]["sd_log_jacobian"] == pytest.approx(0, abs=1e-5)
    assert "check" in out["clock"]


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (-4 * good_field(), "mutual information falls from"),
        (0.95 * good_field() * (torch.arange(32) // 2 % 2 * 2 - 1)[None, :, None, None], "SD of the log Jacobian is"),
        (good_field() * float("nan"), "values that are not finite"),
    ],
)
def test_a_bad_one_gives_way_to_the_refined_alignment(data, caplog, field, reason):
    out = net()({**data, "pred": field})
    assert out["fallback"]["to"] == "the alignment, refined"
    assert any(reason in word for word in out["fallback"]["because"])
    assert out["fallback"]["rejected"][0]["result"] == "the network's field"
    assert out["refinement"]["start"] == "affine" and out["refinement"]["preset"] == "fast"
    assert float(out["pred"][0, 12, 16, 16]) == pytest.approx(1.0, abs=0.3)
    assert kinds(out) == [] and "f.nii: the result is the alignment, refined, since" in caplog.text


@pytest.mark.parametrize("keep", [True, "true"])
def test_kept_it_stays_flagged(data, caplog, keep):
    out = net(keep)({**data, "pred": -4 * good_field()})
    assert torch.equal(out["pred"], -4 * good_field())
    assert "similarity" in kinds(out) and "fallback" not in out
    assert "makes the images less alike; leave refinement on" in caplog.text


def lesion(*corner: int) -> torch.Tensor:
    """(32, 32, 32) of 0 in a block of six voxels, 1 around it."""
    counted = torch.ones(SIZE)
    x, y, z = corner
    counted[x : x + 6, y : y + 6, z : z + 6] = 0
    return counted


@pytest.mark.parametrize("channel", [0, 1])
def test_nothing_within_an_excluded_region_is_judged(data, channel):
    """Neither its values, where the field brings it from, nor what the field does there."""
    counted = torch.ones(2, *SIZE)
    counted[channel] = lesion(12, 13, 13)
    wild = good_field()
    wild[0, 13:17, 14:18, 14:18] += torch.tensor([9.0, -9.0] * 2)[:, None, None]
    figures = []
    for value in (0.1, 0.9):
        image = data["image"].clone()
        image[channel] = torch.where(counted[channel] > 0, image[channel], torch.tensor(value))
        out = net()({**data, "image": image, "counted": counted, "pred": wild if channel else good_field()})
        assert kinds(out) == [] and "fallback" not in out
        figures.append(out["quality_figures"])
    assert figures[0] == figures[1]
    assert figures[0]["result"]["local_correlation"] > figures[0]["start"]["local_correlation"]
    assert "fallback" in net()({**data, "pred": wild}), "without the mask it is seen"


def test_with_all_of_the_anatomy_excluded_there_is_nothing_to_judge(data):
    with pytest.raises(InputError, match="expected some of the anatomy to be left, got none of it"):
        net()({**data, "pred": good_field(), "counted": torch.zeros(2, *SIZE)})


def test_where_nothing_is_in_common_the_alignment_alone_is_left(data):
    noise = torch.from_numpy(np.random.default_rng(0).random(SIZE).astype(np.float32)) * (data["image"][0] > 0)
    data["image"][0] = noise
    out = net()({**data, "pred": smooth_ddf(SIZE, 1.0)[0]})
    assert out["fallback"]["to"] == "the alignment alone" and len(out["fallback"]["rejected"]) == 1
    assert "nothing in common" in out["fallback"]["because"][0]
    assert not out["pred"].any() and "refinement" not in out


def test_a_contrast_that_no_weights_have_seen(data):
    """Turned round inside, as T2 against T1: the network's field is not believed, a refined alignment is."""
    inside = data["image"][0] > 0
    data["image"][0] = torch.where(inside, 1.05 - data["image"][0], 0.0)
    assert "contrast" in kinds(net(True)({**data, "pred": 0.01 * good_field()}))
    out = KeepBetterd(RefineFieldd("off", similarity="mind"))({**data, "pred": 0.01 * good_field()})
    assert any("the contrasts run against each other" in word for word in out["fallback"]["because"])
    assert "contrast" not in kinds(out)


def test_doubts_about_the_pair_change_nothing(data):
    image = torch.roll(data["image"].as_tensor(), -8, dims=1)
    image[:, 20:] = 0
    data["image"] = MetaTensor(torch.stack([image[0], torch.roll(image[1], 12, dims=1)]), affine=data["image"].affine)
    data["fixed"] = MetaTensor(image[1:, 8:], affine=data["fixed"].affine, meta=data["fixed"].meta)
    thick = torch.diag(torch.tensor([2.0, 2, 5, 1])).double()
    data["moving"] = MetaTensor(data["moving"].as_tensor(), affine=thick, meta=data["moving"].meta)
    data["alignment_figures"] = '{"implausible": ["scale 2.00"]}'
    out = net(True)({**data, "pred": torch.zeros(3, *SIZE)})
    assert {"alignment", "overlap", "cut", "thick_slices"} <= set(kinds(out))
    assert not any(flag["serious"] for flag in out["quality"])


@pytest.mark.parametrize(
    ("taken", "apart", "said"),
    [
        ("affine", 0.35, True),
        ("affine", 0.8, False),
        ("none", 0.1, True),
        ("none", 0.35, False),
        ("rigid", None, False),
    ],
)
def test_a_pair_that_may_be_one_person_is_said_to_be(data, taken, apart, said):
    data["alignment_figures"] = json.dumps({"implausible": [], "kind": taken, "from_rigid_mm": apart})
    out = net(True)({**data, "pred": torch.zeros(3, *SIZE)})
    flags = {flag["flag"]: flag for flag in out["quality"]}
    assert ("one_person" in flags) == said
    if said:
        assert flags["one_person"]["word"].startswith("this may be one person twice: the best affine map is within 0.")
        assert not flags["one_person"]["serious"]


def test_identical_images_are_left_alone(data):
    out = net()({**data, "identical_inputs": True, "pred": -4 * good_field()})
    assert kinds(out) == ["identical"] and torch.equal(out["pred"], -4 * good_field())


def test_a_refinement_from_the_alignment_is_not_tried_twice(data):
    image = torch.as_tensor(data["image"]).as_subclass(torch.Tensor)
    record = refine(Pair(image[None, :1], image[None, 1:]), None, Options("fast", "correlation")).record.as_dict()
    out = net()({**data, "pred": -4 * good_field(), "refinement": record})
    assert out["fallback"]["to"] == "the alignment alone"
    assert [one["result"] for one in out["fallback"]["rejected"]] == ["the alignment, refined"]


@pytest.mark.parametrize("start", [start for start in STARTS if start != "auto"])
def test_every_start_of_a_refinement_is_judged(data, start):
    given = {**data, "pred": good_field()}
    refined = RefineFieldd("fast", similarity="correlation", start=start)(given)
    assert refined["refinement"]["start"] == start
    assert "fallback" not in net()(refined)
