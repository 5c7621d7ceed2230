"""What does this route ask for, here?

A requirement is made with `all_of` and `any_of`, or with `&` and `|`. What is wrong with it is a
`ConfigurationError` when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias, cast

from jwt_lp.errors import ConfigurationError
from jwt_lp.permissions.requirement_nodes import (
    AllOf,
    AnyOf,
    Binding,
    Evaluation,
    EvaluationContext,
    PermissionRequirement,
    Requirement,
    to_nodes,
)

__all__ = [
    "AUTHENTICATED",
    "IDENTIFIED",
    "PUBLIC",
    "Binding",
    "Evaluation",
    "EvaluationContext",
    "Open",
    "PermissionRequirement",
    "Requirement",
    "Where",
    "all_of",
    "any_of",
    "external",
]

ClaimPath: TypeAlias = "str | Sequence[str]"
Where: TypeAlias = "Mapping[str, ClaimPath | Mapping[str, ClaimPath]]"


@dataclass(frozen=True, slots=True, repr=False)
class Authenticated(Requirement):
    """Any valid token will do."""

    def evaluate(self, context: EvaluationContext) -> Evaluation:  # noqa: ARG002 - any valid token will do
        return Evaluation()

    def atoms(self) -> Iterator[Requirement]:
        yield self

    @property
    def names(self) -> frozenset[str]:
        return frozenset()

    def __str__(self) -> str:
        return "authenticated"


@dataclass(frozen=True, slots=True, repr=False)
class Open(Requirement):
    """No token is asked for: `public`, or `external` where somebody else guards the route and `reason` says who.

    With `identify`, a good token is hung on the request and any other is ignored.
    """

    reason: str | None = None
    identify: bool = False
    requires_token: ClassVar[bool] = False

    def evaluate(self, context: EvaluationContext) -> Evaluation:  # noqa: ARG002 - nothing is asked for
        return Evaluation()

    def atoms(self) -> Iterator[Requirement]:
        return iter(())

    def with_bindings(self, bindings: Mapping[str, Binding]) -> Requirement:  # noqa: ARG002 - no token, no claim
        return self

    def __str__(self) -> str:
        if self.reason is not None:
            return f"external: {self.reason}"
        return "public, identified" if self.identify else "public"


AUTHENTICATED: Final[Requirement] = Authenticated()
PUBLIC: Final = Open()
IDENTIFIED: Final = Open(identify=True)


def external(reason: str) -> Open:
    """Mark a route as guarded by somebody else; `reason` says who, and is listed."""
    if not isinstance(cast(object, reason), str) or not reason.strip():
        raise ConfigurationError('external("…") needs a reason that says who guards the route instead')
    return Open(reason)


def all_of(
    *parts: Requirement | str, where: Where | None = None, unbound: Iterable[str] = (), enforce: bool = False
) -> Requirement:
    """Every one of `parts`, and of the bindings in `where`, is asked for.

    `where={"user_id": "sub"}` demands that the route parameter equals the claim; a nested claim is a list of
    keys, and with several issuers a mapping from the issuer's name. `unbound` names parameters that the setting
    `BIND` does not apply to here. `enforce` has it refused even while the operator only observes.
    """
    nodes = to_nodes("all_of", parts) + _bindings(where)
    names = _names(unbound)
    return nodes[0] if len(nodes) == 1 and not names and not enforce else AllOf(nodes, names, enforce)


def any_of(*parts: Requirement | str) -> Requirement:
    """At least one of `parts` is asked for; the first that is held is the one credited."""
    nodes = to_nodes("any_of", parts)
    return nodes[0] if len(nodes) == 1 else AnyOf(nodes)


def _names(unbound: Iterable[object] | None) -> frozenset[str]:
    given: list[object] = (
        [unbound] if isinstance(unbound, str) else list(unbound) if isinstance(unbound, Iterable) else [None]
    )
    names = frozenset(name for name in given if isinstance(name, str))
    if len(names) != len(set(given)):
        raise ConfigurationError('unbound names route parameters, such as unbound=["tenant_id"]')
    return names


def _bindings(where: object) -> tuple[Binding, ...]:
    if where is None:
        return ()
    if not isinstance(where, Mapping) or not all(isinstance(name, str) for name in cast(Iterable[object], where)):
        raise ConfigurationError('where is a mapping from a route parameter to a claim, such as {"user_id": "sub"}')
    return tuple(_binding(parameter, path) for parameter, path in cast(Where, where).items())


def _binding(parameter: str, path: ClaimPath | Mapping[str, ClaimPath]) -> Binding:
    if isinstance(path, Mapping) and path:
        return Binding(parameter, tuple((str(issuer).lower(), _path(parameter, each)) for issuer, each in path.items()))
    return Binding(parameter, (("", _path(parameter, path)),))


def _path(parameter: str, path: object) -> tuple[str, ...]:
    given = [path] if isinstance(path, str) else cast(Sequence[object], path) if isinstance(path, (list, tuple)) else ()
    keys = tuple(key for key in given if isinstance(key, str) and key)
    if not keys or len(keys) != len(given):
        raise ConfigurationError(
            f"the claim for {parameter} is a name or a list of keys, such as 'sub' or ['org', 'id']"
        )
    return keys
