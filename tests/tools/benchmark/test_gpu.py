"""The GPU checks: tried out on the CPU, their arithmetic, and how they refuse and record failures."""

import json
import subprocess

import pytest
import torch

from common.errors import InputError
from common.scan.triton import launch, plan
from tools.benchmark import gpu as command
from tools.benchmark import gpu_timing as timing

SWEPT = ((launch, "FORWARD"), (launch, "BACKWARD"), (plan, "_WARPS_WANTED"), (plan, "_RESIDENT"))


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


def test_shapes_are_swept_one_at_a_time_and_put_back(monkeypatch):
    usual = {(module, name): getattr(module, name) for module, name in SWEPT}
    seen = []

    def measured(works, device, repeats):
        seen.append([name for (module, name), value in usual.items() if getattr(module, name) != value])
        return {"triton": {"ms": 1.0}}

    monkeypatch.setattr(timing, "scan_peers", lambda device: {"triton": lambda **tensors: tensors["u"]})
    monkeypatch.setattr(timing, "medians", measured)
    rows = command.sweep_tiles(((2, 8),), "cpu", 1)
    assert len(rows) == 19 and all(row["forward"] == row["backward"] == 1.0 for row in rows)
    assert all(len(changed) <= 1 for changed in seen) and {c for changed in seen for c in changed} == {
        n for _, n in SWEPT
    }
    assert usual == {(module, name): getattr(module, name) for module, name in SWEPT}


def test_a_page_shows_rows_as_tables_and_numbers_with_the_digits_that_count():
    record = {"machine": {"device": "a GPU", "python": "3.12"}, "copy_bytes_per_second": 4.31e12, "repeats": 20}
    record["tests"] = {"passed": True, "summary": "30 passed", "output": ["left out"]}
    record["scans"] = [{"implementation": "triton", "ms": 0.123456}, {"implementation": "mamba_ssm", "peak_mb": 12.0}]
    record["walks"] = {"fused": {"ms": 2.0}, "materialised": {"ms": 3.0}}
    page = command.page(record).splitlines()
    assert "- device: a GPU" in page and "- copy bandwidth: 4.31 TB/s, read and written together" in page
    assert "- summary: 30 passed" in page and not any("left out" in line for line in page)
    assert "| implementation | ms | peak_mb |" in page
    assert "| triton | 0.123 |  |" in page and "| mamba_ssm |  | 12 |" in page
    assert "| fused | 2 |" in page and "## Other tile shapes" not in page


def test_a_record_of_tests_keeps_the_end_of_a_failure(monkeypatch):
    def ended(code, text):
        done = subprocess.CompletedProcess([], code, text, "")
        monkeypatch.setattr(command.subprocess, "run", lambda *_, **__: done)

    ended(0, "..\n== 2 passed in 1.00s ==\n")
    assert command.run_tests() == {"passed": True, "summary": "2 passed in 1.00s"}
    ended(1, "FAILED tests/x.py\n== 1 failed in 1.00s ==\n")
    found = command.run_tests()
    assert not found["passed"] and found["output"] == ["FAILED tests/x.py", "== 1 failed in 1.00s =="]
