"""``python -m tools datalist FILE``: say what is wrong with a datalist before a long run starts."""

from common.data.datalist import SECTIONS, read_datalist
from common.data.datalist_check import check_datalist
from common.errors import InputError


def datalist(file: str, voxels: bool = True) -> None:
    """Check a datalist and all files in it; print every finding, and fail if there is an error.

    Args:
        file: the JSON datalist.
        voxels: read the voxels too (finite, not constant, label values); --voxels=False looks at headers only.
    """
    findings = check_datalist(file, read_voxels=voxels)
    for finding in findings:
        print(finding)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise InputError(f"{file}: {errors} errors, {len(findings) - errors} warnings")
    content = read_datalist(file)
    counts = ", ".join(f"{len(content[section])} {section}" for section in SECTIONS if content.get(section))
    print(f"{file}: usable: {counts} items, {len(findings)} warnings")
