"""A network's switches mean the same as text, as a shell hands them over, as they do as booleans."""

import inspect

import pytest
import torch
from monai.bundle import ConfigParser

from common import networks
from common.errors import InputError

SWITCHES = [
    (name, argument)
    for name in networks.__all__
    for argument, parameter in inspect.signature(getattr(networks, name)).parameters.items()
    if isinstance(parameter.default, bool)
]
NEEDED = {("VoxelMorph", "unused_weights"): {"feature_extractor": True}}  # without which the switch decides nothing


def built(name, argument, value):
    """Build a network through a configuration whose argument a shell has set; no memory is taken for its weights."""
    parser = ConfigParser({"network_def": {"_target_": f"common.networks.{name}", **NEEDED.get((name, argument), {})}})
    parser[f"network_def#{argument}"] = value
    with torch.device("meta"):
        return parser.get_parsed_content("network_def")


def described(network):
    """Everything that constructor arguments can decide: weights, and the plain values that modules hold."""
    weights = [(key, value.shape) for key, value in network.state_dict().items()]
    plain = [
        (path, key, value)
        for path, module in network.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, (bool, int, float, str, tuple))
    ]
    return weights, plain


def test_all_networks_have_switches():
    assert {name for name, _ in SWITCHES} == set(networks.__all__)
    assert {("CAMLMorph", "rbsc"), ("MambaMorph", "feature_extractor"), ("PSMambaNet", "diffeomorphic")} < set(SWITCHES)


@pytest.mark.parametrize(("name", "argument"), SWITCHES)
def test_text_builds_the_network_of_the_boolean(name, argument):
    off, on = (described(built(name, argument, value)) for value in (False, True))
    assert off != on
    assert described(built(name, argument, "false")) == off
    assert described(built(name, argument, "True")) == on


@pytest.mark.parametrize("name", networks.__all__)
def test_what_is_neither_is_refused_by_name(name):
    with pytest.raises(RuntimeError) as caught:  # MONAI's, with ours as its cause
        built(name, "checkpointing", "often")
    error = caught.value.__cause__
    assert isinstance(error, InputError)
    assert f"expected {name}'s checkpointing to be true or false" in str(error) and "'often'" in str(error)


def test_text_for_a_number_is_refused_by_name():
    with pytest.raises(InputError, match="expected CAMLMorph's num_passes to be a number, got the text '2'"):
        networks.CAMLMorph(num_passes="2")
