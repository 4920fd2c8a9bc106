"""Mean intensities of brain tissues for synthesis like a given contrast, by FreeSurfer label number.

MR: rounded values in the order that scans of this weighting show the tissues in, 1 for the brightest. CT: Hounsfield
units of soft tissue (CSF about 8, white 29, cortex 37, deep grey 36-37, brain stem 31; window 0 to 80 HU is [0, 1]), as
published for unenhanced head CT. The second number is the spread within a structure.
"""

from common.errors import InputError

TISSUES: dict[str, tuple[int, ...]] = {
    "background": (0,),
    "csf": (4, 5, 14, 15, 24, 31, 43, 44, 63, 72),
    "white": (2, 7, 41, 46, 77, 78, 79, 85, 251, 252, 253, 254, 255),
    "cortex": (3, 8, 42, 47),
    "deep": (9, 10, 11, 12, 13, 17, 18, 26, 28, 48, 49, 50, 51, 52, 53, 54, 58, 60),
    "stem": (16,),
}
T1_CONTRAST = {
    "background": (0.0, 0.0),
    "csf": (0.18, 0.03),
    "white": (0.86, 0.03),
    "cortex": (0.55, 0.05),
    "deep": (0.64, 0.04),
    "stem": (0.76, 0.04),
}
CT_CONTRAST = {
    "background": (0.0, 0.0),
    "csf": (0.10, 0.02),
    "white": (0.36, 0.02),
    "cortex": (0.46, 0.02),
    "deep": (0.455, 0.02),
    "stem": (0.39, 0.02),
}
T2_CONTRAST = {
    "background": (0.0, 0.0),
    "csf": (0.94, 0.04),
    "white": (0.38, 0.04),
    "cortex": (0.58, 0.05),
    "deep": (0.48, 0.05),
    "stem": (0.42, 0.04),
}
PD_CONTRAST = {
    "background": (0.0, 0.0),
    "csf": (0.78, 0.05),
    "white": (0.66, 0.03),
    "cortex": (0.86, 0.04),
    "deep": (0.78, 0.04),
    "stem": (0.70, 0.04),
}
FLAIR_CONTRAST = {
    "background": (0.0, 0.0),
    "csf": (0.12, 0.04),
    "white": (0.58, 0.04),
    "cortex": (0.74, 0.05),
    "deep": (0.68, 0.05),
    "stem": (0.60, 0.04),
}
#: Contrast by the name that ``render`` takes.
CONTRASTS = {"t1": T1_CONTRAST, "ct": CT_CONTRAST, "t2": T2_CONTRAST, "pd": PD_CONTRAST, "flair": FLAIR_CONTRAST}
_TISSUE_OF = {number: tissue for tissue, numbers in TISSUES.items() for number in numbers}


def tissue_of(number: int) -> str:
    """Return the tissue of a FreeSurfer label; cortical parcels (1000 to 2999) count as cortex.

    Raises:
        InputError: the number is not in the table.
    """
    if 1000 <= number < 3000:
        return "cortex"
    if number not in _TISSUE_OF:
        raise InputError(f"no tissue is known for FreeSurfer label {number}; known: {sorted(_TISSUE_OF)}, 1000-2999")
    return _TISSUE_OF[number]
