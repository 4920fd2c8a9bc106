"""The scan benchmark: what it writes on a tiny problem, its inputs, its errors and its page."""

import json
import sys

import pytest
import torch

from common.scan import available_backends
from tools.benchmark import scan


@pytest.mark.skipif(not available_backends("cpu")["cpu"][0], reason="needs the compiled CPU scan")
def test_scan_writes_a_table_its_numbers_and_a_plot(tmp_path):
    options = {"sizes": ((20, 70),), "peers": ("reference", "chunked", "unknown"), "repeats": 2, "memory": False}
    scan.benchmark_scan(output_dir=str(tmp_path), **options)
    record = json.loads((tmp_path / "scan_cpu.json").read_text())
    assert {row["scan"] for row in record["rows"]} == {"cpu", "reference", "chunked"}
    assert {row["layout"] for row in record["rows"]} == {"channel-first", "channel-last"}
    ours = next(row for row in record["rows"] if row["scan"] == "cpu")
    assert ours["forward, ratio"] == 1 and ours["forward, runs"] == 2 and ours["forward"] > 0
    assert max(record["errors"]["L=70"].values()) < 1e-5
    table = (tmp_path / "scan_cpu.md").read_text()
    assert record["processor"] in table and "| 20 x 70 | channel-last | chunked |" in table
    assert (tmp_path / "scan_cpu.png").stat().st_size > 5000


def test_peers_that_are_not_installed_are_left_out(monkeypatch):
    monkeypatch.setattr(scan.importlib.util, "find_spec", lambda name: None)
    assert scan.find_scan("mambapy") is None
    assert scan.find_scan("nonsense") is None


def test_inputs_are_seeded_and_laid_out_as_asked():
    first, last = scan.inputs_of(8, 32, "channel-first"), scan.inputs_of(8, 32, "channel-last")
    assert all(torch.equal(first[name], last[name]) for name in first)
    assert first["u"].stride() == (8 * 32, 32, 1) and last["u"].stride() == (8 * 32, 1, 8)
    steps = torch.nn.functional.softplus(first["delta_bias"])
    assert steps.min() >= 0.001 and steps.max() <= 0.1  # a Mamba block's step sizes at its initialisation
    assert first["A"][0].tolist() == [-float(n) for n in range(1, scan.STATES + 1)]


def test_errors_cover_the_output_and_every_gradient():
    found = scan.errors("reference", length=20, channels=2)
    assert set(found) == {
        "output",
        *(f"gradient of {name}" for name in ("u", "delta", "A", "B", "C", "D", "delta_bias")),
    }
    assert 0 < max(found.values()) < 1e-5


def test_a_scan_with_gradients_gives_them_all():
    inputs = scan.inputs_of(2, 5, "channel-first")
    reference = scan.find_scan("reference")
    (alone,) = scan.run(reference, inputs, None)
    out, *gradients = scan.run(reference, inputs, torch.ones(1, 2, 5))
    assert torch.equal(alone, out) and not out.requires_grad
    assert [g.shape for g in gradients] == [t.shape for t in inputs.values()]


def test_what_was_not_run_is_a_dash():
    row = {"scan": "mambapy", "channels": 2, "length": 3, "layout": "channel-last", "forward": 0.5}
    row |= {"forward, ratio": 2.0, "forward and backward": None, "forward and backward, ratio": None}
    record = {"protocol": "p", "processor": "q", "capability": "c", "threads": 1, "versions": {"torch": "2"}}
    record |= {"copy_bandwidth": 1e10, "errors": {"L=3": {"output": 1e-6}}, "rows": [row]}
    page = scan.markdown(record)
    assert "| 2 x 3 | channel-last | mambapy | 0.5000 (2.0x) | - | 0.00 |" in page
    assert page.splitlines()[-1] == "- L=3: output 1.0e-06"
    assert scan.row_text(row) == "2x3 channel-last  mambapy    0.5000 s  -"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's high-water mark")
def test_memory_is_measured_in_a_process_of_its_own():
    found = scan.peak_memory("chunked", 16, 4096, "channel-first")
    # Two processes: what one holds beside the scan differs by more than so small a scan takes.
    assert min(found["forward and backward"], found["forward"]) > 0
