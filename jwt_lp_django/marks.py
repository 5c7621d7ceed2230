"""What does a declaration look like, and where does it stand on a view?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

from jwt_lp import ConfigurationError, Requirement, all_of

MARKS_ATTRIBUTE: Final = "__jwt_lp__"
# What `required_permissions` is where a class says nothing: that of its bases.
INHERITED: Final = object()
INCLUDE_ATTRIBUTE: Final = "__jwt_lp_include__"


@dataclass(frozen=True, slots=True, eq=False)
class RequirementMark:
    """One declaration: what is asked for, for which methods, and by which words it was declared.

    `methods` are in upper case, GET standing for HEAD too; None is whatever the view has, and GET for a function.
    Compared by identity: it is one line of code, not what that line says.
    """

    requirement: Requirement
    origin: str
    methods: frozenset[str] | None = None

    @classmethod
    def of(cls, requirement: Requirement, origin: str, methods: Iterable[str] | None) -> RequirementMark:
        """Read `methods` as people write them; `ConfigurationError` where there are none."""
        if methods is None:
            return cls(requirement, origin)
        given = [methods] if isinstance(methods, str) else list(methods)
        if not given:
            raise ConfigurationError(f'{origin}: methods=() covers nothing: name some, such as methods=("POST",)')
        return cls(requirement, origin, frozenset(rule_method(each.upper()) for each in given))


def rule_method(method: str) -> str:
    """The method whose rule counts: HEAD has GET's."""
    return "GET" if method == "HEAD" else method


def marks_of(view: object) -> tuple[RequirementMark, ...]:
    """The declarations that stand on a view itself; lossless decorators keep them."""
    found = getattr(view, MARKS_ATTRIBUTE, ())
    return cast("tuple[RequirementMark, ...]", found) if isinstance(found, tuple) else ()


def to_requirement(value: object) -> Requirement:
    """What `value` asks for: a permission, a requirement, or one of our decorators.

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
