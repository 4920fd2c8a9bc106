"""The figures: what is drawn where, in which colours, and what their captions say."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from common.report import read_result
from common.report.figures import blend, checkerboard, edges, figures, jacobian_limit, log_jacobian

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def result(result_folder):
    return read_result(result_folder)


def test_every_figure_is_a_picture_with_words(result):
    drawn = list(figures(result))
    assert [figure.title for figure in drawn] == [
        "Checkerboard",
        "Label contours",
        "Deformed grid and length of the displacement",
        "Field as colours",
        "Logarithm of the Jacobian determinant",
        "Refinement",
    ]
    for figure in drawn:
        assert Image.open(io.BytesIO(figure.content)).size[0] == 1080
        assert figure.caption and figure.alternative


def test_what_there_is_not_is_not_drawn(result):
    bare = dataclasses.replace(result, labels={}, metrics={})
    titles = [figure.title for figure in figures(bare)]
    assert "Label contours" not in titles and "Refinement" not in titles and len(titles) == 4


@pytest.mark.parametrize(("folds", "text"), [(0, "There is no fold."), (2, "Folds (2 voxels")])
def test_folds_are_counted_in_the_caption(result, folds, text):
    jacobian = np.ones_like(result.jacobian)
    for shift in range(folds):
        jacobian[result.centre[0] + shift, result.centre[1], result.centre[2]] = -0.5
    drawn = list(figures(dataclasses.replace(result, jacobian=jacobian, labels={}, metrics={})))
    assert text in drawn[-1].caption


def test_folds_have_no_logarithm_and_do_not_set_the_colours(result):
    jacobian = np.full_like(result.jacobian, np.e)
    jacobian[result.centre] = -3
    changed = dataclasses.replace(result, jacobian=jacobian)
    assert log_jacobian(jacobian).mask.sum() == 1
    assert jacobian_limit(changed) == pytest.approx(1, abs=1e-5)
    assert jacobian_limit(dataclasses.replace(result, jacobian=-jacobian * 0)) == 0.1


def test_one_image_alone_is_orange_or_blue_and_both_are_grey():
    moved, fixed = np.array([[1.0, 0.0, 0.6]]), np.array([[0.0, 1.0, 0.6]])
    np.testing.assert_allclose(blend(moved, fixed)[0], [(1, 0.5, 0), (0, 0.5, 1), (0.6, 0.6, 0.6)])


def test_squares_are_18_mm():
    board = checkerboard(np.ones((20, 20)), np.zeros((20, 20)), (2.0, 1.0))
    assert board[:9, :18].all() and not board[:9, 18:].any() and not board[9:18, :18].any()


def test_contours_are_where_labels_change():
    labels = np.array([[0, 0, 1], [0, 0, 1]])
    np.testing.assert_array_equal(np.argwhere(edges(labels))[:, 1], 6)
    assert not edges(np.full((3, 3), 7)).any()
