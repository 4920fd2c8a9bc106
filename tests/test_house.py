"""The house: layers, circles, what a start imports, and the measures that keep files readable."""

import ast
import subprocess
import sys

import pytest
from PIL import Image

from tests.house import ARROWS, GROUND, ROOT, Module, circles, imports, modules

COMMON, TOOLS, TESTS = (modules(package) for package in ("common", "tools", "tests"))
HEAVY = {"torch", "numpy", "monai", "numba", "itk", "nibabel", "scipy", "fire"}
LINES = 300


def loaded_by(program: str) -> set[str]:
    """Names of the modules that a fresh process holds after a program."""
    program += "; import sys; print('modules:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("modules:")[2].split())


def test_every_room_has_its_row():
    rooms = {module.room for module in COMMON.values()} - {"common"}
    assert rooms == {*GROUND, *ARROWS}, "ARROWS in tests/house.py names the rooms of common, each once"


def test_no_arrow_points_up():
    above = list(ARROWS)
    wrong = {room: names for room, names in ARROWS.items() if not set(names.split()) <= set(above[: above.index(room)])}
    assert not wrong, f"{wrong}: a room imports only rooms that stand before it in tests/house.py"


def test_every_import_is_an_allowed_arrow():
    allowed = {room: {*GROUND, *names.split()} for room, names in ARROWS.items()}
    allowed |= {room: set(GROUND[:place]) for place, room in enumerate(GROUND)}
    wrong = []
    for module, target in imports(COMMON):
        package, _, rest = target.partition(".")
        room = rest.partition(".")[0]
        if package != "common":
            wrong.append(f"{module.name} imports {target}: common imports neither tools nor bundles nor tests")
        elif room and room != module.room and room not in allowed.get(module.room, {room}):
            wrong.append(f"{module.name} imports {target}: no arrow from {module.room} to {room} in tests/house.py")
    assert not wrong, "\n".join(wrong)


def test_no_arrow_is_left_over():
    used = {(module.room, target.split(".")[1]) for module, target in imports(COMMON) if "." in target}
    left = [f"{room} -> {name}" for room, names in ARROWS.items() for name in names.split() if (room, name) not in used]
    assert not left, f"{left} in tests/house.py, but nothing imports that way"


def test_every_room_is_in_the_documentation():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    missing = [room for room in (*GROUND, *ARROWS) if f"`{room}`" not in page]
    assert not missing, f"docs/architecture.md has no word on {missing}"


def test_the_drawn_plan_is_up_to_date():
    drawn = Image.open(ROOT / "docs" / "pictures" / "architecture.png").text["Description"].split()
    allowed = {f"{room}-{name}" for room, names in ARROWS.items() for name in names.split()}
    assert set(drawn) == allowed, "run python -m docs.pictures.architecture (a new room needs its place there)"


def test_tools_import_no_tests():
    assert not [f"{m.name}: {t}" for m, t in imports(TOOLS) if t.startswith(("tests", "bundles"))]


@pytest.mark.parametrize("found", [COMMON, TOOLS], ids=["common", "tools"])
def test_no_modules_import_each_other_in_a_circle(found: dict[str, Module]):
    edges: dict[str, set[str]] = {}
    for module, target in imports(found):
        edges.setdefault(module.name, set()).add(target)
    assert circles(edges) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [["b", "c"]]


def test_reading_an_image_imports_no_network():
    loaded = loaded_by("import common.registration.load, common.registration.save, common.registration.inferer")
    assert not {name for name in loaded if name.startswith(("common.networks", "common.blocks", "common.scan"))}


@pytest.mark.parametrize(
    "program", ["import common", "import common.errors, common.switches", "import tools, tools.__main__"]
)
def test_a_start_imports_nothing_heavy(program: str):
    """Start-up times are measured by hand (docs/architecture.md); what they hang on is held here."""
    assert not HEAVY & loaded_by(program)


def test_no_file_is_too_long():
    """300 lines; kernels are unrolled on purpose and may be longer."""
    host = [module for module in (COMMON | TOOLS | TESTS).values() if not module.is_kernel]
    lengths = {str(module.path.relative_to(ROOT)): len(module.text.splitlines()) for module in host}
    too_long = {path: length for path, length in lengths.items() if length > LINES}
    assert not too_long, f"{too_long}: one concept a file"


def test_host_code_has_argument_hints():
    """Share of annotated arguments over all functions, nested ones included, self and cls left out; without kernels."""
    bare, count = [], 0
    for module in (COMMON | TOOLS).values():
        if module.is_kernel:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef):
                arguments = _arguments(node)
                count += len(arguments)
                bare += [f"{module.name}.{node.name}: {a.arg}" for a in arguments if a.annotation is None]
    share = 1 - len(bare) / count
    assert share >= 0.97, f"{share:.1%} of {count} arguments have a hint; without: " + ", ".join(bare)


def _arguments(node: ast.FunctionDef) -> list[ast.arg]:
    given = node.args
    found = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return [argument for argument in found if argument.arg not in ("self", "cls")]


def test_there_are_enough_tests():
    """All of ``tests`` against the host code of ``common`` and ``tools``.

    Lines that are not blank, comments and docstrings included. Kernels, unrolled on purpose, are left out here as well;
    the message gives the share of all source too.
    """
    source = list((COMMON | TOOLS).values())
    tests = sum(module.lines for module in TESTS.values())
    everything = sum(module.lines for module in source)
    host = sum(module.lines for module in source if not module.is_kernel)
    share = f"{tests / host:.2f} of the host code, {tests / everything:.2f} of all source"
    assert tests >= 0.65 * host, f"{tests} lines of tests: {share}"
