"""The network benchmark: one tiny forward pass end to end, its page, and how it refuses."""

import json
import subprocess

import pytest

from common.errors import InputError
from tests.bundles.conftest import ROOT
from tools.benchmark import network


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


@pytest.mark.parametrize("case", ["voxelmorph", "voxelmorph:32x32", "voxelmorph:32x32x32:fp8", "a b:32x32x32"])
def test_a_case_that_is_written_otherwise_is_named(case):
    with pytest.raises(InputError, match=f"expected a case such as mambamorph:192x208x176 .*, got '{case}'"):
        network.run_case(case, 1, 1, "{}")


@pytest.mark.parametrize(("said", "last"), [("Traceback\nMemoryError: 9 GB\n", "MemoryError: 9 GB"), ("", "it ended")])
def test_a_case_that_cannot_be_measured_says_why(monkeypatch, said, last):
    monkeypatch.setattr(network.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1, "", said))
    with pytest.raises(InputError, match=f"benchmark network voxelmorph:32x32x32: {last}"):
        network.run_case("voxelmorph:32x32x32", 1, 1, "{}")


def test_one_run_end_to_end(tmp_path, capsys):
    network.benchmark_network(
        str(tmp_path), ["VoxelMorph:32x32x32"], threads=1, options='{"unet_encoder": [4, 4, 4, 4]}'
    )
    (row,) = json.loads((tmp_path / "network_cpu.json").read_text())["rows"]
    assert row["network"] == "VoxelMorph" and row["volume"] == [32, 32, 32] and row["precision"] == "fp32"
    assert row["cpu_seconds"] > 0 and row["peak_gib"] > 0.05
    assert "| VoxelMorph | 32 x 32 x 32 | fp32 |" in (tmp_path / "network_cpu.md").read_text()
    assert "network_cpu.md, network_cpu.json" in capsys.readouterr().out


def test_the_default_cases_are_all_bundles():
    names = {case.split(":")[0] for case in network.DEFAULT}
    assert names == {path.parents[1].name for path in (ROOT / "bundles").glob("*/configs/inference.json")}
