import pytest
import torch

from common.errors import InputError
from common.networks.psmamba import PSMambaNet
from tests.common.networks import contract
from tests.parity import check_parity

SMALL = {"base_channels": 2, "d_state": 8, "d_conv": 3}
TINY = {"base_channels": 1, "d_state": 4, "d_conv": 2}
TINY_SHAPE = (32, 32, 48)
# Five composed levels multiply what the heads give; fields of many voxels would multiply rounding as well.
SCALE = 0.003


@pytest.mark.parametrize(("count", "diffeomorphic"), [(8_408_047, False), (8_408_807, True)])
def test_parameter_counts_of_the_authors(count, diffeomorphic):
    network = PSMambaNet(diffeomorphic=diffeomorphic)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize(("name", "diffeomorphic"), [("psmamba", False), ("psmamba_diff", True)])
def test_equals_the_authors_code(name, diffeomorphic):
    check_parity(PSMambaNet(**SMALL, diffeomorphic=diffeomorphic), name)


def test_parity_holds_on_the_portable_scan(monkeypatch):
    monkeypatch.setenv("SCAN_BACKEND", "chunked")
    check_parity(PSMambaNet(**SMALL), "psmamba")


def test_starts_at_identity():
    contract.check_starts_at_identity(PSMambaNet(**TINY), TINY_SHAPE)


def test_gradient_and_inference_paths_agree():
    network = contract.scramble(PSMambaNet(**TINY, diffeomorphic=True), SCALE)
    pair = contract.random_pair(TINY_SHAPE)
    before = pair.clone()
    with torch.no_grad():
        inference = network.fields(pair)
    assert torch.equal(pair, before)
    assert list(inference) == ["ddf", *[f"velocity_level{level}" for level in (5, 4, 3, 2, 1)]]
    for name, field in network.fields(pair).items():
        torch.testing.assert_close(inference[name], field.detach(), atol=1e-4, rtol=1e-4, msg=name)


def test_every_trainable_weight_learns():
    # Without a gate of constant value there is no weight without influence.
    contract.check_every_trainable_weight_learns(PSMambaNet(**TINY, constant_gate=False), TINY_SHAPE)


def test_the_constant_gate_is_empty_and_frozen():
    gate = PSMambaNet(**TINY).encoder.stages[0][2]
    assert gate.squeeze.shape == (0, 2) and gate.excite.shape == (2, 0)
    assert not gate.squeeze.requires_grad
    x = torch.randn(1, 2, 3, 3, 3)
    torch.testing.assert_close(gate(x), 0.5 * x)


def test_batch_equals_singles():
    contract.check_batch_equals_singles(PSMambaNet(**TINY), TINY_SHAPE, scale=SCALE)


def test_autocast():
    contract.check_autocast(PSMambaNet(**TINY, diffeomorphic=True), TINY_SHAPE, tolerance=0.1, scale=SCALE)


def test_trace():
    contract.check_trace(PSMambaNet(**TINY), TINY_SHAPE, scale=SCALE)


def test_checkpointing_changes_no_gradient():
    contract.check_checkpointing(PSMambaNet(**TINY), PSMambaNet(**TINY, checkpointing=True), TINY_SHAPE)


def test_refuses_volumes_that_do_not_fit():
    contract.check_bad_pairs(PSMambaNet(**TINY), [(1, 2, 16, 32, 32), (1, 2, 40, 32, 32), (1, 1, 32, 32, 32)])


#: Table 4: (bottom block, decoder block) -> parameters; the paper gives no counts.
TABLE_4 = {
    ("none", "none"): 2_107_607,
    ("transformer", "none"): 2_634_711,
    ("mamba", "none"): 2_808_791,
    ("smb", "none"): 6_823_767,
    ("none", "smb"): 3_691_887,
    ("transformer", "smb"): 4_218_991,
    ("mamba", "smb"): 4_393_071,
    ("smb", "smb"): 8_408_047,
}


@pytest.mark.parametrize(("blocks", "count"), TABLE_4.items(), ids=str)
def test_the_modules_of_table_4_are_switches(blocks, count):
    bottom, decoder = blocks
    network = PSMambaNet(bottom_block=bottom, decoder_block=decoder)
    assert sum(p.numel() for p in network.parameters()) == count
    small = contract.scramble(PSMambaNet(**TINY, bottom_block=bottom, decoder_block=decoder), SCALE)
    ddf = small(contract.random_pair(TINY_SHAPE))
    assert ddf.shape == (1, 3, *TINY_SHAPE) and ddf.any() and torch.isfinite(ddf).all()


def test_an_unknown_block_is_refused():
    with pytest.raises(InputError, match="bottom_block: expected one of smb, mamba, transformer, none, got 'gru'"):
        PSMambaNet(bottom_block="gru")
    with pytest.raises(InputError, match="decoder_block: expected one of smb, none, got 'transformer'"):
        PSMambaNet(decoder_block="transformer")
