"""The declarations on a view, and which of them applies to a method.

A `ViewDeclaration` is put on a new wrapper around the view, so that a function that serves two routes can have two
declarations. For class-based views the declaration nearest to the method applies.
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
class ViewDeclaration:
    """One declaration. Two are the same only if they are one object; copies of a wrapper's attributes keep it."""

    requirement: Requirement


@dataclass(frozen=True, slots=True)
class EffectiveDeclaration:
    """The requirement that applies to a method of a view, where it is declared, and the faults of the declarations.

    `requirement` is None if nothing is declared, or if there are faults. `declarations` are all those on the view,
    including those over which a nearer one takes precedence.
    """

    requirement: Requirement | None = None
    origin: str = ""
    declarations: tuple[ViewDeclaration, ...] = ()
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ClassParts:
    """What the declaration for one method was read from in a view's class: attributes, and the rules in a mapping."""

    cls: type
    attributes: tuple[tuple[str, object], ...]
    by_method: Mapping[object, object] | None

    def are_current(self) -> bool:
        """Whether the class still has the same attributes, and its mapping the same rules."""
        cls = self.cls
        for name, value in self.attributes:
            if getattr(cls, name, None) is not value:
                return False
        return self.by_method is None or getattr(cls, "required_permissions", None) == self.by_method


def declare_view(view: View, requirement: Requirement, enforce: Callable[[ViewDeclaration], None]) -> View:
    """Wrap `view` so that it calls `enforce` first; `ConfigurationError` if it is no view or is declared already."""
    if isclass(view) or not callable(view):
        raise ConfigurationError(
            f"{requirement}: declare a class-based view by decorators = [requires(...)] or required_permissions"
        )
    existing = declaration_of(view)
    if existing is not None:
        if existing.requirement == requirement:
            return view
        raise ConfigurationError(f"{dotted_name(view)} is declared twice: {existing.requirement}, and {requirement}")
    declaration = ViewDeclaration(requirement)

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        enforce(declaration)
        return view(*args, **kwargs)

    @wraps(view)
    async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
        enforce(declaration)
        return await view(*args, **kwargs)

    declared = async_wrapper if iscoroutinefunction(view) else wrapper
    setattr(declared, _ATTRIBUTE, declaration)
    return cast(View, declared)


def declaration_of(view: object) -> ViewDeclaration | None:
    """The declaration on the view itself, or None."""
    declaration = getattr(view, _ATTRIBUTE, None)
    return declaration if isinstance(declaration, ViewDeclaration) else None


def dotted_name(view: object, method: str = "") -> str:
    """The dotted name of the code that answers: that of the function, or that of the class with its method."""
    cls = getattr(view, "view_class", None)
    named = cls if isclass(cls) else view
    handler = _handler(cls, method)[0] if isclass(cls) else ""
    name = getattr(named, "__qualname__", type(named).__qualname__)
    return ".".join(filter(None, (getattr(named, "__module__", ""), name, handler)))


def effective_declaration(view: object, method: str) -> EffectiveDeclaration:
    """The declaration for `method` of the view: that on the method, else that on the class or the function."""
    cls = getattr(view, "view_class", None)
    if not isclass(cls):
        return _nearest_declaration(([("its decorator", declaration_of(view))],), ())
    handler, key = _handler(cls, method)
    faults, by_method = _required_permissions(cls)
    on_method = (f"the decorator of {handler}", declaration_of(getattr(cls, handler, None)) if handler else None)
    on_dispatch = declaration_of(getattr(cls, "dispatch_request", None))
    method_level = [on_method, (f"required_permissions[{key!r}]", by_method.get(key))]
    class_level = [
        ("decorators", declaration_of(view)),
        ("dispatch_request", on_dispatch),
        ("required_permissions", by_method.get("")),
    ]
    return _nearest_declaration((method_level, class_level), faults)


def class_parts(cls: type, method: str) -> ClassParts:
    """What `effective_declaration` reads of a view's class for `method`, as it is now."""
    rules: object = getattr(cls, "required_permissions", None)
    by_method = dict(cast("Mapping[object, object]", rules)) if isinstance(rules, Mapping) else None
    # A rule of a method that the class does not have is a fault.
    methods = {method.lower(), "get", *(str(key).lower() for key in by_method or ())}
    names = (*methods, "dispatch_request", "required_permissions")
    return ClassParts(cls, tuple((name, getattr(cls, name, None)) for name in names), by_method)


def _nearest_declaration(
    levels: Iterable[Iterable[tuple[str, ViewDeclaration | None]]], faults: tuple[str, ...]
) -> EffectiveDeclaration:
    declared = [[(origin, found) for origin, found in level if found is not None] for level in levels]
    declarations = tuple(declaration for level in declared for _, declaration in level)
    nearest = declared[0] or declared[-1]
    if len({declaration.requirement for _, declaration in nearest}) > 1:
        faults += (f"{' and '.join(origin for origin, _ in nearest)} contradict each other",)
    # INVARIANT: if there is any fault, nothing is declared and the route is refused.
    if faults or not nearest:
        return EffectiveDeclaration(declarations=declarations, faults=faults)
    origin, declaration = nearest[0]
    return EffectiveDeclaration(declaration.requirement, origin, declarations)


def _handler(cls: type, method: str) -> tuple[str, str]:
    """The method of a `MethodView` that answers ("" for other classes), and its key in `required_permissions`."""
    if issubclass(cls, MethodView):
        # HEAD takes the rule of GET, even if the class has both `get` and `head`.
        names = ("get", "head") if method == "HEAD" else (method.lower(),)
        handler = next((name for name in names if hasattr(cls, name)), "")
        return handler, (handler or method).upper()
    return "", "GET" if method == "HEAD" else method


def _required_permissions(cls: type) -> tuple[tuple[str, ...], dict[str, ViewDeclaration]]:
    """The faults and the rules of `required_permissions`, by method; "" is the rule for the whole class."""
    rules: object = getattr(cls, "required_permissions", None)
    if rules is None:
        return (), {}
    faults: list[str] = []
    by_method: dict[str, ViewDeclaration] = {}
    whole = not isinstance(rules, Mapping)
    for key, rule in ({"": rules} if whole else cast("Mapping[str, object]", rules)).items():
        where = f"{cls.__qualname__}.required_permissions" + ("" if whole else f"[{key!r}]")
        if not whole and (key not in HTTP_METHODS or _handler(cls, key)[1] != key):
            near = get_close_matches(str(key).upper(), HTTP_METHODS - {"HEAD"}, n=1)
            faults.append(f"{where} is the rule of no method{f'; did you mean {near[0]!r}?' if near else ''}")
        elif isinstance(rule, Requirement):
            by_method[key] = ViewDeclaration(rule)
        elif isinstance(rule, str):
            try:
                by_method[key] = ViewDeclaration(all_of(rule))
            except ConfigurationError as error:
                faults.append(f"{where}: {error}")
        else:
            faults.append(f"{where} is neither a permission nor a requirement")
    return tuple(faults), by_method
