"""A command as its source tells it: options, types, defaults and help, read without importing it.

Importing a command takes seconds where it brings torch along; ``--help`` and a typing error need not wait for that.
"""

import ast
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100
#: What the help calls a value, by annotation.
_VALUES = {"bool": "true|false", "int": "INTEGER", "float": "NUMBER", "str": "TEXT", "Path": "PATH", "dict": "JSON"}
_VALUES |= {f"Sequence[{kind}]": f"{value},..." for kind, value in _VALUES.items()}

#: Sections of a docstring that the help shows below the options.
PAGES = ("Transforms", "Formats", "Environment", "Examples", "References")
_QUOTES, _INDENT, _NOTHING = "'\"", 6 * " ", ("None", "''", "()")  # a default that says nothing is not printed


@dataclass(frozen=True)
class Option:
    """One argument of a command's function."""

    name: str
    kinds: frozenset[str]  # the types that the annotation allows, as written: {"int", "None"}
    default: str | None  # as written; None where a value is needed
    text: str = ""

    def help(self) -> str:
        """The option, its default and what it is."""
        kinds = self.kinds - {"None"} - ({"str"} if "Sequence[str]" in self.kinds else set())
        value = "|".join(sorted(_VALUES.get(kind, "JSON") for kind in kinds))
        default = re.sub(r"^\('([^',]*)',\)$", r"\1", self.default or "").strip(_QUOTES)
        note = "  (required)" if self.default is None else f"  (default: {default})"
        if self.default in _NOTHING or len(note) > WIDTH // 2:
            note = ""
        return f"  --{self.name} {value}{note}\n{wrapped(self.text, _INDENT, _INDENT)}"


@dataclass(frozen=True)
class Command:
    """What a command's source says of it."""

    name: str  # as typed: "convert", "benchmark scan"
    module: str
    function: str
    text: str  # the docstring above its sections
    options: tuple[Option, ...]
    takes_others: bool  # the function has **keywords
    sections: tuple[tuple[str, str], ...] = ()  # titles of PAGES and what stands below them

    @property
    def required(self) -> list[str]:
        """Names of the options that must be given."""
        return [option.name for option in self.options if option.default is None]

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return _plain(self.text.partition("\n\n")[0]).replace("\n", " ")

    def help(self) -> str:
        """The whole page."""
        words = [program(), self.name, *(name.upper() for name in self.required)]
        if len(self.options) > len(self.required) or self.takes_others:
            words.append("[options]")
        paragraphs = [wrapped(part) for part in self.text.split("\n\n")]
        options = [option.help() for option in self.options]
        pages = [f"\n{title}:\n{_page(text)}" for title, text in self.sections]
        return "\n".join([f"usage: {' '.join(words)}", "", "\n\n".join(paragraphs), "", *options, *pages]).rstrip()


def program() -> str:
    """How the command line was started: ``python -m tools``, or the name of the installed script."""
    started = Path(sys.argv[0]).name
    return "python -m tools" if started == "__main__.py" else started


def read_command(name: str, target: str) -> Command:
    """Read the function behind a command.

    Args:
        name: what the user types.
        target: ``module:function``; the module is a file of this project.
    """
    module, _, function = target.partition(":")
    tree = ast.parse(_source(module).read_text(encoding="utf-8"))
    constants = {t.id: n.value for n in tree.body if isinstance(n, ast.Assign) for t in n.targets
                 if isinstance(t, ast.Name)}  # fmt: skip
    node = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == function)
    text, of_options, pages = _sections(ast.get_docstring(node) or "")
    options = tuple(
        Option(
            argument.arg,
            frozenset(ast.unparse(argument.annotation).split(" | ") if argument.annotation else ["str"]),
            None if default is None else ast.unparse(constants.get(getattr(default, "id", ""), default)),
            of_options.get(argument.arg, ""),
        )
        for argument, default in _arguments(node.args)
    )
    return Command(name, module, function, text, options, node.args.kwarg is not None, pages)


def _source(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _arguments(given: ast.arguments) -> list[tuple[ast.arg, ast.expr | None]]:
    """Every argument with its default."""
    named = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(named) - len(given.defaults)) + list(given.defaults)
    return [*zip(named, defaults, strict=True), *zip(given.kwonlyargs, given.kw_defaults, strict=True)]


def _sections(docstring: str) -> tuple[str, dict[str, str], tuple[tuple[str, str], ...]]:
    """Split a docstring into what stands above its sections, the text of each argument, and the sections of PAGES."""
    titles = "|".join(("Args", "Returns", "Raises", "Yields", *PAGES))
    body, *sections = re.split(rf"\n\n(?=(?:{titles}):\n)", docstring)
    pages = tuple((title, text) for title, _, text in (s.partition(":\n") for s in sections) if title in PAGES)
    arguments = next((s.partition("\n")[2] for s in sections if s.startswith("Args:")), "")
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", arguments, flags=re.MULTILINE)
    return body, {name: re.sub(r"\s*\n\s*", " ", text) for name, text in found}, pages


def _page(text: str) -> str:
    """The paragraphs of a section, each line of a list kept."""
    return "\n\n".join(wrapped(part, "  ", "  ") for part in textwrap.dedent(text).strip("\n").split("\n\n"))


def wrapped(text: str, first: str = "", others: str = "") -> str:
    """Break one paragraph into lines behind these indents; a list keeps its own lines."""
    if "\n- " in text or text.startswith(("- ", " ")):
        return textwrap.indent(_plain(text), others)
    return textwrap.fill(
        _plain(text), WIDTH, initial_indent=first, subsequent_indent=others,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def _plain(text: str) -> str:
    """Without the marks of code."""
    return text.replace("``", "")
