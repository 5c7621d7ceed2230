"""Requirements of routes: `all_of`, `any_of`, `external`, and the open requirements.

Requirements can also be composed with `&` and `|`. A faulty requirement raises `ConfigurationError` when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, TypeAlias, cast

from jwt_lp.errors import ConfigurationError
from jwt_lp.permissions.evaluation import Evaluation, EvaluationContext
from jwt_lp.permissions.requirement_nodes import (
    AllOf,
    AnyOf,
    Binding,
    OrSession,
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
    "OrSession",
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
    """Any valid token is enough."""

    key: object = field(default=("authenticated",), init=False, compare=False)

    def evaluate(self, context: EvaluationContext) -> Evaluation:  # noqa: ARG002 - any valid token is enough
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
    """No token is required: `public`, or `external` if another component guards the route and `reason` names it.

    With `identify`, a valid token is attached to the request and an invalid one is ignored.
    """

    reason: str | None = None
    identify: bool = False
    requires_token: ClassVar[bool] = False

    def evaluate(self, context: EvaluationContext) -> Evaluation:  # noqa: ARG002 - nothing is required
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
"""Any valid token is required, whatever it grants."""

PUBLIC: Final = Open()
"""No token is required, and the Authorization header is not read."""

IDENTIFIED: Final = Open(identify=True)
"""No token is required. A valid one is kept, and any other is ignored."""


def external(reason: str) -> Open:
    """Mark a route as guarded by another component; `reason` names it and is listed by `jwt-lp routes`."""
    if not isinstance(cast(object, reason), str) or not reason.strip():
        raise ConfigurationError('external("…") needs a reason that says who guards the route instead')
    return Open(reason)


def all_of(
    *parts: Requirement | str,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
    or_session: str | None = None,
) -> Requirement:
    """Require all `parts`, and all bindings in `where`.

    `where={"user_id": "sub"}` requires that the route parameter equals the claim. A nested claim is a list of keys;
    with several issuers, a mapping from the issuer's name. `unbound` names parameters to which the setting `BIND` does
    not apply here. With `enforce`, the requirement is enforced even in observe mode. `or_session`, a reason that is
    listed, lets a request without a token pass if the host's session has a user.
    """
    nodes = to_nodes("all_of", parts) + _bindings(where)
    names = _names(unbound)
    whole = nodes[0] if len(nodes) == 1 and not names and not enforce else AllOf(nodes, names, enforce)
    if or_session is None:
        return whole
    if not isinstance(cast(object, or_session), str) or not or_session.strip() or whole.session is not None:
        raise ConfigurationError("or_session needs one reason that says which session counts, and why")
    return OrSession(whole, or_session)


def any_of(*parts: Requirement | str) -> Requirement:
    """Require at least one of `parts`; the first that is held is credited."""
    nodes = to_nodes("any_of", parts)
    return nodes[0] if len(nodes) == 1 else AnyOf(nodes)


def _names(unbound: Iterable[object] | None) -> frozenset[str]:
    items: list[object] = (
        [unbound] if isinstance(unbound, str) else list(unbound) if isinstance(unbound, Iterable) else [None]
    )
    names = frozenset(name for name in items if isinstance(name, str))
    if len(names) != len(set(items)):
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
        return Binding(
            parameter, tuple((str(issuer).lower(), _path(parameter, claim)) for issuer, claim in path.items())
        )
    return Binding(parameter, (("", _path(parameter, path)),))


def _path(parameter: str, path: object) -> tuple[str, ...]:
    items = [path] if isinstance(path, str) else cast(Sequence[object], path) if isinstance(path, (list, tuple)) else ()
    keys = tuple(key for key in items if isinstance(key, str) and key)
    if not keys or len(keys) != len(items):
        raise ConfigurationError(
            f"the claim for {parameter} is a name or a list of keys, such as 'sub' or ['org', 'id']"
        )
    return keys
