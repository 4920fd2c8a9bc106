"""The whole refinement on a small head."""

import json

import pytest
import torch

from common.errors import InputError
from common.refine import Options, Pair, refine
from common.refine.determinants import cell_determinants
from common.spatial import warp
from tests.common.refine.phantom import SHAPE, pair_of, truth


def overlap(ddf, label, fixed_label):
    moved = warp(label.float(), ddf, mode="nearest").long()
    scores = [
        2 * ((moved == k) & (fixed_label == k)).sum() / ((moved == k).sum() + (fixed_label == k).sum())
        for k in (1, 2, 3)
    ]
    return float(torch.stack(scores).mean())


@pytest.fixture(scope="module")
def one_contrast():
    return pair_of()


@pytest.mark.parametrize("preset", ["fast", "accurate", "auto"])
def test_brings_the_structures_together_without_a_fold(one_contrast, preset):
    moving, fixed, label, fixed_label, _ = one_contrast
    refined = refine(Pair(moving, fixed), options=Options(preset))
    before, after = (overlap(d, label, fixed_label) for d in (torch.zeros_like(refined.ddf), refined.ddf))
    assert before < 0.85 and after > 0.93
    assert float(cell_determinants(refined.ddf[0]).min()) == pytest.approx(
        refined.record.smallest_determinant, abs=1e-5
    )
    assert refined.record.smallest_determinant > 0
    assert refined.record.contrasts == 1


def test_two_contrasts_are_seen_and_brought_together():
    moving, fixed, label, fixed_label, _ = pair_of(values=(0.0, 0.4, 0.9, 0.6))
    refined = refine(Pair(moving, fixed))
    assert refined.record.contrasts == 2
    assert "two contrasts" in refined.record.reasons[0]
    assert overlap(refined.ddf, label, fixed_label) > 0.88
    assert refined.record.smallest_determinant > 0


def test_off_returns_the_start_untouched(one_contrast):
    start = truth()
    assert refine(Pair(*one_contrast[:2]), start, Options("off")).ddf is start
    assert float(refine(Pair(*one_contrast[:2]), options=Options("off")).ddf.abs().max()) == 0


@pytest.mark.parametrize(
    ("asked", "amplitude", "expected"), [("network", 0, "network"), ("affine", 1, "affine"), ("auto", -2, "affine")]
)
def test_start(one_contrast, asked, amplitude, expected):
    """A field that leads the wrong way is left aside."""
    refined = refine(Pair(*one_contrast[:2]), amplitude * truth(), Options("fast", start=asked))
    assert refined.record.start == expected
    assert refined.record.smallest_determinant > 0


@pytest.mark.parametrize(("amplitude", "expected"), [(0.8, "mean"), (-2, "affine"), (0, "affine")])
def test_a_network_that_fits_as_well_as_the_refined_alignment_has_a_say(amplitude, expected):
    """Two contrasts: another opinion of the same pair counts, one that leads elsewhere or nowhere does not."""
    moving, fixed, label, fixed_label, _ = pair_of(values=(0.0, 0.4, 0.9, 0.6))
    alone = refine(Pair(moving, fixed), options=Options("fast"))
    refined = refine(Pair(moving, fixed), amplitude * alone.ddf, Options("fast"))
    assert refined.record.start == expected
    assert "of the similarity that refining the alignment does, and gets" in refined.record.reasons[-1]
    assert refined.record.smallest_determinant > 0
    assert overlap(refined.ddf, label, fixed_label) > 0.85


def test_the_mean_can_be_asked_for(one_contrast):
    refined = refine(Pair(*one_contrast[:2]), truth(), Options("fast", start="mean"))
    assert refined.record.start == "mean"
    assert refined.record.reasons[-1].startswith("start: between the refined alignment and the network's field; ")
    assert refined.record.reasons[-1].endswith("and gets 50 % of the say")


def test_a_folding_start_becomes_one_to_one(one_contrast):
    start = 4 * torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert refine(Pair(*one_contrast[:2]), start, Options("fast", start="network")).record.smallest_determinant > 0


@pytest.mark.parametrize(("role", "similarity"), [("fixed", "auto"), ("moving", "mind")])
def test_what_a_mask_hides_has_no_say(one_contrast, role: str, similarity: str):
    """Other intensities under the masks, however bright, give the same field bit by bit; without masks they do not."""
    images = dict(zip(("moving", "fixed"), one_contrast[:2], strict=True))
    mask = torch.ones(1, 1, *SHAPE)
    mask[..., 16:26, 14:24, 16:26] = 0
    spoilt = images | {role: torch.where(mask > 0, images[role], 7 * torch.rand(mask.shape))}
    options = Options("fast", similarity=similarity)
    masked = [refine(Pair(**one, **{f"{role}_mask": mask}), options=options).ddf for one in (images, spoilt)]
    assert torch.equal(*masked)
    assert not torch.equal(masked[0], refine(Pair(**spoilt), options=options).ddf)


def test_a_mask_of_the_moving_image_moves_with_it(one_contrast):
    moving, fixed, *_ = one_contrast
    refined = refine(Pair(moving, fixed, moving_mask=torch.zeros(1, 1, *SHAPE)))
    assert float(refined.ddf.abs().max()) == 0


def test_labels_bring_together_what_the_images_do_not_show(one_contrast):
    label, fixed_label = one_contrast[2:4]
    flat, flat_fixed = ((volume > 0).float() for volume in (label, fixed_label))
    options = Options("accurate", similarity="correlation")
    without = refine(Pair(flat, flat_fixed), options=options)
    helped = refine(Pair(flat, flat_fixed, moving_label=label, fixed_label=fixed_label), options=options)
    scores = [overlap(r.ddf, label, fixed_label) for r in (without, helped)]
    assert scores[1] > scores[0] + 0.02


def test_landmarks_draw_their_points_together(one_contrast):
    moving = one_contrast[0]
    points = torch.tensor([[24.0, 20.0, 22.0], [18.0, 22.0, 26.0]])
    blank = torch.where(moving > 0, 0.5, 0.0)
    refined = refine(
        Pair(blank, blank, moving_points=points + torch.tensor([2.0, -1.5, 1.0]), fixed_points=points),
        options=Options("fast", similarity="correlation"),
    )
    error = refined.record.landmark_error
    assert error["before"] == pytest.approx(2.69, abs=0.01)
    assert error["after"] < 0.5
    assert refined.record.smallest_determinant > 0


def test_two_channels(one_contrast):
    moving, fixed, label, fixed_label, _ = one_contrast
    refined = refine(Pair(torch.cat([moving, 1 - moving], 1), torch.cat([fixed, 1 - fixed], 1)))
    assert overlap(refined.ddf, label, fixed_label) > 0.91  # 0.839 before


def test_inverse_and_record(one_contrast):
    refined = refine(Pair(*one_contrast[:2]), options=Options("fast"), inverse=True)
    assert refined.record.inverse_residual["largest"] < 0.02
    written = json.loads(json.dumps(refined.record.as_dict()))
    assert [level["stage"] for level in written["levels"]] == [
        "local correlation at 4 voxels", "local correlation at 2 voxels", "local correlation at 1 voxel"
    ]  # fmt: skip
    assert all(level["similarity"][-1] > level["similarity"][0] for level in written["levels"][:2])


def test_no_time_gives_the_start(one_contrast):
    refined = refine(Pair(*one_contrast[:2]), options=Options(seconds=1e-9))
    assert float(refined.ddf.abs().max()) == 0


def test_watch_hears_stage_similarity_and_determinant(one_contrast):
    heard = []
    refine(Pair(*one_contrast[:2]), options=Options("fast"), watch=lambda *words: heard.append(words))
    assert heard[0][0] == "local correlation at 4 voxels"
    assert all(0 <= similarity <= 1 and smallest > 0 for _, similarity, smallest in heard)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "best"}, "refine: expected one of off, fast, accurate, auto, got 'best'"),
        ({"similarity": "mi"}, "refine_similarity: expected one of auto, correlation, mind, got 'mi'"),
        ({"start": "moving"}, "refine_start: expected one of auto, network, affine, mean, got 'moving'"),
        ({"window": 0}, "refine_window: expected a radius of 1 to 8 voxels, got 0"),
        ({"smoothness": 3.0}, "refine_smoothness: expected 0 to 2 voxels, got 3.0"),
        ({"seconds": 0.0}, "refine_seconds: expected a positive number, got 0.0"),
    ],
)
def test_options_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        Options(**options)


def test_pairs_that_cannot_be():
    image = torch.zeros(1, 1, 8, 8, 8)
    with pytest.raises(InputError, match=r"one shape, got \(1, 1, 8, 8, 8\) and \(1, 1, 8, 8, 9\)"):
        Pair(image, torch.zeros(1, 1, 8, 8, 9))
    with pytest.raises(InputError, match="fixed_mask of shape"):
        Pair(image, image, fixed_mask=torch.zeros(1, 1, 4, 8, 8))
    with pytest.raises(InputError, match="moving_label and fixed_label together"):
        Pair(image, image, moving_label=image)
    with pytest.raises(InputError, match="as many moving as fixed points"):
        Pair(image, image, moving_points=torch.zeros(2, 3), fixed_points=torch.zeros(3, 3))
