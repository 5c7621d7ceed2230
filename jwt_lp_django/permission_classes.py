"""Declarations in the `permission_classes` of REST framework's views, read without importing REST framework."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, NoReturn

from jwt_lp import ConfigurationError
from jwt_lp_django.marks import RequirementMark


class DeclaringPermission:
    """The base class of `HasPermissions`. `mark` is the declaration that the permission class carries, if any."""

    mark: ClassVar[RequirementMark | None] = None


def permission_marks(classes: Iterable[Any]) -> tuple[RequirementMark, ...]:
    """The declarations in a view's `permission_classes`; `ConfigurationError` if one is an operand of `|` or `~`."""
    return tuple(mark for permission in classes for mark in _marks_in(permission, only_and=True))


def enforces_permissions(classes: Iterable[Any]) -> bool:
    """Whether a `HasPermissions` is asked in any case, whatever the other classes answer."""
    return any(_is_declaring(permission) or _and_enforces(permission) for permission in classes)


def reject_or() -> NoReturn:
    """Raise the error for `HasPermissions | another class`."""
    raise ConfigurationError(
        "HasPermissions | another class: the guard cannot know what the other class would let in. Write any_of(...) "
        'for alternatives between permissions, or external("...") where the other class alone guards the view'
    )


def _is_declaring(permission: Any) -> bool:
    return isinstance(permission, type) and issubclass(permission, DeclaringPermission)


def _and_enforces(permission: Any) -> bool:
    is_and = getattr(getattr(permission, "operator_class", None), "__name__", "") == "AND"
    return is_and and enforces_permissions((permission.op1_class, permission.op2_class))


def _marks_in(permission: Any, *, only_and: bool) -> Iterator[RequirementMark]:
    """The marks of a class, or of the operands of an expression; `only_and` if nothing but `&` stands around it."""
    operator = getattr(permission, "operator_class", None)
    if operator is None:
        mark = getattr(permission, "mark", None)
        if _is_declaring(permission) and not only_and:
            reject_or()
        if isinstance(mark, RequirementMark):
            yield mark
        return
    only_and = only_and and operator.__name__ == "AND"
    for operand in (permission.op1_class, getattr(permission, "op2_class", None)):
        if operand is not None:
            yield from _marks_in(operand, only_and=only_and)
