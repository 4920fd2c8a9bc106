"""What a report says in words and numbers: flags, figures with their protocol, a methods paragraph with citations."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Papers of what every run is made of.
MONAI = "Cardoso, M. J. et al. MONAI: An open-source framework for deep learning in healthcare. arXiv:2211.02701 (2022)"
ALIGNMENT = (
    "Mattes, D. et al. PET-CT image registration in the chest using free-form deformations. IEEE Transactions on "
    "Medical Imaging 22(1), 120-128 (2003)"
)
TEN_DETERMINANTS = (
    "Liu, Y. et al. On finite difference Jacobian computation in deformable image registration. International Journal "
    "of Computer Vision 132, 3678-3688 (2024)"
)
BRAIN = (
    "Fisch, L. et al. deepbet: Fast brain extraction of T1-weighted MRI using convolutional neural networks. "
    "arXiv:2308.07003 (2023)"
)
BRAIN_CT = "Muschelli, J. et al. Validated automatic brain extraction of head CT images. NeuroImage (2015)"
CORRELATION = (
    "Avants, B. B. et al. Symmetric diffeomorphic image registration with cross-correlation. Medical Image Analysis "
    "12(1), 26-41 (2008)"
)
MIND = (
    "Heinrich, M. P. et al. Towards realtime multimodal fusion for image-guided interventions using self-similarities. "
    "MICCAI (2013)"
)


#: How grave a flag is, the worst first.
LEVELS = ("serious", "warning", "note")


@dataclass(frozen=True)
class Flag:
    """Something about a result that a person should know: how grave, its kind, what was found, and what to do."""

    level: str
    name: str
    text: str
    advice: str = ""


@dataclass(frozen=True)
class Figure:
    """A row of the table of figures; what has no start to compare with stands under ``after``."""

    name: str
    before: str
    after: str
    meaning: str


def flags(metrics: Mapping[str, Any]) -> list[Flag]:
    """The flags of ``metrics.json``, the worst first, and what gave way to something better."""
    found = [
        Flag(
            "serious" if entry.get("serious") else "warning",
            str(entry.get("flag", "")),
            _sentence(entry.get("word", "")),
            _sentence(entry.get("what_to_do", "")),
        )
        for entry in metrics.get("quality") or []
    ]
    if fallback := metrics.get("fallback"):
        because = "; ".join(map(str, fallback.get("because", [])))
        found.append(Flag("note", "fallback", _sentence(f"the result is {fallback.get('to')}, since {because}")))
    return sorted(found, key=lambda flag: LEVELS.index(flag.level))


def _sentence(text: Any) -> str:
    """With a capital letter and a full stop.

    >>> _sentence("check the paths")
    'Check the paths.'
    """
    words = str(text).strip()
    return f"{words[:1].upper()}{words[1:].rstrip('.')}." if words else ""


def number(value: Any) -> str:
    """A figure as text: four significant digits.

    >>> number(0.123456), number(12), number(None)
    ('0.1235', '12', '-')
    """
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def figure_rows(metrics: Mapping[str, Any]) -> list[Figure]:
    """Every figure of one pair; a definition stands beside the first figure that it belongs to."""
    definitions = dict(metrics.get("protocol", {}))
    return [
        Figure(name, number(before) if before != "" else "", number(after), definitions.pop(key, ""))
        for name, key, before, after in _figures(metrics)
    ]


def _figures(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, Any]]:
    """Name, key of its definition, value before and after."""
    similarity = metrics.get("similarity", {})
    for name, key in (("correlation", "ncc"), ("mutual information", "mutual_information")):
        if similarity:
            yield name, key, similarity["before"][key], similarity["after"][key]
    if "dice" in metrics:
        yield "mean Dice", "dice", metrics["dice"]["before"]["mean"], metrics["dice"]["after"]["mean"]
    for statistic in metrics.get("tre_mm", {}).get("after", {}):
        errors = metrics["tre_mm"]
        yield f"distance to the true field, {statistic}, mm", "tre_mm", *(errors[k][statistic] for k in _TIMES)
    for key, value in metrics.get("field", {}).items():
        yield key.replace("_", " "), key, "", value
    for stage, seconds in metrics.get("stage_seconds", {}).items():
        yield f"seconds, {stage.replace('_', ' ')}", "stage_seconds", "", seconds
    if metrics.get("peak_memory_mb") is not None:
        yield "peak memory, MB", "peak_memory_mb", "", metrics["peak_memory_mb"]


_TIMES = ("before", "after")


def dice_rows(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Dice of each label before and after, the lowest first; empty without labels."""
    dice = metrics.get("dice", {})
    after, before = (dice.get(when, {}).get("per_label", {}) for when in ("after", "before"))
    order = sorted(after, key=lambda label: (after[label] is None, after[label] or 0))
    return [(label, number(before.get(label)), number(after[label])) for label in order]


def references_of(metrics: Mapping[str, Any]) -> list[str]:
    """The papers of the network that ran, from the metadata beside its weights; empty where that is not there."""
    weights = (metrics.get("weights") or {}).get("file")
    if not weights:
        return []
    try:
        metadata = json.loads((Path(weights).parents[1] / "configs" / "metadata.json").read_text(encoding="utf-8"))
        return [str(reference) for reference in metadata.get("references", [])]
    except (OSError, ValueError, IndexError, AttributeError):
        return []


def methods(metrics: Mapping[str, Any]) -> tuple[str, list[str]]:
    """A paragraph for a paper's methods section, and the references that its numbers stand for."""
    sources: list[str] = []

    def cite(*references: str) -> str:
        sources.extend(reference for reference in references if reference not in sources)
        return "".join(f" [{sources.index(reference) + 1}]" for reference in references)

    versions = metrics.get("versions", {})
    own = f"registration-bundles {versions.get('registration-bundles', '')}".strip()
    network = "out a network" if _no_network(metrics) else f" {metrics.get('network') or 'a network'}"
    sentences = [
        f"The moving image was registered to the fixed image with{network}"
        f"{cite(*references_of(metrics))} as implemented in {own} (MONAI {versions.get('monai', '')}{cite(MONAI)}, "
        f"PyTorch {versions.get('torch', '')})."
    ]
    sentences += _brain_sentences(metrics, cite)
    kind = metrics.get("alignment", {}).get("kind")
    if kind in ("rigid", "affine"):
        article = "an" if kind == "affine" else "a"
        sentences.append(
            f"The images were first aligned by {article} {kind} map found with mutual information{cite(ALIGNMENT)}."
        )
    sentences += _network_sentences(metrics)
    sentences += _refinement_sentences(metrics, cite)
    if fallback := metrics.get("fallback"):
        sentences.append(f"A check of the result failed; {fallback.get('to')} took its place.")
    sentences.append("The moving image was interpolated once, through the joined transform, on the fixed image's grid.")
    return " ".join(sentences), sources


def _no_network(metrics: Mapping[str, Any]) -> bool:
    return metrics.get("network") == "no network"


def _brain_sentences(metrics: Mapping[str, Any], cite: Any) -> Iterator[str]:
    """How each head was stripped, and what did not count."""
    brain = metrics.get("brain") or {}
    for role in ("fixed", "moving"):
        method = (brain.get(role) or {}).get("method", "none")
        if method == "given":
            yield f"The {role} image was limited to a given brain mask."
        elif method not in _NOT_STRIPPED:
            source = BRAIN if method == "deepbet" else BRAIN_CT
            what = "with deepbet" if method == "deepbet" else f"by {method}, after"
            yield f"The {role} image, a whole head, was stripped to the brain {what}{cite(source)}."
    excluded = [role for role in ("fixed", "moving") if metrics.get(f"{role}_exclude")]
    if excluded:
        yield f"Regions that were excluded by a mask of the {' and of the '.join(excluded)} image did not count."


_NOT_STRIPPED = ("none", "not installed", "failed")


def _network_sentences(metrics: Mapping[str, Any]) -> Iterator[str]:
    grid = metrics.get("network_grid")
    if grid:
        spacing, passes = float(grid["spacing_mm"]), metrics.get("passes") or [1]
        steps = " and then ".join(
            f"{number(spacing * step)} mm" for step in (passes if isinstance(passes, list) else [passes])
        )
        predicted = "" if _no_network(metrics) else f"; the network predicted the displacement field at {steps}"
        yield f"Both were resampled to {number(spacing)} mm isotropic voxels and scaled to [0, 1]{predicted}."
    digest = (metrics.get("weights") or {}).get("sha256")
    if digest:
        yield f"Its weights have the SHA-256 digest {digest[:16]}."


def _refinement_sentences(metrics: Mapping[str, Any], cite: Any) -> Iterator[str]:
    refinement = metrics.get("refinement")
    if not refinement:
        return
    two = refinement.get("contrasts") == 2
    measure = f"modality-independent descriptors{cite(MIND)} and local correlation" if two else "local correlation"
    yield (
        f"{_STARTS.get(refinement.get('start'), 'The')} field was refined on the pair itself "
        f"(preset {refinement.get('preset')}) by {measure}{cite(CORRELATION)}, with every step "
        f"checked to stay one to one by ten finite-difference determinants{cite(TEN_DETERMINANTS)}."
    )


#: How the sentence on refinement begins, by where it began.
_STARTS = {
    "affine": "Starting from the alignment alone, the",
    "mean": "Starting between the refined alignment and the network's field, the",
}
