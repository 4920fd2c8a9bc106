"""The benchmark command: what it writes on a tiny problem, and how it refuses."""

import json

import pytest

from common.errors import InputError
from common.scan import available_backends
from tools.benchmark import network, scan


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


def test_network_pages_hold_what_was_measured():
    row = {"network": "mambamorph", "volume": (192, 208, 176), "precision": "fp32"}
    row |= {"cpu_seconds": 12.3, "wall_seconds": 7, "peak_gib": 3}
    page = network.markdown({"protocol": "p", "processor": "q", "versions": {"torch": "2"}, "rows": [row]})
    assert "| mambamorph | 192 x 208 x 176 | fp32 | 12.3 | 7.0 | 3.00 | 61.4, 8.3 |" in page


def test_network_forward_is_measured(capsys):
    network.print_forward("voxelmorph", (32, 32, 32), 1, 1, "{}", "bf16")
    found = json.loads(capsys.readouterr().out)
    assert found["cpu_seconds"] > 0 and found["peak_gib"] > 0


def test_networks_are_those_of_the_bundles():
    ours = network.build("psmamba_net_diff", '{"base_channels": 2}')
    assert ours.state_dict().keys() == network.build("PSMambaNet", '{"diffeomorphic": true}').state_dict().keys()
    with pytest.raises(InputError, match=r"expected a bundle's folder name or one of .*, got 'nothing'"):
        network.build("nothing")


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("voxelmorph", "expected a case such as mambamorph:192x208x176 .*, got 'voxelmorph'"),
        ("voxelmorph:32x32", "expected a case such as"),
        (
            "nothing:32x32x32",
            "benchmark network nothing:32x32x32: .*expected a bundle's folder .*, got 'nothing'",
        ),
    ],
)
def test_a_case_that_cannot_be_measured_is_named(case, text):
    with pytest.raises(InputError, match=text):
        network.run_case(case, 1, 1, "{}")


def test_peers_that_are_not_installed_are_left_out(monkeypatch):
    monkeypatch.setattr(scan.importlib.util, "find_spec", lambda name: None)
    assert scan.find_scan("mambapy") is None
    assert scan.find_scan("nonsense") is None
