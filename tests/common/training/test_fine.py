import torch

from common.spatial import compose, warp
from common.training.fine import left_to_do
from tests.conftest import smooth_ddf

SHAPE = (16, 18, 14)


def fine_batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 4, *SHAPE, generator=generator)
    labels = torch.randint(0, 5, (2, 2, *SHAPE), generator=generator, dtype=torch.uint8)
    return {
        "image": images[:, :2],
        "moving": images[:, 2:3],
        "fixed": images[:, 3:],
        "moving_label": labels[:, :1],
        "fixed_label": labels[:, 1:],
        "window": torch.tensor([[2, 0, 4], [5, 6, 0]]),
        "window_size": torch.tensor([[8, 12, 10], [8, 12, 10]]),
    }


def windows(volume: torch.Tensor) -> torch.Tensor:
    return torch.cat([volume[:1, :, 2:10, 0:12, 4:14], volume[1:, :, 5:13, 6:18, 0:10]])


def test_a_window_holds_what_the_coarse_field_leaves_to_do() -> None:
    batch, ddf = fine_batch(), torch.cat([smooth_ddf(SHAPE, 2.0, seed=seed) for seed in (1, 2)])
    left = left_to_do(batch, ddf)
    moved = warp(batch["moving"], ddf)
    label = warp(batch["moving_label"].float(), ddf, mode="nearest")
    torch.testing.assert_close(left["moving"], windows(moved))
    torch.testing.assert_close(left["image"][:, :1], windows(warp(batch["image"][:, :1], ddf)))
    assert torch.equal(left["image"][:, 1:], windows(batch["image"][:, 1:]))
    assert torch.equal(left["moving_label"].float(), windows(label)) and left["moving_label"].dtype == torch.uint8
    assert torch.equal(left["fixed"], windows(batch["fixed"]))
    assert torch.equal(left["fixed_label"], windows(batch["fixed_label"]))
    assert "true_ddf" not in left and "window" not in left


def test_of_a_true_field_the_remainder_is_left() -> None:
    ddf = torch.cat([smooth_ddf(SHAPE, 1.0, seed=seed) for seed in (1, 2)])
    rest = torch.full_like(ddf, 0.3)
    true = {"true_ddf": compose(ddf, rest, padding="border"), "true_known": torch.tensor([1.0, 1.0])}
    left = left_to_do({**fine_batch(), **true}, ddf)
    torch.testing.assert_close(left["true_ddf"], windows(rest), atol=0.02, rtol=0)
    assert left["true_known"].tolist() == [1.0, 1.0]
