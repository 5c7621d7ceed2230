"""Views as the URLconf has them, and the declarations for each of their methods.

A route's own declarations (decorators, keys of `required_permissions`, permission classes) take precedence over that of
its class (`required_permissions` without keys), which takes precedence over that of its include. The rules of the
settings come last and are not applied here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from inspect import unwrap
from typing import Any, Final, NamedTuple, cast

from django.views import View

from jwt_lp import ConfigurationError, Requirement, all_of
from jwt_lp_django.marks import (
    INCLUDE_ATTRIBUTE,
    INHERITED,
    RequirementMark,
    marks_of,
    rule_method,
    to_requirement,
)
from jwt_lp_django.ninja_views import Operations, operations_of
from jwt_lp_django.permission_classes import enforces_permissions, permission_marks

DEFAULT_METHODS: Final = frozenset({"GET"})
PERMISSION_CLASSES: Final = "permission_classes"
REQUIRED: Final = "required_permissions"
STANDARD_ACTIONS: Final = ("list", "create", "retrieve", "update", "partial_update", "destroy")


class MethodDeclaration(NamedTuple):
    """The declaration for one method of a view.

    `requirement` is None if there is no declaration, or if declarations contradict each other (`faults`). `allowed` is
    set if the guard answers instead of the view: the view's methods, for a 405 or for OPTIONS. `closed` means that no
    rule of the settings may apply. `marks` are all declarations that were evaluated.
    """

    endpoint: str
    requirement: Requirement | None = None
    origin: str = ""
    marks: tuple[RequirementMark, ...] = ()
    allowed: tuple[str, ...] | None = None
    closed: bool = False
    faults: tuple[str, ...] = ()


def is_drf(cls: type | None) -> bool:
    """Whether `cls` is a view class of REST framework, which this does not import."""
    module = sys.modules.get("rest_framework.views")
    return module is not None and cls is not None and issubclass(cls, module.APIView)


def dotted_name(view: Any) -> str:
    """The view's dotted name."""
    target = getattr(view, "func", view)
    if not hasattr(target, "__qualname__"):
        target = cast(Any, type(target))
    # The class that `api_view` creates has the function's name in `__name__` only.
    name = target.__qualname__ if target.__qualname__ != "WrappedAPIView" else target.__name__
    return f"{target.__module__}.{name}"


@dataclass(frozen=True, slots=True)
class ViewInfo:
    """A view as the URLconf has it: a function, a class with the arguments of `as_view`, or operations of Ninja."""

    name: str
    marks: tuple[RequirementMark, ...] = ()
    include: Requirement | None = None
    cls: type[View] | None = None
    initkwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    actions: Mapping[str, str] | None = None
    operations: Operations | None = None

    @classmethod
    def of(cls, callback: Callable[..., Any]) -> ViewInfo:
        """Read a callback. A wrapper of `as_view()` that keeps its attributes still counts as that class's view."""
        marks, include = marks_of(callback), getattr(callback, INCLUDE_ATTRIBUTE, None)
        # Some callables, such as mocks, have every attribute.
        include = include if isinstance(include, Requirement) else None
        view_class: Any = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
        if not (isinstance(view_class, type) and issubclass(view_class, View)):
            return cls(dotted_name(callback), marks, include, operations=operations_of(callback))
        kwargs: Any = getattr(callback, "initkwargs", None) or getattr(callback, "view_initkwargs", None) or {}
        actions = getattr(callback, "actions", None)
        return cls(dotted_name(cast(Any, view_class)), marks, include, cast(Any, view_class), kwargs, actions)

    def declaration_for(self, method: str, *, bound: bool = False) -> MethodDeclaration:
        """The declaration for `method`. With `bound`, the function is a method of a class, which limits the methods."""
        try:
            return (
                self._class_declaration(method)
                if self.cls is not None
                else self._function_declaration(method, bound=bound)
            )
        except ConfigurationError as error:
            # INVARIANT: a declaration that cannot be read permits nothing.
            return MethodDeclaration(self.name, closed=True, faults=error.faults)

    def _operation_declaration(self, operations: Operations, method: str) -> MethodDeclaration:
        function = operations.find(method)
        if function is None:
            return self._answered_by_guard(tuple(sorted(operations.methods)))
        marks = marks_of(function)
        rules = [(mark.requirement, mark.origin) for mark in _covering(marks, rule_method(method))]
        return self._resolve(dotted_name(function), rules, marks)

    def _function_declaration(self, method: str, *, bound: bool) -> MethodDeclaration:
        if self.operations is not None:
            return self._operation_declaration(self.operations, method)
        if not self.marks:
            is_called = bound or (method != "OPTIONS" and method.lower() in View.http_method_names)
            verbs = frozenset(name.upper() for name in View.http_method_names if name != "options")
            return self._resolve(self.name, [], ()) if is_called else self._answered_by_guard(_with_head(verbs))
        verb = rule_method(method)
        covering = _covering(self.marks, verb) if bound else [mark for mark in self.marks if verb in _methods_of(mark)]
        if covering:
            return self._resolve(self.name, [(mark.requirement, mark.origin) for mark in covering], self.marks)
        return self._answered_by_guard(_with_head(frozenset[str]().union(*map(_methods_of, self.marks))))

    def _answered_by_guard(self, allowed: tuple[str, ...]) -> MethodDeclaration:
        return MethodDeclaration(self.name, marks=self.marks, allowed=allowed, closed=True)

    def _class_declaration(self, method: str) -> MethodDeclaration:
        names = [name.upper() for name in self.attribute("http_method_names")]
        is_default = method == "OPTIONS" and not is_drf(self.cls) and getattr(self.cls, "options", None) is View.options
        # INVARIANT: no preflight calls a view, unless the view declares what OPTIONS requires.
        if not self.has(method) or (is_default and not self._declares(method)):
            return self._answered_by_guard(tuple(name for name in names if self.has(name)))
        if method != "OPTIONS" or self._declares(method) or not self._describes():
            return self._verb_declaration(method)
        # Metadata describes the other methods, so it has the rule of the first of them: GET, if the view has it.
        others = (name for name in names if name not in {"OPTIONS", "HEAD"} and self.has(name))
        return self._verb_declaration(next(others, method))

    def _verb_declaration(self, method: str) -> MethodDeclaration:
        verb, action = rule_method(method), self.action(method)
        # The class has no function for metadata.
        function = (self.actions or {}).get("options") if verb == "OPTIONS" else action
        handler = getattr(self.cls, function or verb.lower(), None)
        class_marks = self._permission_marks()
        permissions = [mark for mark in class_marks if mark.origin == PERMISSION_CLASSES]
        # `api_view` keeps the marks of decorators in `permission_classes`.
        decorators = [mark for mark in class_marks if mark not in permissions]
        covering = [*_covering(self.marks, verb), *_covering(decorators, verb), *marks_of(handler)]
        rules = [(mark.requirement, mark.origin) for mark in covering]
        rules += [(to_requirement(rule), f"required_permissions[{key!r}]") for key, rule in self._keyed_rules(method)]
        # INVARIANT: no permission class opens a method that the mapping omits.
        if permissions and (rules or not isinstance(self.required, Mapping)):
            # REST framework asks every permission class in the list.
            rules.append((_combine([mark.requirement for mark in permissions]), PERMISSION_CLASSES))
        name = f"{self.name}.{action}" if action and self.actions else self.name
        return self._resolve(name, rules, (*self.marks, *marks_of(handler), *class_marks))

    def _resolve(
        self, name: str, rules: list[tuple[Requirement, str]], marks: tuple[RequirementMark, ...]
    ) -> MethodDeclaration:
        if len({requirement for requirement, _ in rules}) > 1:
            # INVARIANT: declarations that contradict each other declare nothing, so the route is refused.
            listed = " and ".join(f"{requirement} ({origin})" for requirement, origin in rules)
            return MethodDeclaration(name, marks=marks, closed=True, faults=(f"two rules for one request: {listed}",))
        required = self.required
        requirement, origin = self.include, "guarded(include(...))" if self.include is not None else ""
        if rules:
            requirement, origin = rules[0]
        elif isinstance(required, Mapping):
            # INVARIANT: a method that the mapping omits stays refused; no wider rule opens it.
            return MethodDeclaration(name, marks=marks, closed=True)
        elif required is not None:
            requirement, origin = to_requirement(required), "required_permissions"
        return MethodDeclaration(name, requirement, origin, marks)

    def attribute(self, name: str, default: Any = None) -> Any:
        """The class's attribute as the view's instance will have it."""
        return self.initkwargs.get(name, getattr(self.cls, name, default))

    @property
    def required(self) -> Any:
        """`required_permissions` as written; None if it is not set."""
        bases: tuple[type, ...] = getattr(self.cls, "__mro__", ())
        owners: list[Mapping[str, Any]] = [self.initkwargs, *map(vars, bases)]
        values = (owner[REQUIRED] for owner in owners if REQUIRED in owner)
        return next((value for value in values if value is not INHERITED), None)

    @property
    def _required_map(self) -> Mapping[str, object]:
        required = self.required
        return cast("Mapping[str, object]", required) if isinstance(required, Mapping) else {}

    def has(self, method: str) -> bool:
        """Whether the view answers `method`."""
        name = method.lower()
        if self.cls is None or name not in self.attribute("http_method_names"):
            return False
        host_dispatches = (View.dispatch, *(base.dispatch for base in _drf_bases()))
        # An overridden `dispatch` may answer any method.
        if unwrap(self.cls.dispatch) not in host_dispatches:
            return True
        return name in (self.actions or {}) or hasattr(self.cls, name) or (name == "head" and self.has("GET"))

    def action(self, method: str) -> str | None:
        """The name of the viewset's action for `method`; None if it has none."""
        actions = self.actions or {}
        if method == "OPTIONS" and is_drf(self.cls):
            return actions.get("options", "metadata")
        # HEAD has the rule of GET, unless it is mapped to its own action.
        return actions.get(method.lower()) or actions.get(rule_method(method).lower())

    def _keyed_rules(self, method: str) -> list[tuple[str, object]]:
        required = self._required_map
        return [(key, required[key]) for key in (self.action(method) or "", rule_method(method)) if key in required]

    def _declares(self, method: str) -> bool:
        handler = getattr(self.cls, method.lower(), None)
        explicit = any(mark.methods is not None and method in mark.methods for mark in self.marks)
        return explicit or bool(self._keyed_rules(method) or marks_of(handler))

    def _describes(self) -> bool:
        """Whether REST framework's own `options` answers: with metadata, not with code of the project."""
        return "options" not in (self.actions or {}) and any(
            getattr(self.cls, "options", None) is base.options for base in _drf_bases()
        )

    def _permission_marks(self) -> tuple[RequirementMark, ...]:
        if not is_drf(self.cls):
            return ()
        return permission_marks(self.attribute("permission_classes", ()))

    def _is_enforced(self) -> bool:
        # The middleware alone guards a plain view without the mixin; other code may call a view of REST framework.
        if not is_drf(self.cls) or hasattr(self.cls, "__jwt_lp_mixin__"):
            return True
        return enforces_permissions(self.attribute("permission_classes", ()))

    def methods(self) -> tuple[str, ...]:
        """The methods to list, without an OPTIONS that the guard answers; none for a function without a declaration."""
        if self.operations is not None:
            return tuple(sorted(self.operations.methods))
        if self.cls is None:
            return _with_head(frozenset[str]().union(*map(_methods_of, self.marks))) if self.marks else ()
        names = [name.upper() for name in self.attribute("http_method_names")]
        return tuple(name for name in names if self.has(name) and self.declaration_for(name).allowed is None)

    def faults(self) -> Iterator[str]:
        """The faults of `required_permissions` itself."""
        if self.required is not None and not self._is_enforced():
            yield (
                f"{self.name}: required_permissions is set, but nothing in the class enforces it: "
                "put LeastPrivilegeMixin first among its bases, or HasPermissions into its permission_classes"
            )
        if not isinstance(self.required, Mapping):
            names = set((self.actions or {}).values())
            if "required_permissions" in self.initkwargs and len(names) > 1:
                yield (
                    f"{self.name}: @action's required_permissions would be one rule for {', '.join(sorted(names))}: "
                    "give each a key in the class's required_permissions"
                )
            return
        known_keys = self._known_keys()
        for key in self._required_map:
            if key == "HEAD":
                yield f"{self.name}: required_permissions['HEAD']: HEAD always has the rule of GET"
            elif key not in known_keys:
                close = get_close_matches(key, known_keys, n=1, cutoff=0.5) or get_close_matches(
                    key.upper(), known_keys
                )
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                yield f"{self.name}: required_permissions has the unknown key {key!r}{hint}"

    def _known_keys(self) -> list[str]:
        methods = [name.upper() for name in View.http_method_names if name != "head"]
        if not is_drf(self.cls) or self.cls is None:
            return methods
        if not hasattr(self.cls, "get_extra_actions"):
            return [*methods, "metadata"]
        inherited = dir(sys.modules["rest_framework.viewsets"].GenericViewSet)
        own = [name for name in dir(self.cls) if name not in inherited and not name.startswith("_")]
        actions = [name for name in own if callable(getattr(self.cls, name, None)) and name.upper() not in methods]
        return [*methods, "metadata", *dict.fromkeys((*STANDARD_ACTIONS, *actions))]


def _methods_of(mark: RequirementMark) -> frozenset[str]:
    return DEFAULT_METHODS if mark.methods is None else mark.methods


def _with_head(verbs: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(verbs | {"HEAD"} if "GET" in verbs else verbs))


def _drf_bases() -> tuple[type[View], ...]:
    module = sys.modules.get("rest_framework.views")
    return () if module is None else (module.APIView,)


def _combine(requirements: list[Requirement]) -> Requirement:
    return requirements[0] if len(requirements) == 1 else all_of(*requirements)


def _covering(marks: Sequence[RequirementMark], verb: str) -> list[RequirementMark]:
    # A declaration that names the method takes precedence.
    named = [mark for mark in marks if mark.methods is not None and verb in mark.methods]
    return named or [mark for mark in marks if mark.methods is None]


def declaration_of(callback: Callable[..., Any], method: str, *, bound: bool = False) -> MethodDeclaration:
    """The declaration for a callback and a method."""
    return ViewInfo.of(callback).declaration_for(method, bound=bound)
