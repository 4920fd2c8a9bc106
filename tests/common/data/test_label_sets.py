"""The structures that the papers score."""

import numpy as np
import pytest

from common.data.label_sets import LABEL_SETS, find_label_set, remap
from common.data.recipes import RECIPES
from common.errors import InputError


@pytest.mark.parametrize("name", LABEL_SETS)
def test_a_set_has_the_number_that_its_name_says_and_fits_into_eight_bits(name: str) -> None:
    chosen = find_label_set(name)
    assert len(chosen) == int(name.rpartition("_")[2]) == len(set(chosen.names.values()))
    assert 0 not in chosen.names and max(chosen.names) < 256
    absent = {24} if name == "oasis_28" else set()  # neurite's release of OASIS has no CSF
    assert set(chosen.table.values()) == set(chosen.names) - absent


def test_every_number_of_the_papers_is_there() -> None:
    assert {len(chosen) for chosen in LABEL_SETS.values()} == {13, 16, 28, 29, 30, 35, 54, 56, 62}
    assert {len(find_label_set(recipe.labels)) for recipe in RECIPES.values()} == {13, 16, 28, 54, 62}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("freesurfer_16", [0, 2, 41, 5, 24, 60, 999], [0, 2, 2, 0, 0, 28, 0]),
        ("mindboggle_62", [1002, 2035, 7], [1, 62, 0]),
        ("oasis_28", [1, 4, 13, 20, 35], [2, 0, 16, 41, 63]),
        ("lpba40_54", [21, 166, 181, 182], [21, 166, 0, 0]),
        ("lpba40_56", [21, 166, 181, 182], [21, 166, 181, 182]),
        ("freesurfer_30", [24, 31, 58, 77], [24, 31, 0, 0]),
        ("freesurfer_29", [24, 31, 60, 77], [0, 31, 60, 0]),
        ("vit_v_net_28", [2, 24, 31, 41, 60], [0, 24, 31, 0, 60]),
    ],
)
def test_values_are_merged_renumbered_and_dropped(name: str, before: list[int], after: list[int]) -> None:
    assert remap(np.array(before), find_label_set(name).table).tolist() == after


def test_sides_of_the_atlases_are_told_apart() -> None:
    names = LABEL_SETS["lpba40_54"].names
    assert (names[21], names[22], names[165]) == (
        "left superior frontal gyrus",
        "right superior frontal gyrus",
        "left hippocampus",
    )
    assert LABEL_SETS["mindboggle_62"].names[1] == "left caudal anterior cingulate"
    assert LABEL_SETS["mindboggle_62"].names[62] == "right insula"
    assert LABEL_SETS["oasis_35"].names[13] == "brain stem" and LABEL_SETS["oasis_35"].names[34] == "right vessel"


def test_an_unknown_set_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"got 'oasis_36' \(did you mean oasis_3"):
        find_label_set("oasis_36")
