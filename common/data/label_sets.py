"""The structures that the papers score, by name: ``LABEL_SETS["lpba40_54"]``.

A set says which values of a label map count, what they are called, and what becomes of them. Values stay as they are
where they fit into 8 bits and no two are joined; the others are renumbered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from common.errors import InputError, nearest


@dataclass(frozen=True)
class LabelSet:
    """Structures of a label map.

    Attributes:
        names: value -> name of the structure, after ``table``.
        table: source value -> value; other values become 0.
        remark: what is inferred, or missing from a release.
    """

    names: Mapping[int, str]
    table: Mapping[int, int] = field(default_factory=dict)
    remark: str = ""

    def __len__(self) -> int:
        return len(self.names)


_SIDED = {  # left, right in FreeSurfer's table
    (2, 41): "white matter",
    (3, 42): "cortex",
    (4, 43): "lateral ventricle",
    (7, 46): "cerebellar white matter",
    (8, 47): "cerebellar cortex",
    (10, 49): "thalamus",
    (11, 50): "caudate",
    (12, 51): "putamen",
    (13, 52): "pallidum",
    (17, 53): "hippocampus",
    (18, 54): "amygdala",
    (26, 58): "accumbens",
    (28, 60): "ventral diencephalon",
    (31, 63): "choroid plexus",
}
_MIDDLE = {14: "3rd ventricle", 15: "4th ventricle", 16: "brain stem", 24: "CSF"}
_FREESURFER = {
    **{left: f"left {name}" for (left, _), name in _SIDED.items()},
    **{right: f"right {name}" for (_, right), name in _SIDED.items()},
    **_MIDDLE,
}
#: Values of neurite's OASIS release, in their order: FreeSurfer's numbers of 1 to 35 (18 and 34 are vessels).
_SEG35 = (
    *(2, 3, 4, 5, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 26, 28, 30, 31),
    *(41, 42, 43, 44, 46, 47, 49, 50, 51, 52, 53, 54, 58, 60, 62, 63),
)
_SEG35_NAMES = {
    **_FREESURFER,
    5: "left inferior lateral ventricle",
    44: "right inferior lateral ventricle",
    30: "left vessel",
    62: "right vessel",
}
_LPBA40_SIDED = {  # left; right is one more
    21: "superior frontal gyrus",
    23: "middle frontal gyrus",
    25: "inferior frontal gyrus",
    27: "precentral gyrus",
    29: "middle orbitofrontal gyrus",
    31: "lateral orbitofrontal gyrus",
    33: "gyrus rectus",
    41: "postcentral gyrus",
    43: "superior parietal gyrus",
    45: "supramarginal gyrus",
    47: "angular gyrus",
    49: "precuneus",
    61: "superior occipital gyrus",
    63: "middle occipital gyrus",
    65: "inferior occipital gyrus",
    67: "cuneus",
    81: "superior temporal gyrus",
    83: "middle temporal gyrus",
    85: "inferior temporal gyrus",
    87: "parahippocampal gyrus",
    89: "lingual gyrus",
    91: "fusiform gyrus",
    101: "insular cortex",
    121: "cingulate gyrus",
    161: "caudate",
    163: "putamen",
    165: "hippocampus",
}
_LPBA40 = {n + i: f"{side} {name}" for n, name in _LPBA40_SIDED.items() for i, side in enumerate(("left", "right"))}
_DKT = {  # left is 1000 more, right 2000
    2: "caudal anterior cingulate",
    3: "caudal middle frontal",
    5: "cuneus",
    6: "entorhinal",
    7: "fusiform",
    8: "inferior parietal",
    9: "inferior temporal",
    10: "isthmus cingulate",
    11: "lateral occipital",
    12: "lateral orbitofrontal",
    13: "lingual",
    14: "medial orbitofrontal",
    15: "middle temporal",
    16: "parahippocampal",
    17: "paracentral",
    18: "pars opercularis",
    19: "pars orbitalis",
    20: "pars triangularis",
    21: "pericalcarine",
    22: "postcentral",
    23: "posterior cingulate",
    24: "precentral",
    25: "precuneus",
    26: "rostral anterior cingulate",
    27: "rostral middle frontal",
    28: "superior frontal",
    29: "superior parietal",
    30: "superior temporal",
    31: "supramarginal",
    34: "transverse temporal",
    35: "insula",
}
_ABDOMEN = (
    *("spleen", "right kidney", "left kidney", "gallbladder", "oesophagus", "liver", "stomach", "aorta"),
    *("inferior vena cava", "portal and splenic vein", "pancreas", "adrenal gland (12)", "adrenal gland (13)"),
)
_MERGED = {left: name for (left, _), name in _SIDED.items() if left != 31} | {n: _MIDDLE[n] for n in (14, 15, 16)}
_THIRTY = (*(2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 28, 31), *(41, 42, 43, 46, 47, 49, 50, 51, 52, 53),
           *(54, 60, 63))  # fmt: skip
_TWENTY_EIGHT = tuple(n for n in _THIRTY if n not in (28, 60))


def _kept(names: Mapping[int, str], values: Sequence[int], remark: str = "") -> LabelSet:
    """A set whose values stay as they are."""
    return LabelSet({n: names[n] for n in values}, {n: n for n in values}, remark)


def _numbered(names: Mapping[int, str]) -> LabelSet:
    """A set whose values become 1, 2, 3 .. in this order."""
    return LabelSet(dict(enumerate(names.values(), 1)), {n: i for i, n in enumerate(names, 1)})


LABEL_SETS: dict[str, LabelSet] = {
    "freesurfer_16": LabelSet(
        _MERGED,
        {side: left for left, right in _SIDED for side in (left, right) if left != 31} | {n: n for n in (14, 15, 16)},
        "MambaMorph and VMambaMorph: sides merged; the paper gives the number, which ones is inferred",
    ),
    "freesurfer_28": _kept(_FREESURFER, _TWENTY_EIGHT, "CAMLMorph: a choice of the stated number, the table is lost"),
    "freesurfer_29": _kept(
        _FREESURFER,
        [n for n in _THIRTY if n != 24],
        "the number that ViT-V-Net's paper gives: the authors' 30 on IXI without CSF; their figure shows others",
    ),
    "freesurfer_30": _kept(_FREESURFER, _THIRTY, "the 30 structures that ViT-V-Net's authors score on IXI"),
    "vit_v_net_28": _kept(
        _FREESURFER,
        [n for n in _THIRTY if n not in (2, 41)],
        "the figure in ViT-V-Net's repository shows these: 16 names, 28 with both sides; its paper says 29",
    ),
    "oasis_28": LabelSet(
        {n: _FREESURFER[n] for n in _TWENTY_EIGHT},
        {i: n for i, n in enumerate(_SEG35, 1) if n in _TWENTY_EIGHT},
        "freesurfer_28 out of neurite's release of OASIS, which has no CSF: 27 of them are there",
    ),
    "oasis_35": _kept({i: _SEG35_NAMES[n] for i, n in enumerate(_SEG35, 1)}, range(1, 36), "neurite's release"),
    "lpba40_54": _kept(_LPBA40, list(_LPBA40), "PSMamba-Net: without cerebellum (181) and brain stem (182)"),
    "lpba40_56": _kept({**_LPBA40, 181: "cerebellum", 182: "brain stem"}, [*_LPBA40, 181, 182], "CAMLMorph"),
    "mindboggle_62": _numbered(
        {n + s: f"{side} {name}" for s, side in ((1000, "left"), (2000, "right")) for n, name in _DKT.items()}
    ),
    "abdomen_13": _kept(dict(enumerate(_ABDOMEN, 1)), range(1, 14)),
}


def find_label_set(name: str) -> LabelSet:
    """Return a set of structures by its name.

    Raises:
        InputError: there is none of this name.
    """
    if name not in LABEL_SETS:
        raise InputError(
            f"expected a label set among {', '.join(LABEL_SETS)}, got {name!r}{nearest(name, LABEL_SETS, '')}"
        )
    return LABEL_SETS[name]


def remap(label: np.ndarray, table: Mapping[int, int]) -> np.ndarray:
    """Replace label values by ``table``; values that it does not name become 0. Returns uint8."""
    values = np.round(np.asarray(label)).astype(np.int64)
    look_up = np.zeros(max(int(values.max()), *table) + 1, np.uint8)
    for source, target in table.items():
        look_up[source] = target
    return look_up[np.clip(values, 0, None)]
