"""The benchmark of alignments: what is done to an image is what its pose says, and the page counts who found it."""

import json

import numpy as np
import pytest

from common.errors import InputError
from common.geometry import orientation_of, spacing_of, transform_points
from common.geometry.affines import index_map
from common.geometry.alignment import pose_of
from tests.common.registration.phantom import brain, centred_affine, make_image, world_points
from tools.benchmark import alignment
from tools.benchmark.alignment_cases import DISTURBANCES, Picture
from tools.benchmark.alignment_methods import METHODS, Method

SHAPE = (40, 46, 36)


def picture() -> Picture:
    affine = centred_affine(SHAPE, spacing=(1.1, 1.2, 1.3), degrees=(5, -4, 8))
    return Picture(brain(world_points(SHAPE, affine)).astype(np.float32), affine, np.eye(4))


@pytest.mark.parametrize("case", DISTURBANCES)
@pytest.mark.parametrize("seed", range(3))
def test_every_voxel_is_where_the_pose_says(case, seed):
    before = picture()
    after = DISTURBANCES[case](before, np.random.default_rng(seed))
    back = index_map(after.affine, before.affine, np.linalg.inv(after.world))
    index = np.argwhere(after.voxels > 40)[::97]
    old = np.rint(transform_points(back, index)).astype(int)
    found, wanted = after.voxels[tuple(index.T)], before.voxels[tuple(old.T)]
    if case == "thick slices":  # means of several
        assert spacing_of(after.affine).max() >= 6 > spacing_of(before.affine).max()
        assert np.corrcoef(found, wanted)[0, 1] > 0.8
    else:
        assert np.array_equal(found, wanted)


def test_the_amounts_are_those_that_are_said():
    before, centre = picture(), picture().centre
    for seed in range(5):
        made = {name: one(before, np.random.default_rng(seed)) for name, one in DISTURBANCES.items()}
        poses = {name: pose_of(one.world, centre) for name, one in made.items()}
        assert 25 <= poses["turned"].rotation_degrees <= 45 and 20 <= poses["turned"].shift_mm <= 60
        assert poses["headers far apart"].shift_mm == pytest.approx(135)
        assert np.allclose(made["no origin"].affine[:3, 3], 0)
        assert poses["scaled"].scales[2] > 0.7 and poses["scaled"].scales[0] < 1.31
        assert abs(np.mean(poses["scaled"].scales) - 1) > 0.1
        assert 25 <= poses["everything"].rotation_degrees <= 45
        assert poses["everything"].scales[2] >= 0.75 and poses["everything"].scales[0] <= 1.25
        for name in ("headers far apart", "no origin", "everything"):
            assert sorted(made[name].voxels.shape) == sorted(SHAPE)
        assert made["without its top"].voxels.shape[2] < SHAPE[2]
        assert (before.voxels > 0).sum() > 1.1 * (made["without its top"].voxels > 0).sum()
    codes = {orientation_of(DISTURBANCES["no origin"](before, np.random.default_rng(n)).affine) for n in range(8)}
    assert len(codes) > 3


@pytest.fixture
def methods(monkeypatch):
    """A method that knows nothing, one that is lost, and how often either was called."""
    calls = []

    def still(fixed, moving, folder, threads):
        calls.append(moving)
        return np.eye(4), {}

    def fails(fixed, moving, folder, threads):
        raise RuntimeError("it diverged")

    monkeypatch.setitem(METHODS, "still", Method("still", "identity", still, "numpy", "numpy"))
    monkeypatch.setitem(METHODS, "calm", Method("calm", "identity too", still, "torch", "torch"))
    monkeypatch.setitem(METHODS, "lost", Method("lost", "an error", fails, "scipy", "scipy"))
    return calls


@pytest.fixture
def datalist(tmp_path):
    files = {role: str(make_image(tmp_path / f"{role}.nii.gz", shape=SHAPE).name) for role in ("fixed", "moving")}
    (tmp_path / "pairs.json").write_text(json.dumps([{"name": "one pair", "kind": "twins", **files}]))
    return str(tmp_path / "pairs.json")


def test_a_run_counts_who_found_the_pose_and_goes_on(tmp_path, datalist, methods, capsys):
    out = tmp_path / "out"
    alignment.benchmark_alignment(str(out), datalist, methods=("still", "calm", "lost"))
    page = (out / "table.md").read_text()
    assert "7 misalignments: 7 kinds of 1 pairs, seed 2026" in page
    assert "| one pair: twins | 0 of 7 | 0 of 7 | 0 of 7 |" in page
    assert "| one pair | 0.00 |  |  | still and calm |" in page or "| one pair | 0.00 | still and calm |" in page
    assert "| one pair | turned | lost | inf |" in page
    assert "one pair, headers far apart, still: 13" in capsys.readouterr().out
    count = len(methods)
    assert count == 2 * 8
    alignment.benchmark_alignment(str(out), datalist, methods=("still", "calm", "lost"))
    assert len(methods) == count, "what was found is taken over"
    alignment.benchmark_alignment(str(out), datalist, methods=("still", "calm"), seed=7)
    assert len(methods) == 2 * count


def test_a_pair_that_no_two_programs_agree_on_is_left_out(tmp_path, datalist, methods, capsys):
    with pytest.raises(InputError, match=r"no pair of .* has a known pose"):
        alignment.benchmark_alignment(str(tmp_path / "out"), datalist, methods=("still", "lost"))
    assert "one pair: no two programs agree within 2 mm on it as it is: left out" in capsys.readouterr().out


def test_errors_are_distances_from_the_known_pose():
    points, shifted = np.zeros((4, 3)), np.eye(4)
    shifted[:3, 3] = 3, 4, 0
    result = {"matrix": shifted.tolist(), "cpu_seconds": 1.0, "seconds": 2.0, "flags": ["odd", "far"]}
    found = alignment.scored(points, np.eye(4), result)
    assert found == {"error_mm": 5.0, "cpu_seconds": 1.0, "seconds": 2.0, "flags": "odd; far"}
    assert alignment.scored(points, np.eye(4), result | {"matrix": None})["error_mm"] == float("inf")


def test_methods_that_are_none_or_not_here(tmp_path, datalist, monkeypatch):
    with pytest.raises(InputError, match=r"methods: expected some of ours, ants, ants_fast, greedy, got anse"):
        alignment.benchmark_alignment(str(tmp_path), datalist, methods=("anse",))
    monkeypatch.setitem(METHODS, "gone", Method("Gone", "", METHODS["ours"].find, "no_such_module", "no-such-thing"))
    with pytest.raises(InputError, match="Gone is not installed: pip install no-such-thing"):
        alignment.benchmark_alignment(str(tmp_path), datalist, methods=("gone",))


def test_our_own_alignment_is_one_of_them(tmp_path):
    pytest.importorskip("SimpleITK")
    files = [
        str(make_image(tmp_path / f"{name}.nii.gz", shift=by)) for name, by in (("f", (0, 0, 0)), ("m", (0, 0, 0)))
    ]
    matrix, notes = METHODS["ours"].find(*files, tmp_path, 1)
    assert np.allclose(matrix, np.eye(4), atol=0.05)
    assert set(notes) == {"kind", "flags"} and len(METHODS["ours"].version) == 12
