import pytest
import torch
from torch.nn.functional import avg_pool3d

from common.errors import InputError
from common.spatial import resize_ddf
from common.spatial.passes import further_pass
from common.training.augmentation import Augmentation
from common.training.fine import left_to_do
from common.training.views import FieldsForward, Preparation, Side, Views
from tests.common.training.tiny import TinyNetwork, batch_of


@pytest.fixture
def sides() -> list[Side]:
    label = (torch.arange(8 * 8 * 8).view(8, 8, 8) // 171).to(torch.uint8)
    return [({"t1": torch.rand(1, 8, 8, 8), "ct": torch.rand(1, 8, 8, 8)}, label) for _ in range(2)]


def shown(views: Views, sides: list[Side], contrast: tuple[str, str], augmentation: Augmentation) -> dict:
    return views.item(sides, contrast, augmentation, torch.Generator().manual_seed(0))


def test_the_network_sees_the_contrast_and_the_loss_the_target(sides: list[Side]) -> None:
    plain = shown(Views({"t1-ct": 1.0}), sides, ("t1", "ct"), Augmentation())
    assert torch.equal(plain["image"], torch.cat([sides[0][0]["t1"], sides[1][0]["ct"]]))
    assert torch.equal(plain["moving"], plain["image"][:1]) and torch.equal(plain["fixed"], plain["image"][1:])
    views = Views({"random-like_ct": 1.0}, target="t1", identifiers=[0, 3, 2])
    item = shown(views, sides, ("random", "like_ct"), Augmentation(intensity=1.0))
    for number, side in enumerate(("moving", "fixed")):
        assert torch.equal(item[side], sides[number][0]["t1"])
        assert torch.equal(item[f"{side}_label"][0], sides[number][1])
        assert not torch.equal(item["image"][number], item[side][0])
    assert item["image"].min() >= 0 and item["image"].max() <= 1


def test_contrasts_come_in_their_shares() -> None:
    views = Views({"t1-t1": 3.0, "ct-ct": 1.0})
    drawn = [views.drawn(torch.Generator().manual_seed(s)) for s in range(400)]
    assert 0.65 < sum(c == ("t1", "t1") for c in drawn) / 400 < 0.85


@pytest.mark.parametrize(
    ("contrasts", "target", "message"),
    [
        ({"t1-pet": 1.0}, "seen", r"contrasts expects .* among \['ct', 'like_ct', .* 't1'\], got \['pet'\]"),
        ({"t1": 1.0}, "seen", r"contrasts expects two sides such as 't1-ct', .* got \['t1'\]"),
        ({}, "seen", r"contrasts expects two sides .* got \[\]"),
        ({"t1-ct": 1.0}, "t2", r"target expects seen or one of \['ct', 't1'\], got 't2'"),
    ],
)
def test_contrasts_that_the_subjects_do_not_have_are_named(contrasts: dict, target: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Views(contrasts, target).check(["t1", "ct"])


def test_synthesis_needs_label_maps(sides: list[Side]) -> None:
    bare: list[Side] = [(images, None) for images, _ in sides]
    with pytest.raises(InputError, match="'random' is synthesised from label maps: every subject needs one"):
        shown(Views({"random-t1": 1.0}), bare, ("random", "t1"), Augmentation())
    assert "moving_label" not in shown(Views({"t1-t1": 1.0}), bare, ("t1", "t1"), Augmentation())


def test_a_second_pass_trains_the_way_on_from_the_networks_own_field() -> None:
    torch.manual_seed(0)
    network, batch = TinyNetwork(), batch_of()
    forward = FieldsForward(network, second_pass=1.0)
    fields = forward.train()(batch["image"])
    expected = further_pass(network.fields, batch["image"], network(batch["image"]).detach())
    torch.testing.assert_close(fields["ddf"], expected["ddf"])
    fields["ddf"].sum().backward()
    gradient = network.second.weight.grad
    network.zero_grad()
    expected["ddf"].sum().backward()
    torch.testing.assert_close(gradient, network.second.weight.grad)  # nothing flows through the first pass
    torch.testing.assert_close(forward.eval()(batch["image"])["ddf"], network(batch["image"]))
    drawn = [torch.equal(FieldsForward(network, 0.5)(batch["image"])["ddf"], fields["ddf"]) for _ in range(60)]
    assert 15 < sum(drawn) < 45


def test_the_coarse_pass_of_a_fine_batch_goes_first() -> None:
    torch.manual_seed(0)
    network, batch = TinyNetwork(), batch_of()
    fine = {**batch, "window": torch.tensor([[2, 0, 5]]), "window_size": torch.tensor([[8, 12, 10]])}
    with torch.no_grad():
        expected = left_to_do(fine, resize_ddf(network(avg_pool3d(batch["image"], 2)), (16, 16, 16)))
    prepared = Preparation(coarse=2, teacher=TinyNetwork())(fine, network)
    torch.testing.assert_close(prepared, expected)
    assert not any(value.requires_grad for value in prepared.values())


def test_a_teachers_field_stands_in_where_no_field_is_known() -> None:
    torch.manual_seed(0)
    teacher, batch = TinyNetwork(), batch_of()
    field = teacher(batch["image"]).detach()
    prepare = Preparation(teacher=teacher)
    pair = torch.cat([batch["moving"], batch["fixed"]], dim=1)
    shown_otherwise = {**batch, "image": torch.zeros_like(pair)}  # the teacher sees what the loss compares
    torch.testing.assert_close(prepare(shown_otherwise, TinyNetwork())["true_ddf"], field)
    for known, expected in ((1.0, torch.ones(1, 3, 16, 16, 16)), (0.0, field)):
        truth = {"true_ddf": torch.ones(1, 3, 16, 16, 16), "true_known": torch.tensor([known])}
        taught = prepare({**batch, **truth}, TinyNetwork())
        torch.testing.assert_close(taught["true_ddf"], expected)
        assert taught["true_known"].tolist() == [1.0]


def test_other_batches_stay_as_they_are() -> None:
    batch = batch_of()
    assert Preparation()(batch, TinyNetwork()) == batch
