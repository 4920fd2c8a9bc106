"""Which images of a BIDS data set are registered to which; ancpbids reads the data set."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import InputError

logger = logging.getLogger(__name__)

#: Suffixes of anatomical images that are registered to the T1w of their session.
OTHERS = ("T2w", "FLAIR", "PDw", "T2star", "T2starw", "inplaneT2")
REFERENCE = "T1w"


@dataclass(frozen=True)
class Image:
    """An anatomical image of a data set.

    Attributes:
        path: the file.
        folder: where it lies in the data set: ``sub-01/ses-a/anat``.
        entities: the name before its suffix: ``sub-01_ses-a_run-1``.
        suffix: ``T1w`` and so on.
    """

    path: Path
    folder: str
    entities: str
    suffix: str

    @property
    def labels(self) -> dict[str, str]:
        """The entities by key: ``{"sub": "01", "ses": "a", "run": "1"}``."""
        return dict(part.split("-", 1) for part in self.entities.split("_") if "-" in part)

    @property
    def uri(self) -> str:
        """The image as a BIDS URI of the raw data set."""
        return f"bids:raw:{self.folder}/{self.path.name}"


@dataclass(frozen=True)
class Task:
    """One registration: the moving image, the fixed one, and the name of the space that the result is in."""

    moving: Image
    fixed: Path
    space: str
    fixed_uri: str

    @property
    def name(self) -> str:
        """Name of the pair, unique in the data set."""
        return f"{self.moving.entities}_from-{self.moving.suffix}_to-{self.space}"


def find_images(
    bids_dir: Path, suffixes: Sequence[str], participants: Sequence[str] = (), sessions: Sequence[str] = ()
) -> list[Image]:
    """The anatomical images of a data set, in order.

    Args:
        bids_dir: with ``dataset_description.json``.
        suffixes: which ones.
        participants: labels, with or without ``sub-``; all without it.
        sessions: labels, with or without ``ses-``; all, and images without a session, without it.

    Raises:
        InputError: no data set, ancpbids is missing, or a participant that is not in it.
    """
    try:
        from ancpbids import BIDSLayout
    except ImportError as error:
        raise InputError("bids needs ancpbids: pip install ancpbids") from error
    if not (bids_dir / "dataset_description.json").is_file():
        raise InputError(f"{bids_dir}: expected a BIDS data set, got no dataset_description.json")
    layout: Any = BIDSLayout(str(bids_dir))
    labels, known = [label.removeprefix("sub-") for label in participants], sorted(layout.get_subjects())
    for label in labels:
        if label not in known:
            raise InputError(f"{bids_dir}: expected a participant of {', '.join(known) or 'none'}, got {label!r}")
    wanted = {"sub": labels} if labels else {}
    found = layout.get(
        suffix=list(suffixes), extension=[".nii.gz", ".nii"], scope="raw", return_type="filename", **wanted
    )
    images = sorted((_image(Path(path), bids_dir) for path in found), key=lambda image: str(image.path))
    chosen = [label.removeprefix("ses-") for label in sessions]
    there = sorted({image.labels["ses"] for image in images if "ses" in image.labels})
    for label in chosen:
        if label not in there:
            raise InputError(f"{bids_dir}: expected a session of {', '.join(there) or 'none'}, got {label!r}")
    return [image for image in images if not chosen or image.labels.get("ses") in chosen]


def _image(path: Path, bids_dir: Path) -> Image:
    # The name as it is written: a library's entities lose the zeros of run-01.
    entities, _, suffix = path.name.removesuffix(".gz").removesuffix(".nii").rpartition("_")
    return Image(path, path.parent.relative_to(bids_dir).as_posix(), entities, suffix)


def tasks(images: Sequence[Image], template: Path | None = None, space: str | None = None) -> list[Task]:
    """What is registered to what; images that have nothing to go to are said aloud.

    With a template every T1w goes to it, and so does each image of a session that has no T1w. Without one every other
    anatomical image goes to the first T1w of its session.

    Args:
        images: of the data set.
        template: an image.
        space: what the template's space is called; the template's name without it (``tpl-NAME_...``).

    Raises:
        InputError: a space's name that BIDS cannot hold, or nothing to register.
    """
    first = {image.folder: image for image in reversed(images) if image.suffix == REFERENCE}
    lonely = [image for image in images if image.folder not in first]
    if template is not None:
        label = space or template_label(template)
        if not re.fullmatch("[A-Za-z0-9]+", label):
            raise InputError(f"space: expected letters and digits, as BIDS has labels, got {label!r}")
        for image in lonely:
            logger.warning("%s: no %s in its session: it goes to the template itself", image.path.name, REFERENCE)
        chosen = [
            Task(image, template, label, f"bids:template:{template.name}")
            for image in images
            if image.suffix == REFERENCE or image.folder not in first
        ]
    else:
        for image in lonely:
            logger.warning("%s is left out: no %s in its session", image.path.name, REFERENCE)
        chosen = [
            Task(image, first[image.folder].path, REFERENCE, first[image.folder].uri)
            for image in images
            if image.suffix != REFERENCE and image.folder in first
        ]
    if not chosen:
        wanted = "anatomical images" if template else f"a {REFERENCE} beside another of {', '.join(OTHERS)}"
        raise InputError(f"nothing to register: expected {wanted}, got {len(images)} images")
    return chosen


def template_label(template: Path) -> str:
    """The label of a template's space, from its name.

    >>> template_label(Path("tpl-MNI152NLin6Asym_res-01_T1w.nii.gz")), template_label(Path("my_mean.nii.gz"))
    ('MNI152NLin6Asym', 'mymean')
    """
    named = re.match("tpl-([A-Za-z0-9]+)", template.name)
    return named.group(1) if named else re.sub("[^A-Za-z0-9]", "", template.name.partition(".")[0])
