"""``torch.jit.script`` of every bundle's network: another size and batch than it was recorded with, or a refusal."""

import io

import pytest
import torch

from tests.bundles.conftest import BUNDLES
from tests.bundles.small import small_network
from tests.common.networks.contract import random_pair

#: Sides that need padding where a network pads, and a batch.
SIZES = dict.fromkeys(("xmorpher", "caml_morph"), ((1, 40, 44, 57), (2, 36, 36, 36)))
SIZES["vmambamorph"] = ((1, 48, 48, 48), (2, 32, 32, 32))
SIZES["vit_v_net"] = ((1, 64, 32, 96), (2, 32, 32, 32))
OTHERS = ((1, 48, 64, 32), (2, 32, 32, 32))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_a_script_holds_for_every_size(bundle):
    network = small_network(bundle).double()  # an untrained PSMamba-Net amplifies rounding
    # Without the optimiser, which takes seconds at the first calls.
    with torch.no_grad(), torch.jit.optimized_execution(False):
        stored = io.BytesIO()
        torch.jit.save(torch.jit.script(network), stored)
        stored.seek(0)
        script = torch.jit.load(stored)
        for batch, *shape in SIZES.get(bundle.name, OTHERS):
            pair = random_pair(shape, batch).double()
            torch.testing.assert_close(script(pair), network(pair), atol=2e-4, rtol=0)
        with pytest.raises(Exception, match="expected sides of at least"):
            script(random_pair((8, 8, 8)).double())
        with pytest.raises(Exception, match=r"expected a pair \(B, 2, X, Y, Z\)"):
            script(torch.zeros(1, 1, 32, 32, 32).double())


def test_a_network_stays_as_it_was():
    network = small_network(BUNDLES[0])
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.jit.script(network)
    assert list(network.state_dict()) == list(before) and type(network).__name__ == "CAMLMorph"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
