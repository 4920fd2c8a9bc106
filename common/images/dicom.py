"""DICOM series: the files of a folder, and whether their slices make up one volume."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from common.geometry.affines import Array

#: Millimetres by which distances between slices may differ, and that a slice may lie beside the line of the others.
TOLERANCE = 0.05


class Slice(NamedTuple):
    """Place and size of one slice: position (3,) in LPS mm, directions (6,) of its rows and columns, and the rest."""

    position: Array
    directions: Array
    size: tuple[int, int]
    spacing: tuple[float, float]
    modality: str


def dicom_files(folder: str | Path) -> list[str]:
    """The files of a folder's DICOM series in their order.

    Raises:
        ValueError: there is no series, or more than one.
    """
    import itk

    names = itk.GDCMSeriesFileNames.New(Directory=str(folder))
    series = list(names.GetSeriesUIDs())
    if len(series) != 1:
        raise ValueError(f"a folder with {len(series)} DICOM series")
    return list(names.GetFileNames(series[0]))


def check_slices(files: list[str]) -> str:
    """Check that slices follow each other at one distance; return their modality, such as ``CT``.

    Raises:
        ValueError: slices of several kinds, two at one position, one missing, or a tilted gantry.
    """
    slices = [_slice(file) for file in files]
    kinds = {(one.size, one.spacing, tuple(np.round(one.directions, 4))) for one in slices}
    if len(kinds) > 1:
        raise ValueError(f"slices of {len(kinds)} sizes, spacings or directions in one series: a scout among them?")
    first = slices[0]
    if len(slices) > 1:
        normal = np.cross(first.directions[:3], first.directions[3:])
        positions = np.array([one.position for one in slices])
        _check_distances(positions @ normal)
        _check_tilt(positions, normal)
    return first.modality


def _check_distances(along: Array) -> None:
    """Distances of slices along their normal, (N,), in mm."""
    along = np.sort(along)
    steps = np.diff(along)
    doubled = np.flatnonzero(steps < TOLERANCE)
    if len(doubled):
        raise ValueError(
            f"{len(doubled) + 1} slices at one position ({along[doubled[0]]:.2f} mm): several volumes in one?"
        )
    usual = float(np.median(steps))
    gaps = np.flatnonzero(np.abs(steps - usual) > TOLERANCE)
    if len(gaps):
        k = int(gaps[0])
        raise ValueError(
            f"slices missing or unevenly spaced: {steps[k]:.2f} mm between {along[k]:.2f} and {along[k + 1]:.2f} mm, "
            f"{usual:.2f} mm between the others"
        )


def _check_tilt(positions: Array, normal: Array) -> None:
    """Positions of slices (N, 3) have to lie on a line along their normal (3,)."""
    way = positions[-1] - positions[0]
    along = abs(float(way @ normal))
    beside = float(np.linalg.norm(way - (way @ normal) * normal))
    if beside > TOLERANCE * len(positions):
        tilt = np.degrees(np.arctan2(beside, along))
        raise ValueError(f"a gantry tilted by {tilt:.1f} degrees: resample the series to right angles first")


def _slice(file: str) -> Slice:
    import itk

    reader: Any = itk.GDCMImageIO.New()
    reader.SetFileName(file)
    reader.ReadImageInformation()
    axes = [np.asarray(reader.GetDirection(axis), dtype=np.float64) for axis in range(2)]
    position = np.array([reader.GetOrigin(axis) for axis in range(3)])
    tags = reader.GetMetaDataDictionary()
    modality = tags["0008|0060"].strip() if tags.HasKey("0008|0060") else ""
    size = (int(reader.GetDimensions(0)), int(reader.GetDimensions(1)))
    spacing = (round(float(reader.GetSpacing(0)), 4), round(float(reader.GetSpacing(1)), 4))
    return Slice(position, np.concatenate(axes), size, spacing, modality)
