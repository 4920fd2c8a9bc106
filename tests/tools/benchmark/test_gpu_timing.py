"""Timing on a GPU, tried out on the CPU: what is counted, what is compared, and how failures are named."""

import json

import pytest
import torch

from tools.benchmark import gpu_timing as timing


def test_bytes_that_a_scan_must_move():
    moved = timing.scan_bytes(1, 192, 107520, 16)
    assert moved["forward"] == 4 * (4 * 192 + 2 * 16) * 107520
    assert moved["forward"] / 4.3e12 * 1e6 == pytest.approx(80, abs=1)


def test_inputs_are_what_a_mamba_block_makes():
    given = timing.scan_inputs(2, 4, 8, 3, "cpu", torch.bfloat16)
    assert set(given) == set(timing.NAMES)
    assert {name for name, tensor in given.items() if tensor.dtype == torch.bfloat16} == {"u", "delta", "B", "C", "z"}
    assert given["A"].tolist() == [[-1.0, -2.0, -3.0]] * 4
    steps = torch.nn.functional.softplus(given["delta_bias"])
    assert 0.005 < steps.mean() < 0.02


def test_works_run_by_turns_and_have_a_median():
    runs = []
    works = {"first": lambda: runs.append("first"), "second": lambda: runs.append("second")}
    found = timing.medians(works, "cpu", 4)
    assert runs[:6] == ["first", "second"] * 3 and runs[6:14] == ["first", "second"] * 4
    assert all(row["ms_q1"] <= row["ms"] <= row["ms_q3"] and row["peak_mb"] == 0 for row in found.values())


def test_scans_are_compared_with_their_limit():
    rows = timing.compare_scans(((2, 8),), 3, (1,), "cpu", 2, bandwidth=1e9)
    assert {(row["dtype"], row["direction"]) for row in rows} == {
        (dtype, direction) for dtype in ("float32", "bfloat16") for direction in ("forward", "backward")
    }
    row = next(r for r in rows if r["direction"] == "forward" and r["dtype"] == "float32")
    assert row["limit_ms"] == pytest.approx(timing.scan_bytes(1, 2, 8, 3)["forward"] / 1e9 * 1e3)
    assert row["times_limit"] == pytest.approx(row["ms"] / row["limit_ms"])


def test_both_ways_of_walking_are_timed():
    assert set(timing.compare_walks(4, 4, 3, "cpu", 2)) == {"fused", "materialised"}


@pytest.mark.parametrize(
    ("config", "volume"),
    [
        ({"network_def": {"_target_": "X", "img_size": [8, 16, 32]}}, [8, 16, 32]),
        ({"network_def": {"_target_": "X"}, "shape": [8, 8, 8]}, [8, 8, 8]),
        ({"network_def": {"_target_": "X"}, "shape": None, "cube": True}, [128, 128, 128]),
        ({"network_def": {"_target_": "common.networks.PSMambaNet"}}, [160, 192, 160]),
        ({"network_def": {"_target_": "common.networks.MambaMorph"}}, [192, 208, 176]),
    ],
)
def test_the_volume_is_that_of_the_paper(config, volume):
    assert timing._volume(config) == volume


def test_networks_are_timed_and_a_failing_one_is_named(tmp_path):
    good_network = {"_target_": "torch.nn.Conv3d", "in_channels": 2, "out_channels": 3, "kernel_size": 1}
    networks = {"good": good_network, "bad": {"_target_": "common.networks.Missing"}}
    networks["untrainable"] = {"_target_": "torch.nn.Identity"}
    for name, network in networks.items():
        folder = tmp_path / name / "configs"
        folder.mkdir(parents=True)
        config = {"network_def": network, "cube": True}
        (folder / "inference.json").write_text(json.dumps(config))
    bad, good, untrainable = timing.compare_networks(tmp_path, "cpu", 2, limit=4)
    assert bad["bundle"] == "bad" and "error" in bad
    assert good["volume"] == "4x4x4" and good["forward_ms"] > 0 and good["training_ms"] > 0
    assert untrainable["forward_ms"] > 0 and "does not require grad" in untrainable["training_ms"]
