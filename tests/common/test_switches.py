"""Values from a shell: switches alone, and the arguments of a class that configurations name."""

import inspect
import pickle
from collections.abc import Sequence

import pytest
import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from common.errors import InputError
from common.switches import reads_switches, switch

TRUE = [True, "true", "True", " TRUE ", "yes", "on", "1", 1]
FALSE = [False, "false", "False", "No", "off", "0", 0]


@pytest.mark.parametrize(("value", "expected"), [(v, True) for v in TRUE] + [(v, False) for v in FALSE])
def test_switches_are_read_as_people_write_them(value, expected):
    assert switch(value) is expected


@pytest.mark.parametrize("value", ["maybe", "", "2", None, 0.5, [True]])
def test_what_is_no_switch_is_refused(value):
    with pytest.raises(InputError) as caught:
        switch(value, "--amp")
    assert str(caught.value) == f"expected --amp to be true or false (or yes/no, on/off, 1/0), got {value!r}"


@reads_switches
class Layer(nn.Module):
    """A layer."""

    def __init__(
        self,
        width: int,
        scale: float | None = 1.0,
        bias: bool = True,
        *,
        gate: bool | None = None,
        sizes: Sequence[int] = (1, 2),
        kind: str = "plain",
        flags: Sequence[bool] = (),
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2, bias=bias)
        self.bias, self.gate, self.scale, self.sizes, self.kind, self.flags = bias, gate, scale, sizes, kind, flags

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class WiderLayer(Layer):
    pass


@pytest.mark.parametrize(("value", "expected"), [("false", False), ("yes", True), (False, False), ("OFF", False)])
def test_booleans_are_read_by_position_and_by_name(value, expected):
    for layer in (Layer(3, 1.0, value), Layer(3, bias=value), WiderLayer(3, bias=value)):
        assert layer.bias is expected and (layer.linear.bias is not None) is expected


@pytest.mark.parametrize(("value", "expected"), [(None, None), ("no", False), (True, True)])
def test_an_optional_boolean_may_be_none(value, expected):
    assert Layer(3, gate=value).gate is expected


def test_what_is_not_annotated_as_a_boolean_or_a_number_stays():
    layer = Layer(3, scale=None, sizes="false", kind="false", flags="yes")
    assert (layer.scale, layer.sizes, layer.kind, layer.flags) == (None, "false", "false", "yes")


@pytest.mark.parametrize(
    ("cls", "arguments", "text"),
    [
        (Layer, {"bias": "maybe"}, r"Layer's bias to be true or false \(or yes/no, on/off, 1/0\), got 'maybe'"),
        (Layer, {"bias": None}, "Layer's bias to be true or false .*got None"),
        (WiderLayer, {"gate": "None"}, "WiderLayer's gate to be true or false .*got 'None'"),
        (Layer, {"width": "3"}, "Layer's width to be a number, got the text '3'"),
        (Layer, {"scale": "large"}, "Layer's scale to be a number, got the text 'large'"),
    ],
)
def test_the_error_names_class_and_argument(cls, arguments, text):
    with pytest.raises(InputError, match="^expected " + text):
        cls(**{"width": 3, **arguments})


def test_wrong_arguments_are_refused_as_ever():
    for args, kwargs in [((), {}), ((3, 1.0, True, "more"), {}), ((3,), {"bais": True})]:
        with pytest.raises(TypeError, match=r"Layer.__init__\(\)"):
            Layer(*args, **kwargs)


def test_the_class_stays_what_it_was():
    assert Layer.__name__ == "Layer" and Layer.__doc__ == "A layer."
    assert list(inspect.signature(Layer).parameters)[:3] == ["width", "scale", "bias"]
    assert inspect.signature(Layer).parameters["bias"].default is True


def test_layers_are_pickled_scripted_and_exported():
    layer, x = Layer(3, bias="no"), torch.rand(2, 3)
    for other in (
        pickle.loads(pickle.dumps(layer)),
        torch.jit.script(layer),
        torch.jit.trace(layer, x),
        torch.export.export(layer, (x,)).module(),
    ):
        assert torch.equal(other(x), layer(x))


def test_configurations_hand_text_over():
    parser = ConfigParser({"layer": {"_target_": f"{__name__}.Layer", "width": 3}})
    parser["layer#bias"] = "false"
    assert parser.get_parsed_content("layer").bias is False
