"""Every bundle's network as ONNX, through MONAI's own command, and as an exported program; docs/export.md says more."""

import importlib.util
from pathlib import Path

import pytest
import torch
from monai.bundle import onnx_export

from tests.bundles.conftest import BUNDLES
from tests.bundles.small import SMALL, small_network
from tests.common.networks.contract import random_pair

#: 5-D GridSample, which every warp needs, came with operator set 20.
OPSET = 20
#: Their scan is an operator of ours, which ONNX does not have.
SCANS = {
    "mambamorph": "registration.selective_scan",
    "psmamba_net": "registration.selective_scan",
    "psmamba_net_diff": "registration.selective_scan",
    "vmambamorph": "registration.cross_scan",
}
#: Graphs that take a minute to record. ONNX records the one; the other is psmamba_net's with integrations.
LONG = ("caml_morph", "psmamba_net_diff")
SHAPE = (32, 32, 32)


def chosen(*names: str) -> list:
    """Bundles as parameters, the long ones marked as slow."""
    return [
        pytest.param(path, id=path.name, marks=[pytest.mark.slow] if path.name in LONG else [])
        for path in BUNDLES
        if path.name in names
    ]


ALL = [path.name for path in BUNDLES]
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="onnx, onnxscript and onnxruntime are not installed (pip install onnx onnxscript onnxruntime)",
)


def export(bundle: Path, folder: Path) -> tuple[torch.nn.Module, Path]:
    """Export the bundle's network, made small by overrides, as ``python -m monai.bundle onnx_export`` does."""
    network = small_network(bundle)
    torch.save(network.state_dict(), folder / "model.pt")
    onnx_export(
        net_id="network_def",
        filepath=str(folder / "model.onnx"),
        ckpt_file=str(folder / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        input_shape=[1, 2, *SHAPE],
        converter_kwargs={"opset_version": OPSET},
        **{f"network_def#{key}": value for key, value in SMALL[bundle.name].items()},
    )
    return network, folder / "model.onnx"


@needs_onnx
@pytest.mark.parametrize("bundle", chosen(*(name for name in ALL if name not in SCANS)))
def test_onnx_gives_the_same_field(bundle, tmp_path):
    import onnxruntime

    network, path = export(bundle, tmp_path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (name,) = [entry.name for entry in session.get_inputs()]
    pair = random_pair(SHAPE, seed=3)
    (found,) = session.run(None, {name: pair.numpy()})
    with torch.no_grad():
        expected = network(pair)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=2e-5, rtol=1e-4)


@needs_onnx
@pytest.mark.parametrize("bundle", chosen("mambamorph", "vmambamorph"))
def test_onnx_names_the_operator_that_it_lacks(bundle, tmp_path):
    with pytest.raises(Exception, match="No ONNX function found") as caught:
        export(bundle, tmp_path)
    assert SCANS[bundle.name] in str(caught.value)


@pytest.mark.parametrize("bundle", chosen(*(name for name in ALL if name not in LONG)))
def test_torch_export_gives_the_same_field(bundle, tmp_path):
    # In float64: an untrained PSMamba-Net amplifies rounding, and recording leaves other kernels to run.
    network, pair = small_network(bundle).double(), random_pair(SHAPE, seed=3).double()
    with torch.no_grad():
        program = torch.export.export(network, (random_pair(SHAPE).double(),))
        torch.export.save(program, tmp_path / "model.pt2")
        loaded = torch.export.load(tmp_path / "model.pt2").module()
        torch.testing.assert_close(loaded(pair), network(pair), atol=1e-6, rtol=1e-5)
