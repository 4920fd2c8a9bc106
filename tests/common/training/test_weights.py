from pathlib import Path

import pytest
import torch

from common.errors import InputError
from common.training.weights import half_precision, load, read_weights, save, start_from


def test_equal_contents_make_equal_files(tmp_path: Path) -> None:
    for name in ("one.pt", "another.pt"):
        save({"weight": torch.ones(3), "step": 4}, tmp_path / "new" / name)
    assert len({file.read_bytes() for file in (tmp_path / "new").iterdir()}) == 1
    assert len(list((tmp_path / "new").iterdir())) == 2
    assert load(tmp_path / "new" / "one.pt")["step"] == 4


def test_half_precision_with_eight_bits_where_told_loads_as_floats(tmp_path: Path) -> None:
    source = {
        "mlp.0.weight": torch.linspace(-0.05, 0.05, 64),
        "head.mlp.0.weight": torch.ones(2),
        "count": torch.ones(1).long(),
    }
    small = half_precision(source, eight_bit=r"mlp\.\d\.weight")
    assert [value.dtype for value in small.values()] == [torch.float8_e4m3fn, torch.float16, torch.int64]
    save(small, tmp_path / "small.pt")
    layer = torch.nn.Linear(64, 1, bias=False)
    layer.load_state_dict({"weight": load(tmp_path / "small.pt")["mlp.0.weight"][None]})
    read = read_weights(tmp_path / "small.pt")["mlp.0.weight"]
    assert torch.equal(layer.weight[0], read) and (read - source["mlp.0.weight"]).abs().max() < 0.002


def test_weights_come_from_a_state_dict_or_from_a_checkpoint(tmp_path: Path) -> None:
    source, network = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    save(half_precision(source.state_dict()), tmp_path / "half.pt")
    start_from(network, tmp_path / "half.pt")
    assert torch.equal(network.weight, source.weight.half().float())
    save({"network": source.state_dict(), "step": 3}, tmp_path / "last.pt")
    start_from(network, tmp_path / "last.pt")
    assert torch.equal(network.weight, source.weight)


def test_weights_of_another_network_are_taken_where_they_fit(tmp_path: Path) -> None:
    save({"0.weight": torch.ones(3, 2), "1.weight": torch.ones(9, 9)}, tmp_path / "other.pt")
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    with pytest.raises(InputError, match=r"other\.pt: 1 of 4 tensors fit this network, expected all .*initial_partial"):
        start_from(network, tmp_path / "other.pt")
    start_from(network, tmp_path / "other.pt", partial=True)
    assert torch.equal(network[0].weight, torch.ones(3, 2)) and network[1].weight.shape == (1, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a state dict written by torch.save, got: .*No such file"),
        (b"x", "expected a state dict written by torch.save"),
        ([1, 2], "expected a state dict, got list"),
        ({"step": 1}, r"expected a state dict, a tensor for each name, got \['step'\]"),
        (Path("x"), "expected a state dict written by torch.save"),  # an object that would run code
    ],
)
def test_what_is_no_state_dict_is_named(tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / "bad.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=rf"bad\.pt: {message}"):
        read_weights(path)
