"""``python -m tools report``: the page and the picture of a finished registration."""

from pathlib import Path

from common.report import write_report


def report(
    result: Path,
    fixed: Path | None = None,
    moving: Path | None = None,
    fixed_label: Path | None = None,
    moving_label: Path | None = None,
) -> None:
    """Write report.html and report.png of a finished registration beside its files.

    The page needs no network and no other file. A run writes both by itself with --report true.

    Args:
        result: the output_dir of the registration.
        fixed: the fixed image; the one that metrics.json names without it, as with the others.
        moving: the moving image.
        fixed_label: label map of the fixed image.
        moving_label: label map of the moving image.

    Raises:
        InputError: the folder holds no result of these images.
    """
    images = {"fixed": fixed, "moving": moving, "fixed_label": fixed_label, "moving_label": moving_label}
    for path in write_report(result, **images):
        print(f"written: {path}")
