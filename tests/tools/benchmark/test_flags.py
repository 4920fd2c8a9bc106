"""The benchmark of flags: what is done to an image, and how the flags of many runs are counted."""

import json

import numpy as np
import pytest

from common.bundle.run import Registered
from common.errors import InputError
from common.geometry import foreground_mask
from common.geometry.alignment import pose_of
from tests.common.registration.phantom import brain, centred_affine, make_image, world_points
from tools.benchmark import flags
from tools.benchmark.flag_cases import CASES

SHAPE = (40, 46, 36)
AFFINE = centred_affine(SHAPE, spacing=(2.0, 2.0, 2.0))


def voxels() -> np.ndarray:
    return brain(world_points(SHAPE, AFFINE)).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_a_spoiled_image_is_another_and_the_same_each_time(case: str):
    before = voxels()
    after, affine = CASES[case].spoil(before, AFFINE, np.random.default_rng(1))
    again, _ = CASES[case].spoil(before, AFFINE, np.random.default_rng(1))
    assert np.array_equal(after, again) and after.dtype == np.float32
    assert np.array_equal(before, voxels())
    assert after.shape != before.shape or not np.array_equal(after, before) or not np.allclose(affine, AFFINE)
    assert foreground_mask(after).any()


def test_the_amounts_are_those_that_are_said():
    before, random = voxels(), np.random.default_rng(0)
    shown, made = int(foreground_mask(before).sum()), {}
    for case in CASES:
        made[case] = CASES[case].spoil(before, AFFINE, random)
    for case in ("half set to zero, right", "half set to zero, front", "field of view ends in the brain"):
        assert int(foreground_mask(made[case][0]).sum()) == pytest.approx(shown / 2, rel=0.2)
    assert sorted(made["shuffled"][0].ravel()) == sorted(before.ravel())
    pose = pose_of(made["40 degrees and 44 mm away, --align none"][1] @ np.linalg.inv(AFFINE), (0, 0, 0))
    assert pose.rotation_degrees == pytest.approx(40)
    assert np.array_equal(made["mirrored left to right"][0][::-1], before)
    inside = foreground_mask(before)
    assert np.corrcoef(made["contrast reversed"][0][inside], before[inside])[0, 1] < -0.8


class Flagging:
    """A bundle that finds fault with every image but those of the list, and refuses one."""

    name = "Flagging"

    def __init__(self, bundle: str) -> None:
        self.asked = bundle

    def register(self, pair, output_dir, align, **options):
        assert options["brain"] == "none" and options["spacing"] == 2.0
        flag = {"flag": "similarity", "serious": True}
        if "result" in str(output_dir) and align == "none":
            raise InputError("they share no voxel")
        if pair["moving"].endswith("m.nii.gz"):
            metrics = {"quality": [{"flag": "cut", "serious": False}]}
        else:
            metrics = {"quality": [], "fallback": {"to": "the alignment alone", "rejected": [{"flags": [flag]}]}}
        return [Registered([output_dir / "metrics.json"], metrics)]


def test_flags_are_counted(tmp_path, monkeypatch, capsys):
    for name in "fm":
        make_image(tmp_path / f"{name}.nii.gz", shape=SHAPE, spacing=(2.0, 2.0, 2.0))
    pairs = [{"name": name, "kind": "T1-T1", "fixed": "f.nii.gz", "moving": "m.nii.gz"} for name in ("one", "two")]
    (tmp_path / "list.json").write_text(json.dumps({"pairs": pairs}))
    monkeypatch.setattr(flags, "Bundle", Flagging)
    flags.benchmark_flags(str(tmp_path / "out"), str(tmp_path / "list.json"), spoiled=1)
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| as it is | 0 of 2 | 2 of 2 | none | cut 2 |" in table
    assert "| noise | 1 of 1 | 1 of 1 | serious | similarity 1 |" in table
    assert "| 180 degrees away, --align none | 1 of 1 | 1 of 1 | serious | refused 1 |" in table
    rows = (tmp_path / "out" / "cases.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 + len(CASES)
    assert "one,T1-T1,noise,similarity,,the alignment alone" in rows
    assert "one, noise: serious: similarity; other: ; the alignment alone" in capsys.readouterr().out
