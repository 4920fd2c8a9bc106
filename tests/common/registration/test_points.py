"""Points of a pair: brought to the fixed image like its labels, compared with the fixed image's own."""

import json
import logging

import numpy as np
import pytest
import torch

from common.errors import InputError
from common.geometry import Grid
from common.geometry.transforms import Affine, DisplacementField, apply_to_points, compose, ras_lps_points
from common.registration import registration_pairs
from common.registration.point_files import read_point_file
from common.registration.points import bring_points, points_file_of
from common.registration.transform_files import read_transform
from tests.common.registration.phantom import CENTRE, WavyNetwork, make_image
from tests.common.registration.pipeline import metrics_of, register

#: RAS millimetres, inside of the phantom.
POINTS = CENTRE + np.array([[0.0, 0.0, 0.0], [6.0, -4.0, 3.0], [-5.0, 8.0, -2.0]])


def write_csv(path, points, further=""):
    rows = [f"{x:.9f},{y:.9f},{z:.9f}{further and ',' + further}" for x, y, z in ras_lps_points(points)]
    path.write_text("\n".join(["x,y,z" + (",name" if further else ""), *rows]) + "\n")
    return str(path)


def shift(x: float, y: float, z: float) -> Affine:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return Affine(matrix)


def test_moving_points_go_to_the_fixed_image_and_the_others_to_the_moving_one(tmp_path):
    pair = {
        "moving_points": write_csv(tmp_path / "m.csv", POINTS + np.array([4.0, 0.0, 0.0]), "tip"),
        "fixed_points": write_csv(tmp_path / "f.csv", POINTS),
    }
    writers, figures = bring_points(pair, shift(4.0, 0.0, 3.0))
    (name,) = writers
    writers[name](tmp_path / name)
    assert np.allclose(read_point_file(tmp_path / "moved_points.csv").points, POINTS - (0.0, 0.0, 3.0), atol=1e-5)
    assert (tmp_path / name).read_text().splitlines()[1].endswith(",tip")
    assert figures["points_mm"]["before"] == pytest.approx({"mean": 4.0, "median": 4.0, "max": 4.0})
    assert figures["points_mm"]["after"] == pytest.approx({"mean": 3.0, "median": 3.0, "max": 3.0})
    assert figures["points_mm"]["moved"] == 3


def test_markups_stay_markups(tmp_path):
    control = [{"label": "tip", "position": list(POINTS[0])}]
    marks = {"markups": [{"type": "Fiducial", "coordinateSystem": "RAS", "controlPoints": control}]}
    (tmp_path / "tips.mrk.json").write_text(json.dumps(marks))
    writers, figures = bring_points({"moving_points": str(tmp_path / "tips.mrk.json")}, shift(0.0, 2.0, 0.0))
    writers["moved_points.mrk.json"](tmp_path / "out.mrk.json")
    (point,) = json.loads((tmp_path / "out.mrk.json").read_text())["markups"][0]["controlPoints"]
    assert point["label"] == "tip" and point["position"] == pytest.approx(list(POINTS[0] - (0.0, 2.0, 0.0)))
    assert set(figures["points_mm"]) == {"moved", "largest_miss_mm"}


def test_nothing_comes_of_nothing():
    assert bring_points({}, shift(0, 0, 0)) == ({}, {})
    assert points_file_of({}) is None


def test_a_point_that_the_field_brings_nothing_to_is_said(tmp_path, caplog):
    """All of the grid is moved by 40 mm: behind its border nothing comes from."""
    grid = Grid((20, 20, 20), np.eye(4))
    ddf = torch.zeros(3, 20, 20, 20)
    ddf[0] = torch.arange(20.0)[:, None, None].clamp(max=10) * -2  # the axis folds back onto itself
    pair = {"moving_points": write_csv(tmp_path / "m.csv", np.array([[15.0, 10.0, 10.0]]))}
    with caplog.at_level(logging.WARNING):
        bring_points(pair, compose(DisplacementField(grid, ddf)))
    assert "1 of the 1 points of m.csv have no place that the field brings to them: off by up to" in caplog.text


def test_a_run_writes_them_and_their_distance(tmp_path):
    """Points go where labels go: the network's field is known, and so are the points that it brings to POINTS."""
    fixed, moving = (make_image(tmp_path / f"{name}.nii.gz", deform=by) for name, by in (("f", 0.0), ("m", 2.0)))
    register(tmp_path / "one", WavyNetwork(), {"fixed": str(fixed), "moving": str(moving)})
    there = apply_to_points(read_transform(tmp_path / "one" / "warp.nii.gz"), POINTS)
    pair = {
        "fixed": str(fixed),
        "moving": str(moving),
        "fixed_points": write_csv(tmp_path / "fp.csv", POINTS),
        "moving_points": write_csv(tmp_path / "mp.csv", there),
    }
    register(tmp_path / "two", WavyNetwork(), pair)
    assert np.allclose(read_point_file(tmp_path / "two" / "moved_points.csv").points, POINTS, atol=0.01)
    figures = metrics_of(tmp_path / "two")["points_mm"]
    assert figures["before"]["mean"] > 0.5 and figures["after"]["max"] < 0.01


def test_what_is_wrong_with_points_is_known_before_the_run(tmp_path):
    images = {role: str(make_image(tmp_path / f"{role}.nii.gz")) for role in ("fixed", "moving")}
    pair = images | {"fixed_points": write_csv(tmp_path / "f.csv", POINTS)}
    with pytest.raises(InputError, match=r"m.csv: expected 3 points, one for each of .*f.csv in the same order, got 2"):
        registration_pairs(**pair, moving_points=write_csv(tmp_path / "m.csv", POINTS[:2]))
    with pytest.raises(InputError, match=r"points .*none.csv: expected a text file, got: .*No such file"):
        registration_pairs(**images, moving_points=str(tmp_path / "none.csv"))
    (tmp_path / "out").mkdir()
    taken = write_csv(tmp_path / "out" / "moved_points.csv", POINTS)
    with pytest.raises(InputError, match=r"moved_points.csv would replace an input \(moving_points"):
        registration_pairs(**images, moving_points=taken, output_dir=tmp_path / "out")
