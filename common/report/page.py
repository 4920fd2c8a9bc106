"""The report: one page that needs no other file, no network and, for what matters, no JavaScript."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.report.figures import Drawn, figures, require_matplotlib
from common.report.picture import overview
from common.report.planes import data_uri, slice_stacks
from common.report.result import Result, read_result
from common.report.words import dice_rows, figure_rows, flags, methods, number
from common.writing import write_together

#: Names of the two files, in ``RESULT_FILES`` of the registration too.
PAGE, PICTURE = "report.html", "report.png"
#: Bytes that a page may have.
LARGEST = 6_000_000
_HERE = Path(__file__).parent
_LAYERS = {"fixed": "fixed", "before": "before", "aligned": "aligned", "moved": "after"}


def write_report(folder: str | Path, **images: str | Path | None) -> list[Path]:
    """Write ``report.png`` and ``report.html`` from the written files of one registration, beside them.

    Args:
        folder: the result of a registration.
        images: ``fixed``, ``moving``, ``fixed_label``, ``moving_label``; what ``metrics.json`` names without them.

    Returns:
        Paths of both.

    Raises:
        InputError: see ``read_result``; matplotlib is missing; the files cannot be written.
    """
    require_matplotlib()
    result = read_result(folder, **images)
    contents = {PICTURE: overview(result), PAGE: report_page(result, Path(folder)).encode()}
    return write_together(Path(folder), {name: _writer(content) for name, content in contents.items()})


def _writer(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def report_page(result: Result, folder: Path) -> str:
    """The page as HTML."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.ChainableUndefined, trim_blocks=True
    )
    return environment.get_template("page.html").render(_content(result, folder))


def _content(result: Result, folder: Path) -> dict[str, Any]:
    from markupsafe import Markup

    metrics, stacks = result.metrics, slice_stacks(result)
    layers = {name: text for name, text in _LAYERS.items() if name in result.images}
    drawn = [_figure(figure) for figure in figures(result)]
    paragraph, sources = methods(metrics)
    style = (_HERE / "page.css").read_text(encoding="utf-8").replace("{{ layers }}", str(len(layers)))
    parts = [("quality", "quality"), ("images", "before and after")]
    parts += [(figure["anchor"], figure["title"].lower()) for figure in drawn]
    parts += [("alignment", "alignment")] if metrics.get("alignment") else []
    parts += [("figures", "figures"), ("methods", "methods"), ("run", "how it was made")]
    return {
        "title": f"{_name(metrics.get('moving'))} onto {_name(metrics.get('fixed'))}",
        "network": metrics.get("network") or "",
        "folder": str(folder.absolute()),
        "metrics": metrics,
        "parts": parts,
        "flags": flags(metrics),
        "figures": figure_rows(metrics),
        "region": metrics.get("protocol", {}).get("region", ""),
        "dice": dice_rows(metrics),
        "reasons": metrics.get("refinement", {}).get("reasons", []),
        "alignment": metrics.get("alignment"),
        "layers": layers,
        "stacks": stacks,
        "drawn": drawn,
        "methods": paragraph,
        "sources": sources,
        "number": number,
        "style": Markup(style),
        "script": Markup((_HERE / "page.js").read_text(encoding="utf-8")),
    }


def _figure(figure: Drawn) -> dict[str, str]:
    kind = "image/png" if figure.content.startswith(b"\x89PNG") else "image/jpeg"
    anchor = figure.title.lower().replace(" ", "-")
    return {
        "anchor": anchor, "title": figure.title, "caption": figure.caption, "alternative": figure.alternative,
        "uri": data_uri(figure.content, kind),
    }  # fmt: skip


def _name(path: Any) -> str:
    return Path(str(path)).name if path else "moving image"
