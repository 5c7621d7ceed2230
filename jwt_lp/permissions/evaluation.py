"""The input and the result of the evaluation of a requirement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jwt_lp.permissions.grants import Grant, Permissions


class EvaluationContext(NamedTuple):
    """The input of an evaluation: permissions, the route's parameters, and the token's claims and issuer."""

    held: Permissions
    params: Mapping[str, object]
    claims: Mapping[str, object]
    issuer: str


class Evaluation(NamedTuple):
    """The result of an evaluation: each satisfied term with its grant, the missing terms, and configuration faults.

    Terms are as written in the declaration.
    """

    credits: tuple[tuple[str, Grant], ...] = ()
    missing: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[Grant, ...]:
        """The credited grants, each once."""
        if len(self.credits) == 1:
            return (self.credits[0][1],)
        return tuple(dict.fromkeys(grant for _, grant in self.credits))

    @property
    def satisfied(self) -> bool:
        """Whether no term is missing."""
        return not self.missing
