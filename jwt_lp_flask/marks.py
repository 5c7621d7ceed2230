"""What is declared on a view?

A declaration is a `Mark` on a new wrapper around the view, so that a function used twice is declared twice. For
class-based views the declaration nearest to the method counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from inspect import isclass, iscoroutinefunction
from typing import Any, Final, TypeVar, cast

from flask.views import MethodView

from jwt_lp import ConfigurationError, Requirement, all_of

View = TypeVar("View", bound=Callable[..., Any])

_ATTRIBUTE: Final = "__jwt_lp__"
HTTP_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True, eq=False)
class ViewMark:
    """One declaration; told from others by identity, as copies of a wrapper's attributes keep it."""

    requirement: Requirement


@dataclass(frozen=True, slots=True)
class ViewDeclaration:
    """What counts for a view and a method, where it stands, and what is wrong with it.

    `requirement` is None where nothing is declared, or where what is declared is at fault. `marks` are all that
    were looked at, the ones that a nearer declaration beat too.
    """

    requirement: Requirement | None = None
    origin: str = ""
    marks: tuple[ViewMark, ...] = ()
    faults: tuple[str, ...] = ()


def mark_view(view: View, requirement: Requirement, admit: Callable[[ViewMark], None]) -> View:
    """Wrap `view`, which then asks `admit` before anything else; `ConfigurationError` for what is no view."""
    if isclass(view) or not callable(view):
        raise ConfigurationError(
            f"{requirement}: declare a class-based view by decorators = [requires(...)] or required_permissions"
        )
    held = mark_of(view)
    if held is not None:
        if held.requirement == requirement:
            return view
        raise ConfigurationError(f"{dotted_name(view)} is declared twice: {held.requirement}, and {requirement}")
    mark = ViewMark(requirement)

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        admit(mark)
        return view(*args, **kwargs)

    @wraps(view)
    async def awaiting(*args: Any, **kwargs: Any) -> Any:
        admit(mark)
        return await view(*args, **kwargs)

    found = awaiting if iscoroutinefunction(view) else wrapper
    setattr(found, _ATTRIBUTE, mark)
    return cast(View, found)


def mark_of(view: object) -> ViewMark | None:
    """The view's mark, or None."""
    mark = getattr(view, _ATTRIBUTE, None)
    return mark if isinstance(mark, ViewMark) else None


def dotted_name(view: object, method: str = "") -> str:
    """The dotted name of the code that answers: the function's, or the class's with the method."""
    cls = getattr(view, "view_class", None)
    named = cls if isclass(cls) else view
    handler = _handler(cls, method)[0] if isclass(cls) else ""
    name = getattr(named, "__qualname__", type(named).__qualname__)
    return ".".join(filter(None, (getattr(named, "__module__", ""), name, handler)))


def view_declaration(view: object, method: str) -> ViewDeclaration:
    """What counts for `method` of the view: what stands on the method, else on the class or the function."""
    cls = getattr(view, "view_class", None)
    if not isclass(cls):
        return _nearest_declaration(([("its decorator", mark_of(view))],), ())
    handler, key = _handler(cls, method)
    faults, table = _required_permissions(cls)
    on_method = (f"the decorator of {handler}", mark_of(getattr(cls, handler, None)) if handler else None)
    near = [on_method, (f"required_permissions[{key!r}]", table.get(key))]
    body = mark_of(getattr(cls, "dispatch_request", None))
    far = [("decorators", mark_of(view)), ("dispatch_request", body), ("required_permissions", table.get(""))]
    return _nearest_declaration((near, far), faults)


def _nearest_declaration(
    levels: Iterable[Iterable[tuple[str, ViewMark | None]]], faults: tuple[str, ...]
) -> ViewDeclaration:
    held = [[(origin, mark) for origin, mark in level if mark is not None] for level in levels]
    marks = tuple(mark for level in held for _, mark in level)
    level = held[0] or held[-1]
    if len({mark.requirement for _, mark in level}) > 1:
        faults += (f"{' and '.join(origin for origin, _ in level)} say different things",)
    # INVARIANT: where anything is at fault, nothing is declared and the route is refused.
    if faults or not level:
        return ViewDeclaration(marks=marks, faults=faults)
    return ViewDeclaration(level[0][1].requirement, level[0][0], marks)


def _handler(cls: type, method: str) -> tuple[str, str]:
    """The method of a `MethodView` that answers ("" for other classes), and the key of its rule."""
    if issubclass(cls, MethodView):
        # HEAD takes GET's rule, also where a `head` beside `get` answers.
        names = ("get", "head") if method == "HEAD" else (method.lower(),)
        found = next((name for name in names if hasattr(cls, name)), "")
        return found, (found or method).upper()
    return "", "GET" if method == "HEAD" else method


def _required_permissions(cls: type) -> tuple[tuple[str, ...], dict[str, ViewMark]]:
    """The faults and the rules of `required_permissions`, by method; "" is the rule of the whole class."""
    rules: object = getattr(cls, "required_permissions", None)
    if rules is None:
        return (), {}
    faults: list[str] = []
    table: dict[str, ViewMark] = {}
    whole = not isinstance(rules, Mapping)
    for key, rule in ({"": rules} if whole else cast("Mapping[str, object]", rules)).items():
        where = f"{cls.__qualname__}.required_permissions" + ("" if whole else f"[{key!r}]")
        if not whole and (key not in HTTP_METHODS or _handler(cls, key)[1] != key):
            near = get_close_matches(str(key).upper(), HTTP_METHODS - {"HEAD"}, n=1)
            faults.append(f"{where} is the rule of no method{f'; did you mean {near[0]!r}?' if near else ''}")
        elif isinstance(rule, Requirement):
            table[key] = ViewMark(rule)
        elif isinstance(rule, str):
            try:
                table[key] = ViewMark(all_of(rule))
            except ConfigurationError as error:
                faults.append(f"{where}: {error}")
        else:
            faults.append(f"{where} is neither a permission nor a requirement")
    return tuple(faults), table
