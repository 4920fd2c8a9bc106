"""A bundle's files: those that have to be there, those that may not, sizes, card and licences."""

import re
from collections.abc import Iterator

from tools.package import CONTENTS, LARGE, TOP
from tools.validate.finding import Contents, Finding

CARD = "docs/README.md"
SECTIONS = (  # of the model zoo's template
    *("Authors", "Tags", "Model Description", "Data", "Preprocessing", "Performance", "Additional Usage Steps"),
    *("System Configuration", "Limitations", "Citation Info", "References"),
)
_NEEDED = {
    "LICENSE": "add the licence of code and weights",
    "configs/metadata.json": "write it; see CONTRIBUTING.md",
    "configs/inference.json": "write it; see CONTRIBUTING.md",
    CARD: "write the card in the model zoo's template",
}


def check_files(bundle: Contents) -> list[Finding]:
    """Everything that the list of files and the card can do wrong."""
    return [*_present(bundle), *_allowed(bundle), *_sizes(bundle), *_card(bundle), *_licence(bundle)]


def _present(bundle: Contents) -> Iterator[Finding]:
    for path, remedy in _NEEDED.items():
        if path not in bundle.files:
            yield Finding(path, "", "expected this file, got none", remedy)


def _allowed(bundle: Contents) -> Iterator[Finding]:
    for path in bundle.files:
        folder, _, rest = path.partition("/")
        if not rest:
            if path not in TOP:
                yield Finding(path, "", f"expected {' or '.join(TOP)} on top, got this", "move or remove it")
        elif folder == "scripts":
            reason = "two bundles with scripts cannot live in one process"
            yield Finding(path, "", reason, "put code into common, which tools package brings along", "warning")
        elif folder not in CONTENTS:
            yield Finding(path, "", f"expected the folders {', '.join(CONTENTS)}, got {folder}", "move or remove it")
        elif not path.endswith(CONTENTS[folder]):
            yield Finding(path, "", f"expected {', '.join(CONTENTS[folder])} in {folder}, got another", "remove it")


def _sizes(bundle: Contents) -> Iterator[Finding]:
    for path, content in bundle.files.items():
        if len(content) > LARGE:
            reason = f"{len(content) / 1e6:.1f} MB: the model zoo takes no file above {LARGE / 1e6:.0f} MB"
            remedy = "for the zoo: tools package --split_weights --url URL; a registry takes it whole"
            yield Finding(path, "", reason, remedy, "warning")
        if not content and not path.endswith(".py"):
            yield Finding(path, "", "expected content, got an empty file", "write or remove it")


def _card(bundle: Contents) -> Iterator[Finding]:
    try:
        card = bundle.files.get(CARD, b"").decode("utf-8")
    except UnicodeDecodeError as error:
        yield Finding(CARD, "", f"expected UTF-8, got: {error}", "save it as UTF-8")
        return
    headings = {text.strip("* ") for text in re.findall(r"^#+ (.+)$", card, re.M)}
    for section in SECTIONS if card else ():
        if section not in headings:
            yield Finding(CARD, section, "expected this section, got none", "follow the model zoo's template")
    weights = "models/model.pt" in bundle.files or "large_files.yml" in bundle.files
    if card and weights == ("no trained weights yet" in card):
        said = "there are none" if weights else "there are some"
        there = "models/model.pt is there" if weights else "models/model.pt is not"
        yield Finding(CARD, "", f"expected the truth on weights: the card says {said}, {there}", "correct the card")


def _licence(bundle: Contents) -> Iterator[Finding]:
    text = bundle.files.get("LICENSE", b"x").decode("utf-8", "replace")
    if "LICENSE" in bundle.files and len(text) < 200:
        yield Finding("LICENSE", "", f"expected a licence's text, got {len(text)} characters", "add the whole text")
