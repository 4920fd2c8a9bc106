"""``python -m tools datalist FILE``: make a datalist of a public data set, and say what is wrong with one."""

from common.data.datalist import SECTIONS, read_datalist
from common.data.datalist_check import check_datalist
from common.data.recipes import make_datalist
from common.errors import InputError


def datalist(
    file: str, voxels: bool = True, make: str = "", folder: str = "", images: dict | None = None, label: str = ""
) -> None:
    """Check a datalist and all files in it; print every finding, and fail if there is an error.

    Args:
        file: the JSON datalist.
        voxels: read the voxels too (finite, not constant, label values); --voxels=False looks at headers only.
        make: write the file first for this data set: sr_reg, ixi, oasis, lpba40, mindboggle or abdomen_ct_ct.
        folder: where the data set lies (nothing is downloaded).
        images: glob pattern of each modality below the folder, as in --images "{'t1': '*/mr.nii.gz'}".
        label: glob pattern of the label maps.
    """
    if make:
        make_datalist(make, folder, file, images, label)
    findings = check_datalist(file, read_voxels=voxels)
    for finding in findings:
        print(finding)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise InputError(f"{file}: {errors} errors, {len(findings) - errors} warnings")
    content = read_datalist(file)
    counts = ", ".join(f"{len(content[section])} {section}" for section in SECTIONS if content.get(section))
    print(f"{file}: usable: {counts} items, {len(findings)} warnings")
