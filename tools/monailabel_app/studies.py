"""The studies folder: MONAI Label's own datastore, with DICOM series, whole files and no name that leads out of it."""

import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.datastore.local import LocalDatastore

from common.errors import InputError
from common.images import read_header, read_volume, save_volume
from common.images.headers import dicom_files
from common.writing import check_writable, write_atomically
from tools.monailabel_app.atlas import check_same_grid, read_label_map
from tools.monailabel_app.names import SUFFIXES, checked_name, place_in, suffix_of
from tools.monailabel_app.refused import RefusedError, without_paths

#: Voxels of the largest image that is taken: 512 x 512 x 1024.
LARGEST = 2**28


class Studies(LocalDatastore):
    """Images and labels of one folder, looked through anew at each listing.

    ``lock`` is held wherever the list of images is read or changed, since requests are served by several threads.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = check_writable(folder)
        if not self.folder.is_dir():
            raise InputError(f"studies folder {folder}: expected a folder, got none")
        self.lock = threading.RLock()
        self._series: dict[Path, tuple[float, bool]] = {}
        try:
            super().__init__(str(self.folder), extensions=[f"*{suffix}" for suffix in SUFFIXES], auto_reload=False)
        except ValueError as error:
            raise InputError(f"studies folder {folder}: expected datastore_v2.json as MONAI Label writes it") from error

    def refresh(self) -> None:
        """See what came to the folder and what left it."""
        with self.lock:
            super().refresh()

    def image(self, identity: str) -> Path:
        """The file, or the folder of the DICOM series, of an image.

        Raises:
            RefusedError: no plain name (400), or no such image (404).
        """
        checked_name(identity, "image")
        with self.lock:
            if identity not in self.list_images():
                self.refresh()
            found = self.get_image_uri(identity)
        if not found or not os.path.exists(found):
            raise RefusedError(404, f"no image {identity!r} in the studies")
        return Path(found)

    def label(self, identity: str, tag: str) -> Path:
        """The file of a label.

        Raises:
            RefusedError: no plain names (400), or no such label (404).
        """
        checked_name(identity, "label")
        checked_name(tag, "tag")
        with self.lock:
            self.refresh()
            found = self.get_label_uri(identity, tag)
        if not found or not os.path.isfile(found):
            raise RefusedError(404, f"no label {identity!r} with the tag {tag!r} in the studies")
        return Path(found)

    def labelled(self) -> list[tuple[str, str]]:
        """Every label map: image and tag."""
        objects = sorted(self.listing()["objects"].items())
        return [
            (name, tag) for name, found in objects for tag, label in found["labels"].items() if label["ext"] in SUFFIXES
        ]

    def listing(self) -> dict[str, Any]:
        """Images, labels and what is known of them; no paths."""
        with self.lock:
            self.refresh()
            return self.json()

    def put_image(self, identity: str, upload: Path, info: Mapping[str, Any]) -> str:
        """Take an uploaded image into the studies.

        Args:
            identity: its name.
            upload: a file with one of ``SUFFIXES``.
            info: what the client says of it, kept apart from what the server knows.

        Raises:
            RefusedError: the name or the file cannot be used (400, 413, 415, 422), or another image has the name (409).
        """
        checked_name(identity, "image")
        suffix = suffix_of(upload.name)
        check_image(upload)
        with self.lock:
            self.refresh()
            if identity in self.list_images():
                if not _same_image(self.image(identity), upload):
                    raise RefusedError(
                        409, f"another image has the name {identity!r} already: give this one another name"
                    )
                return identity
            self._write(place_in(self.folder, f"{identity}{suffix}"), upload)
            self.refresh()
            self.update_image_info(identity, {"client": dict(info)})
        return identity

    def put_label(self, identity: str, tag: str, upload: Path, info: Mapping[str, Any]) -> str:
        """Take a label of an image into the studies; it replaces an older one of the same tag.

        Raises:
            RefusedError: no such image (404), an unusable name or file (400, 415, 422), or labels on another grid
                (422).
        """
        image = self.image(identity)
        checked_name(tag, "tag")
        suffix = suffix_of(upload.name)
        check_image(upload)
        try:
            read_label_map(upload)
            check_same_grid(image, upload)
        except InputError as error:
            raise RefusedError(422, without_paths(str(error), {str(image): identity})) from error
        return self.keep(identity, tag, upload, suffix, info)

    def keep(self, identity: str, tag: str, file: Path, suffix: str, info: Mapping[str, Any]) -> str:
        """Keep a file under an image and a tag, whatever it holds: labels, or a field or transform of this server."""
        place = place_in(self.folder, "labels", checked_name(tag, "tag"), f"{checked_name(identity, 'image')}{suffix}")
        with self.lock:
            self.refresh()
            old = self.get_label_uri(identity, tag)
            self._write(place, file)
            if old and Path(old) != place:
                Path(old).unlink(missing_ok=True)
            self._record(identity, tag, suffix, {**info, "ts": int(time.time()), "name": place.name})
        return identity

    def nifti(self, identity: str, folder: Path) -> Path:
        """The image as one file: itself, or a DICOM series written as NIfTI into ``folder``."""
        image = self.image(identity)
        if not image.is_dir():
            return image
        volume, target = read_volume(image, "study"), folder / f"{identity}.nii.gz"
        kind = (
            np.int16 if (volume.voxels == np.rint(volume.voxels)).all() and abs(volume.voxels).max() < 2**15 else None
        )
        save_volume(volume.voxels, volume.affine, target, kind or np.float32)
        return target

    def _record(self, identity: str, tag: str, suffix: str, info: Mapping[str, Any]) -> None:
        """Write a label down in the datastore's file, with any suffix: looking through the folder finds images only."""
        from monailabel.datastore.local import DataModel

        self._datastore.objects[identity].labels[tag] = DataModel(ext=suffix, info=dict(info))
        self._update_datastore_file()

    def _write(self, place: Path, file: Path) -> None:
        write_atomically(place, lambda partial: shutil.copyfile(file, partial))

    def _list_files(self, path: str, patterns: Sequence[str]) -> dict[str, str]:
        """MONAI Label's search, without hidden and partial files, and with the folders of DICOM series."""
        found = {name: name for name in super()._list_files(path, patterns) if not name.startswith(".")}
        if Path(path).resolve() == self.folder.resolve():
            folders = (entry.name for entry in self.folder.iterdir() if entry.is_dir())
            found |= {name: name for name in folders if self._holds_series(self.folder / name)}
        return found

    def _holds_series(self, folder: Path) -> bool:
        """Whether a folder is a DICOM series, looked at again when something came to it or left it."""
        changed = folder.stat().st_mtime
        if self._series.get(folder, (None, False))[0] != changed:
            self._series[folder] = (changed, _is_series(folder))
        return self._series[folder][1]

    def _to_id(self, file: str) -> tuple[str, str]:
        """Name and suffix; a folder's name, dots included, is all name."""
        suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if file.endswith(s)), "")
        return file.removesuffix(suffix), suffix


def check_image(path: Path) -> None:
    """Read an uploaded image to its end.

    Raises:
        RefusedError: too large (413), or no whole 3-D image (422).
    """
    try:
        shape = read_header(path, "uploaded").grid.shape
        if int(np.prod(shape, dtype=np.int64)) > LARGEST:
            raise RefusedError(
                413, f"uploaded image: expected at most {LARGEST} voxels, got {'x'.join(map(str, shape))}"
            )
        read_volume(path, "uploaded")
    except RefusedError:
        raise
    except InputError as error:
        raise RefusedError(422, without_paths(str(error))) from error


def _same_image(one: Path, other: Path) -> bool:
    first, second = read_volume(one, "image"), read_volume(other, "image")
    return (
        first.voxels.shape == second.voxels.shape
        and np.allclose(first.affine, second.affine, atol=1e-3)
        and np.array_equal(first.voxels, second.voxels)
    )


def _is_series(folder: Path) -> bool:
    """Whether a folder holds one DICOM series: seen by its first file's mark, then asked of ITK."""
    if folder.name.startswith(".") or folder.name == "labels":
        return False
    files = (file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    first = next(files, None)
    if first is None or not _is_dicom(first):
        return False
    try:
        return bool(dicom_files(folder))
    except ValueError:
        return False


def _is_dicom(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(132)[128:] == b"DICM"
