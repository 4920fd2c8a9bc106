"""A pair of images to try things on, with the field between them; see the README beside it for source and licence."""

from pathlib import Path

FOLDER = Path(__file__).parent
#: Names of the values of ``fixed_tissue.nii.gz``.
TISSUES = {1: "Cerebrospinal-Fluid", 2: "Grey-Matter", 3: "White-Matter"}


def sample_pair() -> dict[str, str]:
    """Paths of the sample pair: ``fixed`` (T1), ``moving`` (CT-like), ``true_field`` (ITK displacement field)."""
    files = {"fixed": "fixed_t1", "moving": "moving_ct", "true_field": "true_field"}
    return {key: str(FOLDER / f"{name}.nii.gz") for key, name in files.items()}
