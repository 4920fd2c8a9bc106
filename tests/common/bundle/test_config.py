"""What every configuration calls: weights, precision."""

import pytest
import torch

from common.bundle import require_pairs, require_weights
from common.errors import InputError
from common.registration import AutocastInferer


def test_weights_are_required_unless_they_are_not_wanted(tmp_path):
    require_weights(str(tmp_path), "false")
    with pytest.raises(InputError, match=r"no trained weights yet: expected .*model.pt"):
        require_weights(str(tmp_path), "true")


def test_nothing_to_register():
    with pytest.raises(InputError, match="nothing to register"):
        require_pairs([])


def test_the_inferer_switches_precision_and_returns_float32():
    seen = []

    def network(x):
        seen.append(torch.is_autocast_enabled("cpu"))
        return x.bfloat16()

    for amp in ("true", False):
        assert AutocastInferer(amp)(torch.zeros(1, 2, 4, 4, 4), network).dtype == torch.float32
    assert seen == [True, False]
