"""Declarations as values, and the attributes that attach them to views."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from jwt_lp import ConfigurationError, Requirement, all_of

MARKS_ATTRIBUTE: Final = "__jwt_lp__"
# The value of `required_permissions` in a class that does not set it: that of its bases counts.
INHERITED: Final = object()
INCLUDE_ATTRIBUTE: Final = "__jwt_lp_include__"


@dataclass(frozen=True, slots=True, eq=False)
class RequirementMark:
    """One declaration: the requirement, its methods, and its origin (the decorator or attribute that declares it).

    `methods` are in upper case, and GET includes HEAD. None means all methods of a class, and GET for a function.
    Marks are compared by identity: two lines of code are two declarations, even if they declare the same.
    """

    requirement: Requirement
    origin: str
    methods: frozenset[str] | None = None

    @classmethod
    def of(cls, requirement: Requirement, origin: str, methods: Iterable[str] | None) -> RequirementMark:
        """Read `methods` in any case, one or several; `ConfigurationError` for an empty list."""
        if methods is None:
            return cls(requirement, origin)
        names = [methods] if isinstance(methods, str) else list(methods)
        if not names:
            raise ConfigurationError(f'{origin}: methods=() covers nothing: name some, such as methods=("POST",)')
        return cls(requirement, origin, frozenset(rule_method(name.upper()) for name in names))


def rule_method(method: str) -> str:
    """The method whose rule applies: HEAD has the rule of GET."""
    return "GET" if method == "HEAD" else method


def marks_of(view: object) -> tuple[RequirementMark, ...]:
    """The declarations on a view itself. Decorators that copy attributes keep them."""
    marks: tuple[RequirementMark, ...] | None = getattr(view, MARKS_ATTRIBUTE, None)
    return marks if isinstance(marks, tuple) else ()


def to_requirement(value: object) -> Requirement:
    """The requirement that `value` declares: a permission, a requirement, or a decorator of this package.

    `ConfigurationError` for anything else.
    """
    mark = getattr(value, "mark", None)
    if isinstance(mark, RequirementMark):
        return mark.requirement
    if isinstance(value, Requirement):
        return value
    if isinstance(value, str):
        return _parse_permission(value)
    raise ConfigurationError(
        f"{type(value).__name__} is no requirement: write a permission, all_of(...), any_of(...), "
        'authenticated, public or external("...")'
    )


@lru_cache(maxsize=4096)
def _parse_permission(permission: str) -> Requirement:
    return all_of(permission)
