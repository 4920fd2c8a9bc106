"""``register``: two images, in memory or on disk, and the result in memory; the way is ``Bundle.register``'s."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from common.bundle.run import Bundle, Registered
from common.errors import InputError
from common.registration.in_memory import image_file, points_file, read_whole
from common.registration.keys import PATH_KEYS
from common.registration.outputs import MOVED_POINTS
from common.registration.point_files import read_point_file
from common.registration.result import Registration
from common.registration.transform_files import read_transform
from common.switches import expanded

#: ``bundle="none"``: alignment and refinement alone. A bundle without weights that travels with the library.
NO_NETWORK = Path(__file__).with_name("none")
#: Keys that this function sets itself.
_OWN = ("output_dir", "outputs", "datalist", "console")


def register(
    fixed: Any,
    moving: Any,
    *,
    bundle: str | Path = "mambamorph",
    fixed_label: Any = None,
    moving_label: Any = None,
    points: Any = None,
    fixed_points: Any = None,
    initial: Any = None,
    inverse: bool = False,
    **overrides: Any,
) -> Registration:
    """Register two images and return the result in memory; no file stays.

    Images may be paths, nibabel images, ``itk.Image``, ``SimpleITK.Image`` or ``MetaTensor`` with their affines, of any
    orientation, spacing, size and type.

    Args:
        fixed: the image that stays where it is.
        moving: the image that is brought to it.
        bundle: name or folder of a bundle; ``none`` aligns and refines without a network.
        fixed_label: label map of the fixed image, for Dice.
        moving_label: label map of the moving image, which is moved along.
        points: points of the moving image to bring to the fixed one: a file as ``apply`` takes it, or (N, 3) in RAS
            millimetres.
        fixed_points: the same points in the fixed image, in the same order; their distance before and after stands in
            ``metrics["points_mm"]``.
        initial: linear transform to start from, fixed to moving: a file (``read_transform``), or (4, 4) in RAS
            millimetres.
        inverse: whether to compute the inverse transform as well.
        overrides: keys of the bundle's ``inference.json``, such as ``align="none"``, ``refine="off"``,
            ``passes=[2]``, ``device="cpu"``. Keys that name images take them as ``fixed`` does.

    Raises:
        InputError: something cannot be used; the text says what was expected and what came.

    Example::

        result = register("t1.nii.gz", nibabel.load("ct.nii.gz"), bundle="none", inverse=True)
        nibabel.save(result.moved, "ct_on_t1.nii.gz")
        result.points_to_fixed([[-20.0, 10.0, 5.0]])
    """
    if wrong := [key for key in _OWN if key in overrides]:
        raise InputError(f"register: {wrong[0]} is for files: expected Bundle.register for it, got it here")
    opened = open_bundle(bundle)
    images = {"fixed": fixed, "moving": moving, "fixed_label": fixed_label, "moving_label": moving_label}
    points = overrides.pop("moving_points", points)
    images |= {key: overrides.pop(key) for key in PATH_KEYS if key in overrides}
    with tempfile.TemporaryDirectory(prefix="register-") as name:
        folder = Path(name)
        pair = {role: image_file(image, role, folder) for role, image in images.items() if image is not None}
        for role, given in (("moving_points", points), ("fixed_points", fixed_points)):
            if given is not None:
                pair[role] = points_file(given, role, folder)
        if initial is not None:
            pair["initial"] = _initial_file(initial, folder)
        options = {"field_spacing": 0, **overrides, "outputs": ["transform", *["inverse"] * inverse]}
        (written,) = opened.register(pair, folder / "result", **options)
        return _read(written, [role for role in ("fixed", "moving") if not isinstance(images[role], str | Path)])


def open_bundle(bundle: str | Path) -> Bundle:
    """Return a bundle; for ``none`` the one of ``NO_NETWORK``.

    Raises:
        InputError: there is no such bundle.
    """
    return Bundle(NO_NETWORK if str(bundle) == "none" else bundle)


def _initial_file(initial: Any, folder: Path) -> str:
    if isinstance(initial, (str, Path)):
        return str(expanded(initial).absolute())
    path = folder / "initial.txt"
    np.savetxt(path, np.asarray(getattr(initial, "matrix", initial), dtype=np.float64), fmt="%.17g")
    return str(path)


def _read(written: Registered, in_memory: list[str]) -> Registration:
    files = {path.name: path for path in written.files}
    points = next((path for name, path in files.items() if name.startswith(MOVED_POINTS)), None)
    labels, back = files.get("moved_label.nii.gz"), files.get("inverse.h5")
    names = {role: f"{role} image in memory" for role in in_memory}
    return Registration(
        moved=read_whole(files["moved.nii.gz"]),
        moved_label=read_whole(labels) if labels else None,
        moved_points=read_point_file(points).points if points else None,
        # Slanted axes, which ITK's composites cannot hold, leave the field alone.
        transform=read_transform(files.get("transform.h5", files["warp.nii.gz"])),
        inverse=read_transform(back, "moving", "fixed") if back else None,
        metrics=written.metrics | names,
    )
