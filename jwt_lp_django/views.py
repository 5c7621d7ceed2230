"""What is declared for this view, and for which of its methods?

A route's own declarations (decorators, keys of `required_permissions`, permission classes) beat its class's (a
bare `required_permissions`), which beats its include's. Settings come last and are not asked here.
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
from jwt_lp_django.marks import INCLUDE_ATTRIBUTE, INHERITED, RequirementMark, marks_of, rule_method, to_requirement

DEFAULT_METHODS: Final = frozenset({"GET"})
PERMISSION_CLASSES: Final = "permission_classes"
STANDARD_ACTIONS: Final = ("list", "create", "retrieve", "update", "partial_update", "destroy")


class MethodDeclaration(NamedTuple):
    """What is declared for one method of a view.

    `requirement` is None where nothing is, or where declarations contradict each other (`faults`). `allowed` is
    given where the guard answers in the view's place: those the view has, for a 405 or for OPTIONS. `closed` means
    that no rule of the settings may step in. `marks` are all declarations that were weighed.
    """

    endpoint: str
    requirement: Requirement | None = None
    origin: str = ""
    marks: tuple[RequirementMark, ...] = ()
    allowed: tuple[str, ...] | None = None
    closed: bool = False
    faults: tuple[str, ...] = ()


def is_drf(cls: type | None) -> bool:
    """Whether it is a view class of REST framework, which is asked only where somebody has imported it."""
    module = sys.modules.get("rest_framework.views")
    return module is not None and cls is not None and issubclass(cls, module.APIView)


def dotted_name(view: Any) -> str:
    """The view's dotted name."""
    known = getattr(view, "func", view)
    if not hasattr(known, "__qualname__"):
        known = cast(Any, type(known))
    # What `api_view` makes is called like the function, and has that name only.
    named = known.__qualname__ if known.__qualname__ != "WrappedAPIView" else known.__name__
    return f"{known.__module__}.{named}"


@dataclass(frozen=True, slots=True)
class ViewInfo:
    """A view as the URLconf has it: a function, or a class with what `as_view` was given."""

    name: str
    marks: tuple[RequirementMark, ...] = ()
    include: Requirement | None = None
    cls: type[View] | None = None
    initkwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    actions: Mapping[str, str] | None = None

    @classmethod
    def of(cls, callback: Callable[..., Any]) -> ViewInfo:
        """Read a callback. A function that wraps `as_view()` without loss is still that class's."""
        marks, include = marks_of(callback), getattr(callback, INCLUDE_ATTRIBUTE, None)
        # Some callables have every attribute that one asks for.
        include = include if isinstance(include, Requirement) else None
        found: Any = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
        if not (isinstance(found, type) and issubclass(found, View)):
            return cls(dotted_name(callback), marks, include)
        kwargs: Any = getattr(callback, "initkwargs", None) or getattr(callback, "view_initkwargs", None) or {}
        actions = getattr(callback, "actions", None)
        return cls(dotted_name(cast(Any, found)), marks, include, cast(Any, found), kwargs, actions)

    def declaration_for(self, method: str, *, bound: bool = False) -> MethodDeclaration:
        """What is declared for `method`. With `bound`, the function is a method of a class and has no methods."""
        try:
            return (
                self._class_declaration(method)
                if self.cls is not None
                else self._function_declaration(method, bound=bound)
            )
        except ConfigurationError as error:
            # INVARIANT: a declaration that cannot be read declares nothing.
            return MethodDeclaration(self.name, closed=True, faults=error.faults)

    def _function_declaration(self, method: str, *, bound: bool) -> MethodDeclaration:
        if not self.marks:
            known = bound or (method != "OPTIONS" and method.lower() in View.http_method_names)
            verbs = frozenset(each.upper() for each in View.http_method_names if each != "options")
            return self._resolve(self.name, [], ()) if known else self._answered_by_guard(_with_head(verbs))
        verb = rule_method(method)
        covering = _covering(self.marks, verb) if bound else [mark for mark in self.marks if verb in _methods_of(mark)]
        if covering:
            return self._resolve(self.name, [(mark.requirement, mark.origin) for mark in covering], self.marks)
        return self._answered_by_guard(_with_head(frozenset[str]().union(*map(_methods_of, self.marks))))

    def _answered_by_guard(self, allowed: tuple[str, ...]) -> MethodDeclaration:
        return MethodDeclaration(self.name, marks=self.marks, allowed=allowed, closed=True)

    def _class_declaration(self, method: str) -> MethodDeclaration:
        names = [each.upper() for each in self.attribute("http_method_names")]
        answered = method == "OPTIONS" and not is_drf(self.cls) and getattr(self.cls, "options", None) is View.options
        # INVARIANT: no preflight calls a view, unless the view says what OPTIONS asks for.
        if not self.has(method) or (answered and not self._declares(method)):
            return self._answered_by_guard(tuple(each for each in names if self.has(each)))
        if method != "OPTIONS" or self._declares(method) or not self._describes():
            return self._verb_declaration(method)
        # Metadata says what the other methods take, so it has the rule of the first of them: GET, where there is one.
        others = (each for each in names if each not in {"OPTIONS", "HEAD"} and self.has(each))
        return self._verb_declaration(next(others, method))

    def _verb_declaration(self, method: str) -> MethodDeclaration:
        verb, action = rule_method(method), self._action(method)
        # Metadata is no function of the class.
        function = (self.actions or {}).get("options") if verb == "OPTIONS" else action
        handler = getattr(self.cls, function or verb.lower(), None)
        asked = self._permission_marks()
        together = [mark for mark in asked if mark.origin == PERMISSION_CLASSES]
        said = [mark for mark in asked if mark not in together]
        covering = [*_covering(self.marks, verb), *_covering(said, verb), *marks_of(handler)]
        found = [(mark.requirement, mark.origin) for mark in covering]
        found += [(to_requirement(rule), f"required_permissions[{key!r}]") for key, rule in self._keyed_rules(method)]
        # INVARIANT: what a map leaves out no permission class opens.
        if together and (found or not isinstance(self.required, Mapping)):
            # REST framework asks every permission class in the list.
            found.append((_combine([mark.requirement for mark in together]), PERMISSION_CLASSES))
        name = f"{self.name}.{action}" if action and self.actions else self.name
        return self._resolve(name, found, (*self.marks, *marks_of(handler), *asked))

    def _resolve(
        self, name: str, found: list[tuple[Requirement, str]], marks: tuple[RequirementMark, ...]
    ) -> MethodDeclaration:
        if len({requirement for requirement, _ in found}) > 1:
            # INVARIANT: declarations that contradict each other declare nothing, so the route is refused.
            said = " and ".join(f"{requirement} ({origin})" for requirement, origin in found)
            return MethodDeclaration(name, marks=marks, closed=True, faults=(f"two rules for one request: {said}",))
        bare = self.required
        requirement, origin = self.include, "guarded(include(...))" if self.include is not None else ""
        if found:
            requirement, origin = found[0]
        elif isinstance(bare, Mapping):
            # INVARIANT: what a map leaves out stays refused; no wider rule opens it.
            return MethodDeclaration(name, marks=marks, closed=True)
        elif bare is not None:
            requirement, origin = to_requirement(bare), "required_permissions"
        return MethodDeclaration(name, requirement, origin, marks)

    def attribute(self, name: str, default: Any = None) -> Any:
        """The class's attribute as the view's instance will have it."""
        return self.initkwargs.get(name, getattr(self.cls, name, default))

    @property
    def required(self) -> Any:
        """`required_permissions`, as written; None where nothing is."""
        bases: tuple[type, ...] = getattr(self.cls, "__mro__", ())
        owners: list[Mapping[str, Any]] = [self.initkwargs, *map(vars, bases)]
        said = [owner["required_permissions"] for owner in owners if "required_permissions" in owner]
        return next((each for each in said if each is not INHERITED), None)

    @property
    def _required_map(self) -> Mapping[str, object]:
        required = self.required
        return cast("Mapping[str, object]", required) if isinstance(required, Mapping) else {}

    def has(self, method: str) -> bool:
        """Whether the view does anything about `method`."""
        name = method.lower()
        if self.cls is None or name not in self.attribute("http_method_names"):
            return False
        usual = (View.dispatch, *(base.dispatch for base in _drf_bases()))
        # A dispatch of its own may answer any method, so each is judged.
        if unwrap(self.cls.dispatch) not in usual:
            return True
        found = self.actions or {}
        return name in found or hasattr(self.cls, name) or (name == "head" and self.has("GET"))

    def _action(self, method: str) -> str | None:
        actions = self.actions or {}
        if method == "OPTIONS" and is_drf(self.cls):
            return actions.get("options", "metadata")
        # HEAD has GET's rule, unless it is mapped to an action of its own.
        return actions.get(method.lower()) or actions.get(rule_method(method).lower())

    def _keyed_rules(self, method: str) -> list[tuple[str, object]]:
        required = self._required_map
        return [(key, required[key]) for key in (self._action(method) or "", rule_method(method)) if key in required]

    def _declares(self, method: str) -> bool:
        handler = getattr(self.cls, method.lower(), None)
        explicit = any(mark.methods is not None and method in mark.methods for mark in self.marks)
        return explicit or bool(self._keyed_rules(method) or marks_of(handler))

    def _describes(self) -> bool:
        """Whether REST framework's own `options` answers, which is metadata and no code of the project."""
        return "options" not in (self.actions or {}) and any(
            getattr(self.cls, "options", None) is base.options for base in _drf_bases()
        )

    def _permission_marks(self) -> tuple[RequirementMark, ...]:
        if not is_drf(self.cls):
            return ()
        from jwt_lp_django.drf import permission_marks

        return permission_marks(self.attribute("permission_classes", ()))

    def _is_enforced(self) -> bool:
        # A plain view without the mixin is guarded by the middleware alone; REST framework's may be called by others.
        if not is_drf(self.cls) or hasattr(self.cls, "__jwt_lp_mixin__"):
            return True
        from jwt_lp_django.drf import enforces_permissions

        return enforces_permissions(self.attribute("permission_classes", ()))

    def methods(self) -> tuple[str, ...]:
        """The methods to list, the OPTIONS that the guard answers aside; none for a function that has no mark."""
        if self.cls is None:
            return _with_head(frozenset[str]().union(*map(_methods_of, self.marks))) if self.marks else ()
        names = [each.upper() for each in self.attribute("http_method_names")]
        return tuple(each for each in names if self.has(each) and self.declaration_for(each).allowed is None)

    def faults(self) -> Iterator[str]:
        """What is wrong with `required_permissions` itself."""
        if self.required is not None and not self._is_enforced():
            yield (
                f"{self.name}: required_permissions, and nothing in the class that asks for it: "
                "put LeastPrivilegeMixin first among its bases, or HasPermissions into its permission_classes"
            )
        if not isinstance(self.required, Mapping):
            functions = set((self.actions or {}).values())
            if "required_permissions" in self.initkwargs and len(functions) > 1:
                yield (
                    f"{self.name}: @action's required_permissions would be one rule for {', '.join(sorted(functions))}: "
                    "give each a key in the class's required_permissions"
                )
            return
        known = self._known_keys()
        for key in self._required_map:
            if key == "HEAD":
                yield f"{self.name}: required_permissions['HEAD']: HEAD always has the rule of GET"
            elif key not in known:
                near = get_close_matches(key, known, n=1, cutoff=0.5) or get_close_matches(key.upper(), known)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                yield f"{self.name}: required_permissions has the unknown key {key!r}{hint}"

    def _known_keys(self) -> list[str]:
        methods = [each.upper() for each in View.http_method_names if each != "head"]
        if not is_drf(self.cls) or self.cls is None:
            return methods
        if not hasattr(self.cls, "get_extra_actions"):
            return [*methods, "metadata"]
        plain = dir(sys.modules["rest_framework.viewsets"].GenericViewSet)
        own = [name for name in dir(self.cls) if name not in plain and not name.startswith("_")]
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
    # One that names the method is the nearer one.
    named = [mark for mark in marks if mark.methods is not None and verb in mark.methods]
    return named or [mark for mark in marks if mark.methods is None]


def declaration_of(callback: Callable[..., Any], method: str, *, bound: bool = False) -> MethodDeclaration:
    """What is declared for a callback and a method."""
    return ViewInfo.of(callback).declaration_for(method, bound=bound)
