"""Words and numbers of a report: nothing that metrics.json does not say."""

import json

import pytest

from common.report.words import dice_rows, figure_rows, flags, methods, references_of
from tests.common.registration.pipeline import metrics_of
from tests.common.report.conftest import FURTHER


@pytest.fixture(scope="module")
def metrics(result_folder):
    return metrics_of(result_folder)


def test_flags_say_what_to_do(metrics):
    found = flags(metrics)
    assert [(flag.level, flag.name, flag.text, flag.advice) for flag in found] == [
        ("serious", "folds", "2 % fold.", ""),
        ("warning", "cut", "The images differ.", "Look at them."),
        ("note", "fallback", "The result is the alignment alone, since it folds.", ""),
    ]
    assert flags({}) == []


def test_every_figure_has_its_meaning_once(metrics):
    rows = {row.name: row for row in figure_rows(metrics)}
    assert rows["correlation"].before and rows["correlation"].meaning == metrics["protocol"]["ncc"]
    assert rows["mean Dice"].after == f"{metrics['dice']['after']['mean']:.4g}"
    assert rows["folds percent"].before == ""
    seconds = [row.meaning for name, row in rows.items() if name.startswith("seconds")]
    assert seconds[0] and not any(seconds[1:])
    assert len(rows) >= 15


def test_distances_to_a_true_field_stand_before_and_after():
    tre = {"before": {"mean": 3.0}, "after": {"mean": 1.25}}
    (row,) = figure_rows({"tre_mm": tre})
    assert (row.name, row.before, row.after) == ("distance to the true field, mean, mm", "3", "1.25")


def test_the_worst_label_comes_first():
    dice = {"before": {"per_label": {"1": 0.2, "7": None}}, "after": {"per_label": {"1": 0.9, "2": 0.5, "7": None}}}
    assert dice_rows({"dice": dice}) == [("2", "-", "0.5"), ("1", "0.2", "0.9"), ("7", "-", "-")]
    assert dice_rows({}) == []


def test_the_paragraph_names_what_ran_and_cites_it(metrics, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps({"references": ["Author. Title (2024)"]}))
    weights = {"file": str(tmp_path / "models" / "model.pt"), "sha256": "cd" * 32}
    paragraph, sources = methods({**metrics, "weights": weights})
    assert "registered to the fixed image with wavy [1] as implemented in registration-bundles" in paragraph
    assert "aligned by an affine map" in paragraph
    assert "cdcdcdcdcdcdcdcd" in paragraph and "at 4 mm and then 2 mm" in paragraph
    assert sources[0] == "Author. Title (2024)"
    assert paragraph.count("[") == len(sources) + paragraph.count("[0, 1]") == 6


def test_two_contrasts_are_said():
    refinement = {**FURTHER["refinement"], "contrasts": 2}
    paragraph, sources = methods({"refinement": refinement})
    assert "modality-independent descriptors [2]" in paragraph and "Heinrich" in sources[1]
    assert "local correlation [3]" in paragraph and "Avants" in sources[2]


@pytest.mark.parametrize(
    ("start", "words"), [("affine", "Starting from the alignment alone, the"), ("mean", "between"), ("network", "The")]
)
def test_where_the_refinement_began_is_said(start, words):
    assert f"{words}" in methods({"refinement": {"start": start}})[0].partition("field was refined")[0]


def test_stripped_heads_are_said_with_their_papers():
    brain = {"fixed": {"method": "deepbet"}, "moving": {"method": "CT thresholds"}}
    paragraph, sources = methods({"brain": brain})
    assert "The fixed image, a whole head, was stripped to the brain with deepbet [2]." in paragraph
    assert "by CT thresholds, after [3]" in paragraph and "Muschelli" in sources[2]
    assert "Fisch" in sources[1] and "arXiv:2308.07003 (2023)" in sources[1]
    given = methods({"brain": {"fixed": {"method": "given"}, "moving": {"method": "failed"}}, "moving_exclude": "/m"})
    assert "limited to a given brain mask" in given[0] and "a mask of the moving image did not count" in given[0]
    assert "stripped" not in given[0] and len(given[1]) == 1


def test_without_a_network_none_is_named():
    grid = {"spacing_mm": 1.0}
    paragraph, _ = methods({"network": "no network", "network_grid": grid})
    assert "to the fixed image without a network as implemented" in paragraph and "predicted" not in paragraph


def test_what_did_not_happen_is_not_said():
    paragraph, sources = methods({"alignment": {"kind": "none"}, "network": "wavy"})
    assert "aligned" not in paragraph and "refined" not in paragraph and len(sources) == 1


@pytest.mark.parametrize("weights", [None, {}, {"file": "model.pt"}, {"file": "/nowhere/models/model.pt"}])
def test_papers_that_are_not_there_are_not_made_up(weights):
    assert references_of({"weights": weights}) == []
