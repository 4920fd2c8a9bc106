"""``python -m tools atlas``: atlases for the MONAI Label server."""

from tools.monailabel_app.atlas import add_atlas, find_atlases
from tools.monailabel_app.label_names import read_names


def add(folder: str, image: str, labels: str, name: str = "", names: str = "freesurfer", source: str = "") -> None:
    """Make an atlas of an image, its labels and a table of names.

    Args:
        folder: of atlases, for `tools label --atlas`; made if missing.
        image: any format that the bundles read.
        labels: whole numbers on the image's grid.
        name: what Slicer's drop-down shows; default: the image's file name.
        names: freesurfer (SynthSeg's are the same), or a file: JSON, dseg.tsv, CSV, a FreeSurfer colour table, an
            ITK-SNAP label file.
        source: where the atlas comes from and its licence, kept with it.

    Raises:
        InputError: an image or the table cannot be used, or a value has no name.
    """
    chosen = name or image.rstrip("/").rpartition("/")[2].partition(".")[0]
    atlas = add_atlas(folder, chosen, image, labels, read_names(names), source)
    print(f"atlas {atlas.name} with {len(atlas.names)} labels is in {atlas.image.parent}")


def list_atlases(folder: str = "") -> None:
    """List atlases with the number of their labels.

    Args:
        folder: of atlases; the sample's is listed, too.

    Raises:
        InputError: no such folder.
    """
    for atlas in find_atlases(folder or None).values():
        print(f"{atlas.name}: {len(atlas.names)} labels{', ' + atlas.source if atlas.source else ''}")
