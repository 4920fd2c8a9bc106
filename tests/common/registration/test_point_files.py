"""Points in ANTs' CSV and Slicer's markups: read, moved, everything else kept."""

import json
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.registration.point_files import read_point_file

MARKUPS = {
    "@schema": "https://example.org/markups.json",
    "markups": [
        {
            "type": "Fiducial",
            "coordinateSystem": "LPS",
            "display": {"color": [1, 0, 0]},
            "controlPoints": [
                {"id": "1", "label": "AC", "position": [1.0, -2.0, 3.0], "positionStatus": "defined"},
                {"id": "2", "label": "later", "position": None, "positionStatus": "undefined"},
            ],
        },
        {"type": "Curve", "coordinateSystem": "RAS", "controlPoints": [{"label": "a", "position": [4.0, 5.0, 6.0]}]},
    ],
}


def test_csv_is_lps_and_keeps_its_other_columns(tmp_path: Path):
    (tmp_path / "p.csv").write_text('Label,x,y,z,t\nAC,1,-2,3,0\n\n"P, C",4,5,6,0\n')
    file = read_point_file(tmp_path / "p.csv")
    assert file.points.tolist() == [[-1, 2, 3], [-4, -5, 6]]
    expected = 'Label,x,y,z,t\nAC,0.000000,-3.000000,3.500000,0\n"P, C",3.000000,4.000000,6.500000,0\n'
    assert file.text(file.points + np.array([1, 1, 0.5])) == expected


def test_markups_keep_their_coordinate_system_and_everything_else(tmp_path: Path):
    (tmp_path / "p.mrk.json").write_text(json.dumps(MARKUPS))
    file = read_point_file(tmp_path / "p.mrk.json")
    assert file.points.tolist() == [[-1, 2, 3], [4, 5, 6]]
    expected = json.loads(json.dumps(MARKUPS))
    expected["markups"][0]["controlPoints"][0]["position"] = [0.0, -2.0, 3.0]
    expected["markups"][1]["controlPoints"][0]["position"] = [5.0, 5.0, 6.0]
    assert json.loads(file.text(file.points + np.array([1, 0, 0]))) == expected


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("p.csv", "1,2,3\n", "expected a first line with the columns x,y,z .*, got 1,2,3"),
        ("p.csv", "", "got an empty file"),
        ("p.csv", "x,y,z\n", "expected at least one point, got none"),
        ("p.csv", "x,y,z\n1,2\n", "line 2: expected numbers under x, y and z, got '1,2'"),
        ("p.csv", "x,y,z\n1,2,nan\n", "expected finite coordinates"),
        ("p.mrk.json", "{", r"expected markups of 3D Slicer \(JSON\)"),
        ("p.mrk.json", "[]", "expected a JSON object with a list 'markups'"),
        ("p.mrk.json", '{"markups": [{"type": "ROI"}]}', "expected markups of Fiducial, .*, got ROI"),
        (
            "p.mrk.json",
            '{"markups": [{"type": "Line", "coordinateSystem": "IJK", "controlPoints": [{"position": [1, 2, 3]}]}]}',
            "expected the coordinate system LPS or RAS, got IJK",
        ),
        (
            "p.mrk.json",
            '{"markups": [{"type": "Line", "controlPoints": [{"position": [1, 2]}]}]}',
            "expected a position of three numbers, got",
        ),
    ],
)
def test_what_is_no_file_of_points(tmp_path: Path, name: str, content: str, text: str):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=text):
        read_point_file(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match="expected a text file, got"):
        read_point_file(tmp_path / "absent.csv")
