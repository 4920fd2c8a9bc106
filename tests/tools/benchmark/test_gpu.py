"""The GPU checks: tried out on the CPU, their arithmetic, and how they refuse and record failures."""

import json

import pytest
import torch

from common.errors import InputError
from tools.benchmark import gpu as command
from tools.benchmark import gpu_timing as timing
from tools.benchmark.build_mamba_ssm import restrict_architectures


def test_a_trial_on_the_cpu_writes_a_record_that_says_so(tmp_path):
    command.gpu_checks(str(tmp_path), device="cpu", sizes=((4, 16),), tests=False, networks=False, repeats=2)
    record = json.loads((tmp_path / "gpu_checks.json").read_text())
    page = (tmp_path / "gpu_checks.md").read_text()
    assert "not a GPU record" in page and "## Selective scan" in page and "## Sweep" not in page
    assert {row["direction"] for row in record["scans"]} == {"forward", "backward"}
    assert {row["batch"] for row in record["scans"]} == {1, 2}
    assert all(row["grad_A"] < 1e-5 for row in record["errors"])
    assert record["machine"]["torch"] == torch.__version__


def test_without_a_gpu_it_says_so(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    with pytest.raises(InputError, match=r"needs a CUDA device, torch .* sees none"):
        command.gpu_checks(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_failing_step_is_recorded_and_loses_no_other():
    def fails():
        raise RuntimeError("out of memory")

    assert command._guarded(fails) == {"error": "RuntimeError: out of memory"}
    record = {"machine": {}, "copy_bytes_per_second": 4.3e12, "repeats": 1, "scans": command._guarded(fails)}
    assert "- error: RuntimeError: out of memory" in command.page(record)


def test_bytes_that_a_scan_must_move():
    moved = timing.scan_bytes(1, 192, 107520, 16)
    assert moved["forward"] == 4 * (4 * 192 + 2 * 16) * 107520
    assert moved["forward"] / 4.3e12 * 1e6 == pytest.approx(80, abs=1)


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


def test_one_architecture_is_put_before_the_extension(tmp_path):
    setup = tmp_path / "setup.py"
    setup.write_text(
        'cc_flag = []\nif True:\n    cc_flag.append("arch=compute_80,code=sm_80")\n    ext_modules.append(1)\n'
    )
    restrict_architectures(setup, (9, 0))
    names = {"ext_modules": []}
    exec(setup.read_text(), names)
    assert names["cc_flag"] == ["-gencode", "arch=compute_90,code=sm_90"]
    setup.write_text("nothing of the kind")
    with pytest.raises(InputError, match=r"expected 'cc_flag' and 'ext_modules\.append"):
        restrict_architectures(setup, (9, 0))
