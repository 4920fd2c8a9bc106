"""``python -m tools benchmark figures RUN --paper psmamba``: a paper's kinds of figure from a benchmark's run."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from common.errors import InputError, nearest
from common.evaluation import read_pairs, read_structures
from common.evaluation.tables import record_name
from common.geometry import index_map, reorient
from common.images import Volume, read_volume
from common.metrics import sampling_positions, warp_labels_nearest
from tools.benchmark.figures import COLOURS, draw_boxes

Array = NDArray[Any]
#: Kinds of figure in each paper.
FIGURES: dict[str, tuple[str, ...]] = {
    "mambamorph": ("boxes", "contours"),
    "vmambamorph": ("fields",),
    "psmamba": ("boxes", "curves", "fields"),
    "vit_v_net": ("boxes", "fields"),
    "caml_morph": ("boxes", "fields"),
}
COLUMNS = ("moved image", "moved labels", "displacement, mm", "displacement as RGB")


@dataclass(frozen=True)
class Shown:
    """One axial slice of what a method made of a pair, in RAS order.

    Attributes:
        title: of the method.
        image: (X, Y) moved image.
        label: (X, Y) moved label map.
        field: (X, Y, 3) displacement in mm, right, front, up.
    """

    title: str
    image: Array
    label: Array
    field: Array


def benchmark_figures(
    run: str, paper: str, datalist: str = "", section: str = "validation", pair: str = "", output: str = ""
) -> None:
    """Draw the figures that a paper shows from a benchmark's run: Dice by region, curves over pairs, fields, contours.

    Args:
        run: output folder of ``benchmark registration``; fields and contours need --keep_fields there.
        paper: mambamorph, vmambamorph, psmamba, vit_v_net or caml_morph.
        datalist: the list that was registered: names structures, and has the files for fields and contours.
        section: the list's section.
        pair: name of the pair that fields and contours show; the first one without.
        output: folder for the PNG files; the run's own without.

    Raises:
        InputError: no such paper, run or pair, or the run has kept no fields.
    """
    import matplotlib

    matplotlib.use("Agg")
    if paper not in FIGURES:
        raise InputError(f"expected a paper among {', '.join(FIGURES)}, got {paper!r}{nearest(paper, FIGURES, '')}")
    records = _records(Path(run))
    structures = read_structures(datalist) if datalist else {}
    target = Path(output or run)
    target.mkdir(parents=True, exist_ok=True)
    for figure in FIGURES[paper]:
        if figure in ("fields", "contours"):
            written = [target / f"{paper}_{figure}.png"]
            _picture(figure, written[0], Path(run), records, datalist, section, pair)
        else:
            written = _by_kind(figure, target / f"{paper}_{figure}.png", records, structures)
        for path in written:
            print(f"wrote {path}")


def _records(run: Path) -> list[dict[str, Any]]:
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((run / "records").glob("*.json"))]
    if not records:
        raise InputError(f"{run}: expected records/*.json of a benchmark or an evaluation, found none")
    return records


def _by_kind(figure: str, path: Path, records: Sequence[dict[str, Any]], structures: Mapping[int, str]) -> list[Path]:
    """Boxes or curves, a file for each kind of pair: T1 to T1 and T1 to CT are never pooled."""
    kinds = list(dict.fromkeys(record["kind"] for record in records))
    files = [path] if len(kinds) == 1 else [path.with_stem(f"{path.stem}_{n}") for n in range(1, len(kinds) + 1)]
    for kind, file in zip(kinds, files, strict=True):
        mine = [record for record in records if record["kind"] == kind]
        if figure == "boxes":
            _boxes(file, mine, structures, kind)
        else:
            _curves(file, mine, kind)
    return files


def _boxes(path: Path, records: Sequence[dict[str, Any]], structures: Mapping[int, str], kind: str) -> None:
    methods = list(dict.fromkeys(record["method"] for record in records))
    draw_boxes(path, records, structures, dict(zip(methods, COLOURS, strict=False)), kind or "Dice by region")


def _curves(path: Path, records: Sequence[dict[str, Any]], kind: str) -> None:
    """Dice of every pair: one curve a method, pairs in the order of the first method's Dice."""
    from matplotlib import pyplot, ticker

    dice: dict[str, dict[str, float]] = {}
    for record in records:
        value = record["scores"].get("dice_nearest")
        dice.setdefault(record["method"], {})[record["pair"]] = np.nan if value is None else value
    first = next(iter(dice.values()))
    order = sorted(first, key=lambda name: first[name])
    figure, axes = pyplot.subplots(figsize=(max(6.0, 0.12 * len(order)), 4.0), layout="constrained")
    for (method, values), colour in zip(dice.items(), COLOURS, strict=False):
        mean = np.nanmean(list(values.values()))
        points = [values.get(name, np.nan) for name in order]
        axes.plot(points, marker="o", markersize=3, linewidth=1, color=colour, label=f"{method}, mean {mean:.3f}")
    axes.set(xlabel=f"pair, by the Dice of {next(iter(dice))}", ylabel="mean Dice, nearest labels", title=kind)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.grid(linewidth=0.3)
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _picture(
    kind: str, path: Path, run: Path, records: Sequence[dict[str, Any]], datalist: str, section: str, pair: str
) -> None:
    """Fields or contours of one pair."""
    if not datalist:
        raise InputError(f"{kind} of a run expect the datalist that was registered (--datalist), got none")
    pairs = {item["name"]: item for item in read_pairs(datalist, section)}
    chosen = pair or next(iter(pairs))
    if chosen not in pairs:
        raise InputError(f"pair: expected one of {', '.join(pairs)}, got {chosen!r}")
    item = pairs[chosen]
    if missing := [key for key in ("fixed_label", "moving_label") if key not in item]:
        raise InputError(f"{datalist}: pair {chosen} has no {' and no '.join(missing)}, which {kind} show")
    volumes = {key: read_volume(item[key], key) for key in ("fixed", "moving", "fixed_label", "moving_label")}
    fixed = volumes["fixed_label"].in_ras().voxels
    level = int(np.argmax((fixed > 0).sum((0, 1))))  # the widest slice
    methods = list(dict.fromkeys(r["method"] for r in records if r["pair"] == chosen))
    shown = [show(volumes, method, _field(run, method, chosen), level) for method in methods]
    draw: Callable[..., None] = _draw_fields if kind == "fields" else _draw_contours
    draw(path, volumes["fixed"].in_ras().voxels[:, :, level], fixed[:, :, level], shown)


def _field(run: Path, method: str, pair: str) -> Array:
    path = run / "fields" / record_name(method, pair).replace(".json", ".npy")
    if not path.is_file():
        raise InputError(f"{path}: expected the field of {method}: run the benchmark with --keep_fields true")
    return np.load(path)


def show(volumes: Mapping[str, Volume], method: str, ddf: Array, level: int) -> Shown:
    """One RAS slice of a pair under a field (3, X, Y, Z) in voxels of the fixed image."""
    affine = volumes["fixed"].affine
    positions = sampling_positions(ddf, index_map(affine, volumes["moving"].affine))
    image = ndimage.map_coordinates(volumes["moving"].voxels.astype(np.float32), positions, order=1)
    label = warp_labels_nearest(volumes["moving_label"].voxels, positions)
    world = np.einsum("ij,jxyz->xyzi", affine[:3, :3], ddf)
    slices = [reorient(volume, affine, "RAS")[0][:, :, level] for volume in (image, label, world)]
    return Shown(method, slices[0], slices[1], slices[2])


def colours_of(field: Array, most: float) -> Array:
    """Displacements (.., 3) as red, green and blue: grey is none, full colour ``most`` mm along an axis.

    >>> colours_of(np.array([[0.0, 5.0, -20.0]]), 10.0).tolist()
    [[0.5, 0.75, 0.0]]
    """
    return np.clip(0.5 + field / (2 * most), 0, 1)


def _draw_fields(path: Path, fixed: Array, label: Array, shown: Sequence[Shown]) -> None:
    """A row a method: image, labels, length of the field, field as colours; the fixed image on top."""
    from matplotlib import pyplot

    lengths = [np.linalg.norm(one.field, axis=-1) for one in shown]
    most = max(1.0, float(np.percentile(np.concatenate([length.ravel() for length in lengths]), 99.5)))
    figure, panels = pyplot.subplots(len(shown) + 1, 4, figsize=(9, 2.6 * (len(shown) + 1)), layout="constrained")
    for axes, title in zip(panels[0], ("fixed image", "fixed labels", "", ""), strict=True):
        axes.set_title(title, fontsize=8)
    colours = {"cmap": "nipy_spectral", "vmin": 0, "vmax": int(label.max()), "interpolation": "nearest"}
    _image(panels[0][0], fixed)
    panels[0][1].imshow(label.T, origin="lower", **colours)
    for row, one, length in zip(panels[1:], shown, lengths, strict=True):
        _image(row[0], one.image)
        row[0].set_ylabel(one.title, fontsize=8)
        row[1].imshow(one.label.T, origin="lower", **colours)
        bar = row[2].imshow(length.T, origin="lower", cmap="jet", vmin=0, vmax=most)
        row[3].imshow(colours_of(one.field, most).swapaxes(0, 1), origin="lower")
        for axes, title in zip(row, COLUMNS, strict=True):
            axes.set_title(title, fontsize=7)
        figure.colorbar(bar, ax=row[2], shrink=0.8)
    _save(figure, panels, path)


def _draw_contours(path: Path, fixed: Array, label: Array, shown: Sequence[Shown]) -> None:
    """The fixed image with the fixed labels' outlines (green) and each method's moved labels' (red)."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(shown), figsize=(3.2 * len(shown), 3.8), squeeze=False, layout="constrained"
    )
    for axes, one in zip(panels[0], shown, strict=True):
        _image(axes, fixed)
        for value in np.unique(label[label > 0]):
            for values, colour in ((label, "lime"), (one.label, "red")):
                if (inside := values == value).any():
                    axes.contour(inside.T, levels=[0.5], colors=colour, linewidths=0.7)
        axes.set_title(one.title, fontsize=8)
    _save(figure, panels, path)


def _image(axes: Any, image: Array) -> None:
    axes.imshow(image.T, origin="lower", cmap="gray")


def _save(figure: Any, panels: Any, path: Path) -> None:
    from matplotlib import pyplot

    for axes in np.ravel(panels):
        axes.set(xticks=[], yticks=[])
        if not axes.has_data():
            axes.axis("off")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
