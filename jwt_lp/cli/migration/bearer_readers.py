"""Functions of a FastAPI project that read a bearer token, or depend on one that does."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SCHEMES: Final = ("OAuth2PasswordBearer", "OAuth2AuthorizationCodeBearer", "HTTPBearer")


class BearerReader(NamedTuple):
    """What a route requires that depends on a scheme or a function.

    `scopes` is None if a scope is computed, and `optional` is True if a request without a token passes.
    """

    scopes: tuple[str, ...] | None = ()
    optional: bool = False


class _Function(NamedTuple):
    depends: tuple[str, ...]
    scopes: tuple[str, ...] | None


def find_readers(texts: Iterable[str]) -> Mapping[str, BearerReader]:
    """The schemes and functions of all modules, by name, and the aliases `User = Annotated[..., Depends(f)]`."""
    readers: dict[str, BearerReader] = {}
    functions: dict[str, _Function] = {}
    for text in texts:
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            readers.update(_schemes(node))
            functions.update(_named(node))
    waiting = True
    while waiting:
        waiting = False
        for name, function in functions.items():
            through = [readers[inner] for inner in function.depends if inner in readers]
            if through and name not in readers:
                readers[name] = _combined(function, through)
                waiting = True
    return readers


def _named(node: ast.AST) -> Iterator[tuple[str, _Function]]:
    """A function that is no route, or an alias."""
    if isinstance(node, ast.Assign):
        yield from _aliases(node.targets, node.value)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        yield from _aliases([node.target], node.value)
    elif type(node).__name__ == "TypeAlias":
        # `type User = ...`, from Python 3.12 on
        statement: Any = node
        yield from _aliases([statement.name], statement.value)
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not _is_route(node):
        yield node.name, _function(node)


def _combined(function: _Function, through: Iterable[BearerReader]) -> BearerReader:
    scopes = function.scopes
    optional = True
    for reader in through:
        scopes = None if scopes is None or reader.scopes is None else (*scopes, *reader.scopes)
        optional = optional and reader.optional
    return BearerReader(None if scopes is None else tuple(dict.fromkeys(scopes)), optional)


def _schemes(node: ast.AST) -> Iterator[tuple[str, BearerReader]]:
    value = node.value if isinstance(node, ast.Assign) else None
    if isinstance(node, ast.Assign) and isinstance(value, ast.Call) and _last_name(value.func) in SCHEMES:
        optional = any(
            each.arg == "auto_error" and isinstance(each.value, ast.Constant) and each.value.value is False
            for each in value.keywords
        )
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, BearerReader((), optional)


def _aliases(targets: Iterable[ast.expr], value: ast.expr) -> Iterator[tuple[str, _Function]]:
    """The names of `Annotated[..., Depends(f)]`; each stands for a dependency on `f`."""
    if isinstance(value, ast.Subscript) and _last_name(value.value) == "Annotated":
        for target in targets:
            if isinstance(target, ast.Name):
                yield target.id, _depending([value])


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> _Function:
    args = node.args
    places = [*args.defaults, *filter(None, args.kw_defaults)]
    places += [each.annotation for each in (*args.posonlyargs, *args.args, *args.kwonlyargs) if each.annotation]
    return _depending(places)


def _depending(places: Iterable[ast.expr]) -> _Function:
    """What the defaults and annotations of parameters depend on: by `Depends`, `Security` or the name of an alias."""
    depends: list[str] = []
    scopes: tuple[str, ...] | None = ()
    for place in places:
        if isinstance(place, (ast.Name, ast.Attribute)):
            depends.append(_last_name(place))
        for node in ast.walk(place):
            if isinstance(node, ast.Call) and _last_name(node.func) in {"Depends", "Security"} and node.args:
                depends.append(_last_name(node.args[0]))
                added = _scopes(node)
                scopes = None if scopes is None or added is None else (*scopes, *added)
    return _Function(tuple(depends), scopes)


def _scopes(call: ast.Call) -> tuple[str, ...] | None:
    value = next((each.value for each in call.keywords if each.arg == "scopes"), None)
    if value is None:
        value = call.args[1] if len(call.args) > 1 and _last_name(call.func) == "Security" else None
    if value is None:
        return ()
    if not isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        return None
    texts = [each.value if isinstance(each, ast.Constant) else None for each in value.elts]
    return tuple(text for text in texts if isinstance(text, str)) if all(isinstance(t, str) for t in texts) else None


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_route(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) for each in node.decorator_list)
