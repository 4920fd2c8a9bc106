import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.errors import InputError
from common.evaluation import read_pairs, read_structures
from tests.bundles.conftest import BUNDLES
from tests.bundles.test_evaluation import AFFINE, TINY, evaluate, options, write_kit
from tools.benchmark import registration as module
from tools.benchmark.peers import PEERS, Images, Peer, bundle
from tools.benchmark.peers.base import Peer as BasePeer
from tools.benchmark.peers.worker import find_method
from tools.benchmark.registration import benchmark_registration, method_names


def test_one_run_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The affine start and a tool that is not installed: table, figures, records, and a run that takes them over."""
    write_kit(tmp_path)
    absent = BasePeer("absent", "Absent tool", "-", PEERS["none"].register, "no_such_module", "no-such-package")
    monkeypatch.setitem(PEERS, "absent", absent)
    out = tmp_path / "out"
    benchmark_registration(str(tmp_path / "list.json"), str(out), "none,absent", keep_fields=True)
    table = (out / "table.md").read_text()
    assert "| affine start only | 3 |" in table
    assert "Absent tool: not installed (`pip install no-such-package`)" in table
    assert "Quoted, not measured here" in table and "82.71 ± 1.45" in table
    content = json.loads((out / "evaluation.json").read_text())
    assert [row["pair"] for row in content["pairs"]] == ["s0_to_s1", "s1_to_s2", "s2_to_s0"]
    assert all(row["cpu_seconds"] > 0 and row["peak_memory_mb"] > 50 for row in content["pairs"])
    assert content["protocol"]["grid"] == [20, 18, 22] and content["protocol"]["spacing_mm"] == [2, 2, 2]
    for name in ("dice_by_structure_1.png", "dice_against_time.png", "pairs.csv"):
        assert (out / name).stat().st_size > 0
    assert np.load(out / "fields" / "affine_start_only__s0_to_s1.npy").shape == (3, 20, 18, 22)
    assert len(list((out / "records").iterdir())) == 3

    for path in (out / "records").iterdir():  # as they were named once
        path.write_text(path.read_text().replace("peak_memory_mb", "peak_megabytes"))
    monkeypatch.setattr(module, "_run", lambda *_: pytest.fail("a record that is there was made again"))
    benchmark_registration(str(tmp_path / "list.json"), str(out), "none", resume=True)
    assert json.loads((out / "evaluation.json").read_text())["pairs"] == content["pairs"]


def test_a_method_that_fails_is_reported_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_kit(tmp_path)
    run = module._run

    def fail_once(peer: Peer, pair: dict, *rest: object) -> dict:
        return {"error": "out of luck"} if pair["name"] != "s2_to_s0" else run(peer, pair, *rest)

    monkeypatch.setattr(module, "_run", fail_once)
    benchmark_registration(str(tmp_path / "list.json"), str(tmp_path / "out"), "none")
    assert "affine start only failed on s0_to_s1: out of luck" in (tmp_path / "out" / "table.md").read_text()
    monkeypatch.setattr(module, "_run", lambda *_: {"error": "nothing works"})
    with pytest.raises(InputError, match="no method gave a result: affine start only: nothing works"):
        benchmark_registration(str(tmp_path / "list.json"), str(tmp_path / "out2"), "none")


def test_method_groups() -> None:
    assert method_names("none, ants_syn,none") == ["none", "ants_syn"]
    assert method_names(("greedy", "none")) == ["greedy", "none"]
    classical = method_names("classical")
    assert "none" in classical and all(PEERS[name].installed for name in classical)
    refined = method_names("refined")
    assert refined == ["none+refine", *[f"{name}+refine" for name in method_names("bundles")]]
    assert set(method_names("all")) == set(classical) | set(method_names("bundles")) | set(refined)


def test_a_method_says_what_the_refinement_is() -> None:
    alone, fast = find_method("none+refine"), find_method("none+fast")
    assert (alone.title, fast.title) == ("Refinement alone", "Refinement alone (fast)")
    assert alone.settings.endswith("no network, then refinement, auto") and fast.settings.endswith("refinement, fast")
    for wrong in ("none+", "none+slow"):
        with pytest.raises(InputError, match=r"expected \+refine, \+fast or \+accurate behind the plus, got '(slow)?'"):
            find_method(wrong)
    assert bundle.bundle_digest("none+refine") == bundle.bundle_digest("none+fast")


def test_a_refined_method_is_what_users_get(tmp_path: Path) -> None:
    """A ball onto a larger one, without a network: refined, and described as ``settings`` say."""
    write_kit(tmp_path)
    images = Images(str(tmp_path / "s1.nii.gz"), str(tmp_path / "s0.nii.gz"), tmp_path)
    ddf = find_method("none+fast").register(images)
    assert ddf.shape == (3, 20, 18, 22) and np.abs(ddf).max() > 0.1
    assert json.loads((tmp_path / "bundle" / "metrics.json").read_text())["refinement"]["preset"] == "fast"


def test_an_unknown_method_is_refused_with_the_names_that_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"method 'sny': expected one of .*mambamorph.*ants_syn"):
        benchmark_registration(str(tmp_path / "list.json"), str(tmp_path), "sny")


def test_a_bundle_is_run_by_its_own_inference_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_kit(tmp_path)
    root = tmp_path / "bundles" / "tiny"
    shutil.copytree(BUNDLES[0].parent / "mambamorph", root, ignore=shutil.ignore_patterns("*.pt"))
    config = json.loads((root / "configs" / "inference.json").read_text())
    config |= {"network_def": TINY, "spacing": 4.0, "multiple": 8, "shape": None, "cube": False, "passes": [1]}
    (root / "configs" / "inference.json").write_text(json.dumps(config))
    monkeypatch.setenv("REGISTRATION_BUNDLES", str(root.parent))
    assert "tiny" in bundle.bundle_names() and "tiny" not in bundle.ready_names()
    with pytest.raises(InputError, match=r"bundle tiny: expected weights at .*model.pt, got no such file"):
        bundle.bundle_method("tiny")
    (root / "models").mkdir(exist_ok=True)
    shutil.copy(tmp_path / "model.pt", root / "models" / "model.pt")
    digest = bundle.bundle_digest("tiny")
    assert len(digest) == 12 and digest == bundle.bundle_digest("tiny:2-1")
    with pytest.raises(InputError, match="method 'tiny:x': expected passes such as 2-1 behind the colon, got 'x'"):
        bundle.bundle_method("tiny:x")

    method = bundle.bundle_method("tiny")
    images = Images(str(tmp_path / "s1.nii.gz"), str(tmp_path / "s0.nii.gz"), tmp_path)
    ddf = method.register(images)
    assert method.title == "MambaMorph" and ddf.shape == (3, 20, 18, 22) and np.abs(ddf).max() > 0
    assert 0 < images.notes["network_seconds"] <= images.notes["seconds"]
    # The same field as the evaluation scores: both doors lead to one pipeline.
    evaluate("mambamorph", {**options(tmp_path, "out"), "passes": [1]})
    row = json.loads((tmp_path / "out" / "evaluation.json").read_text())["pairs"][0]
    pair = read_pairs(str(tmp_path / "list.json"))[0]
    scores = module.score(pair, ddf, read_structures(str(tmp_path / "list.json")))["scores"]
    assert scores["dice_nearest"] == pytest.approx(row["dice_nearest"], abs=1e-5)
    assert scores["sd_log_jacobian"] == pytest.approx(row["sd_log_jacobian"], rel=1e-3)
    again = find_method("tiny:1-1")
    assert again.title == "MambaMorph at 4 mm, then 4 mm" and method.settings.endswith("network at 4 mm, network alone")
    assert np.abs(again.register(images) - ddf).max() > 1e-3
    config["amp"] = True
    (root / "configs" / "inference.json").write_text(json.dumps(config))
    assert bundle.bundle_digest("tiny") != digest


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """A blob and the same blob two voxels further along every array axis, in an oblique left-handed frame."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in (40, 38, 42)], indexing="ij")).astype(float)

    def blob(offset: float) -> np.ndarray:
        centre = np.array([19, 18, 20.0]).reshape(3, 1, 1, 1) + offset
        radius = np.sqrt((((grid - centre) / np.array([1, 1.2, 0.9]).reshape(3, 1, 1, 1)) ** 2).sum(0))
        return (200 / (1 + np.exp(radius - 9))).astype(np.float32)

    for name, offset in (("fixed", 0.0), ("moving", 2.0)):
        nibabel.save(nibabel.Nifti1Image(blob(offset), AFFINE), tmp_path / f"{name}.nii.gz")
    return Images(str(tmp_path / "fixed.nii.gz"), str(tmp_path / "moving.nii.gz"), tmp_path)


@pytest.mark.parametrize("name", ["ants_syn", "greedy", "demons", "dipy", "convexadam", "elastix"])
def test_every_installed_tool_pulls_the_moving_image_onto_the_fixed_one(name: str, images: Images) -> None:
    """Axis order, sign and unit of a tool's field: +2 voxels along every axis at the blob's surface."""
    if not PEERS[name].installed:
        pytest.skip(f"{PEERS[name].distribution} is not installed")
    ddf = PEERS[name].register(images)
    assert ddf.shape == (3, *images.fixed.shape)
    surface = (images.fixed > 60) & (images.fixed < 140)
    for component in ddf:
        assert component[surface].mean() == pytest.approx(2.0, abs=0.8)


def test_moving_images_on_another_grid_are_resampled(images: Images, tmp_path: Path) -> None:
    flipped = AFFINE @ np.diag([-1.0, 1, 1, 1])
    flipped[:3, 3] = (AFFINE @ [39, 0, 0, 1])[:3]
    volume = images.moving_on_fixed
    nibabel.save(nibabel.Nifti1Image(volume[::-1], flipped), tmp_path / "flipped.nii.gz")
    other = Images(images.fixed_path, str(tmp_path / "flipped.nii.gz"), tmp_path)
    assert np.abs(other.moving_on_fixed - volume).max() < 1e-3


@pytest.mark.parametrize(
    ("asked", "run", "found"),
    [
        ("", ["mambamorph", "none", "ants_syn"], ["MAMBAMORPH"]),  # bundles against the rest
        ("", ["mambamorph", "voxelmorph"], ["MAMBAMORPH"]),  # nothing but bundles: the first against the others
        ("voxelmorph", ["mambamorph", "voxelmorph", "none"], ["VOXELMORPH"]),
        ("", ["none"], []),
    ],
)
def test_whom_the_statistics_compare_with_the_others(asked: str, run: list[str], found: list[str]) -> None:
    records = [{"method": name.upper(), "job": {"method": name}} for name in run]
    assert module.our_methods(asked, records) == found


def test_an_own_method_that_did_not_run_is_refused() -> None:
    with pytest.raises(InputError, match="ours: expected methods of this run, none, got mambamorph"):
        module.our_methods("mambamorph", [{"method": "affine", "job": {"method": "none"}}])
