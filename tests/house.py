"""The house as its source files show it: modules, who imports whom, and which room may import which.

Read with ``ast``, so that imports inside of functions count as well and nothing has to be imported. Used by
``test_house.py`` and by the plan in ``docs/pictures/architecture.py``.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Rooms of ``common`` that every other one may import; of each other, those that stand before.
GROUND = ("errors", "machine", "places", "streams", "switches", "behind", "writing")
#: The other rooms, lowest first, and the rooms that each may import besides. All of them stand above it, so that no
#: arrow points up and there is no circle. A new arrow is a decision: write it down here and say why in the commit.
ARROWS = {
    "compiled": "",
    "spatial": "compiled",
    "geometry": "spatial",
    "metrics": "spatial",
    "statistics": "",
    "losses": "",
    "images": "geometry",
    "scan": "compiled",
    "convolution": "compiled",
    "blocks": "scan convolution",
    "networks": "blocks convolution spatial",
    "anatomy": "geometry",
    "refine": "compiled losses spatial geometry",
    "data": "images geometry spatial",
    "registration": "anatomy refine data images geometry metrics spatial",
    "report": "images geometry spatial",
    "training": "anatomy data images geometry losses metrics spatial",
    "evaluation": "registration data geometry metrics statistics",
    "sample": "",
    "bundle": "registration sample",
}
#: Packages that compile kernels: a module that imports one at its head holds kernels, written for that compiler.
COMPILERS = ("numba", "llvmlite", "triton")


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str  # "common.scan.operator"; a package's __init__ has the package's name
    path: Path

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The source, parsed."""
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        """The first part below ``common``; a whole package otherwise: "scan", "common", "tools"."""
        package, _, rest = self.name.partition(".")
        return rest.partition(".")[0] if package == "common" and rest else package

    @property
    def lines(self) -> int:
        """Lines that are not blank."""
        return sum(bool(line.strip()) for line in self.text.splitlines())

    @property
    def is_kernel(self) -> bool:
        """Whether it holds kernels: marked for the type checker, or a compiler of kernels is imported at its head."""
        head = {name.partition(".")[0] for node in self.tree.body for name in _imported(node, self)}
        return "# mypy: ignore-errors" in self.text or not head.isdisjoint(COMPILERS)


def modules(package: str, root: Path = ROOT) -> dict[str, Module]:
    """Every module of a package by its name."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path)
    return found


def imports(found: dict[str, Module]) -> Iterator[tuple[Module, str]]:
    """Every import of the project's own packages, wherever it stands: who, and the module that is imported."""
    for module in found.values():
        for node in ast.walk(module.tree):
            for name in _imported(node, module):
                target = name if name in found else name.rpartition(".")[0]  # "common.scan.operator.function"
                if name.partition(".")[0] in ("common", "tools", "bundles", "tests"):
                    yield module, target if target in found else name


def _imported(node: ast.AST, module: Module) -> list[str]:
    """The dotted names that one statement imports, relative ones resolved."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = module.name.split(".")
    if module.path.name != "__init__.py":
        base = base[:-1]
    above = base[: len(base) - node.level + 1] if node.level else []
    source = ".".join([*above, *([node.module] if node.module else [])])
    return [f"{source}.{alias.name}" for alias in node.names]


def arrows(root: Path = ROOT) -> dict[tuple[str, str], int]:
    """Count the imports between rooms: (who, whom) to how many import statements name it."""
    found = modules("common", root) | modules("tools", root)
    counted: dict[tuple[str, str], int] = {}
    for module, target in imports(found):
        if target in found and found[target].room != module.room and found[target].name != "common":
            arrow = (module.room, found[target].room)
            counted[arrow] = counted.get(arrow, 0) + 1
    return counted


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Every group of modules that import each other in a circle (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(group)

    for node in sorted(edges):
        if node not in order:
            visit(node)
    return found
