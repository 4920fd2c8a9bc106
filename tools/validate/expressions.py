"""``$`` expressions and ``_target_``s of a configuration against an allow-list; they are parsed, never evaluated.

MONAI evaluates any Python that stands behind a ``$`` and calls anything that a ``_target_`` names. What a registration
bundle needs of that is little: ``allowed.json`` has it.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

#: What bundles may call and evaluate; a configuration that needs more changes this file, on purpose.
ALLOWED = json.loads(Path(__file__).with_name("allowed.json").read_text(encoding="utf-8"))
_MODULES, _TARGETS, _CALLS = set(ALLOWED["modules"]), set(ALLOWED["targets"]), set(ALLOWED["calls"])
_VALUES, _METHODS, _VERBATIM = set(ALLOWED["values"]), set(ALLOWED["methods"]), set(ALLOWED["expressions"])
_LIBRARY = tuple(f"{name}." for name in ALLOWED["library"])
_REFERENCE = re.compile(r"@([A-Za-z_][\w+]*)((?:(?:#|::)[\w+]+)*)")
#: Nodes without effects of their own; calls, names and attributes are looked at one by one.
_PLAIN = (
    *(ast.Expression, ast.Constant, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.Load),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE),
    *(ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn, ast.IfExp, ast.List, ast.Tuple, ast.Dict, ast.Subscript),
    *(ast.Slice, ast.keyword, ast.Call, ast.Name, ast.Attribute, ast.BinOp),
)
_REF = "reference__"


def target_problem(target: object) -> str | None:
    """Why a ``_target_`` may not be called; None where it may."""
    if not isinstance(target, str):
        return f"expected the name of a class or function, got {target!r}"
    known = target in _TARGETS or target.startswith(_LIBRARY)
    if not known or not re.fullmatch(r"[A-Za-z][\w.]*", target) or "._" in target or ".." in target:
        return f"expected one of the classes and functions that bundles need, got {target}"
    return None


def expression_problems(text: str) -> Iterator[str]:
    """Why an expression may not be evaluated; nothing where it may.

    Args:
        text: as it stands in the configuration, with its ``$``.

    >>> list(expression_problems("$os.path.join(@bundle_root, 'models')"))
    []
    >>> list(expression_problems("$os.system('true')"))
    ['expected one of the calls that bundles need, got os.system']
    """
    if text in _VERBATIM:
        return
    source = _REFERENCE.sub(_REF, text.removeprefix("$")).strip()
    if len(source) > 2000:
        yield "expected a short expression, got one of more than 2000 characters"
        return
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        yield f"expected Python, got: {error}"
        return
    if len(tree.body) != 1:
        yield "expected one expression, got several statements or none"
    elif isinstance(tree.body[0], ast.Import):
        yield from _imports(tree.body[0])
    elif isinstance(tree.body[0], ast.Expr):
        yield from _problems(tree.body[0].value)
    else:
        yield f"expected an expression or an import, got {type(tree.body[0]).__name__}"


def _imports(node: ast.Import) -> Iterator[str]:
    for alias in node.names:
        if alias.name not in _MODULES:
            yield f"expected the modules that bundles need, got import {alias.name}"
        elif alias.asname not in (None, "dist"):
            yield f"expected a module under its own name, got {alias.asname}"


def _problems(node: ast.AST) -> Iterator[str]:
    if not isinstance(node, _PLAIN):
        yield f"expected a plain expression, got {type(node).__name__}"
        return
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if not (name in _CALLS or _is_method(node.func)):
            yield f"expected one of the calls that bundles need, got {name[:100]}"
        if isinstance(node.func, ast.Attribute) and _is_method(node.func):
            yield from _problems(node.func.value)
        for part in (*node.args, *(keyword.value for keyword in node.keywords)):
            yield from _problems(part)
        return
    if isinstance(node, ast.Attribute):
        if not (ast.unparse(node) in _VALUES or (_of_reference(node) and not node.attr.startswith("_"))):
            yield f"expected a value that bundles need, got {ast.unparse(node)[:100]}"
        return
    if isinstance(node, ast.Name) and node.id != _REF:
        yield f"expected references and the calls that bundles need, got the name {node.id}"
    for child in ast.iter_child_nodes(node):
        yield from _problems(child)


def _is_method(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in _METHODS and _of_reference(node)


def _of_reference(node: ast.AST) -> bool:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            return False
        node = node.value
    return isinstance(node, ast.Name) and node.id == _REF
