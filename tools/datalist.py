"""``python -m tools datalist FILE``: make a datalist of a public data set, and say what is wrong with one."""

from collections.abc import Sequence

from common.data.datalist import SECTIONS, read_datalist
from common.data.datalist_check import check_datalist
from common.data.preparation import Preparation
from common.data.recipes import make_datalist
from common.errors import InputError

SAME_PAIRS = (
    "this paper has no validation subjects: validation holds the test pairs, as in the authors' code. Report last.pt "
    "of a run, not best.pt, which is chosen on them, or hold subjects out with --split"
)


def datalist(
    file: str,
    voxels: bool = True,
    make: str = "",
    folder: str = "",
    images: dict | None = None,
    label: str = "",
    labels: str = "",
    pairs: str = "",
    split: Sequence[int] | None = None,
    mask: str = "",
    windows: dict | None = None,
    crop: Sequence[int] | None = None,
    resize: Sequence[int] | None = None,
) -> None:
    """Check a datalist and all files in it; print every finding, and fail if there is an error.

    Args:
        file: the JSON datalist.
        voxels: read the voxels too (finite, not constant, label values); --voxels=False looks at headers only.
        make: write the file first for this data set: sr_reg, ixi, oasis, lpba40, mindboggle, abdomen_ct_ct or
            freesurfer_t1.
        folder: where the data set lies (nothing is downloaded).
        images: glob pattern of each modality below the folder, as in --images "{'t1': '*/mr.nii.gz'}".
        label: glob pattern of the label maps.
        labels: the structures that count, by name: freesurfer_16, oasis_28, lpba40_56 .. (docs/data.md).
        pairs: which subjects validation and test pair: disjoint, ordered or atlas.
        split: numbers of training, validation and test subjects, as in --split "[0, 0, 40]".
        mask: glob patterns of brain masks with commas between them.
        windows: intensities to cut a modality to, as in --windows "{'ct': [0, 80]}".
        crop: voxels of a box around the middle of the foreground, as in --crop "[192, 160, 160]".
        resize: voxels that the volumes are brought to, as in --resize "[128, 128, 128]".
    """
    if make:
        preparation = Preparation(mask, windows or {}, crop, resize)
        made = make_datalist(
            make, folder, file, images, label, labels=labels, pairs=pairs, split=split, preparation=preparation
        )
        if made["validation"] and made["validation"] == made["test"]:
            print(SAME_PAIRS)
    findings = check_datalist(file, read_voxels=voxels)
    for finding in findings:
        print(finding)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise InputError(f"{file}: {errors} errors, {len(findings) - errors} warnings")
    content = read_datalist(file)
    counts = ", ".join(f"{len(content[section])} {section}" for section in SECTIONS if content.get(section))
    print(f"{file}: usable: {counts} items, {len(findings)} warnings")
