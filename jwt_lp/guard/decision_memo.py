"""The decisions already made about one request, and its first refusal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from jwt_lp.guard.decisions import Decision, Refusal
    from jwt_lp.permissions.requirements import Requirement

ParametersKey: TypeAlias = "frozenset[tuple[str, type, object]] | tuple[str, type, object]"

# Types of template values that are compared by type and value.
_VALUE_TYPES: Final = frozenset({str, int, bool, float, UUID, type(None)})
_NO_PARAMETERS: Final[ParametersKey] = frozenset()


class DecisionMemo:
    """The decisions about one request; an adapter keeps one memo on the request until it has ended.

    The same requirement with the same parameters gets the same decision, so it is logged and counted once. `refusal`
    is the first refusal of the request, or None. It is final: the adapter sends only a response that carries it, even
    if the application catches the refusal. A probe (`Guard.can`), an observed refusal and a `pending` decision are
    not refusals. `proof` is a note of the guard's own, see `RequestMemo`.
    """

    __slots__ = ("_decisions", "proof", "refusal")

    def __init__(self) -> None:
        self._decisions: dict[tuple[object, ParametersKey], tuple[object, Decision]] = {}
        self.refusal: Refusal | None = None
        self.proof: bytes | None = None

    def find(self, requirement: Requirement | None, params: Mapping[str, object]) -> Decision | None:
        """The decision on this requirement with these parameters, or None if there is none yet."""
        entry = self._decisions.get((_name(requirement), self.key(params) if params else _NO_PARAMETERS))
        return None if entry is None else entry[1]

    def keep(
        self, requirements: Collection[Requirement | None], params: Mapping[str, object], decision: Decision
    ) -> Decision:
        """Keep a decision for each requirement that it answers, and return it.

        A `pending` decision is returned but not kept, because it must be requested again.
        """
        if not decision.pending:
            key = self.key(params) if params else _NO_PARAMETERS
            # INVARIANT: values compared by identity live as long as the key, so that no other value gets their id.
            entry = (tuple(params.values()) if params else (), decision)
            for requirement in requirements:
                self._decisions[_name(requirement), key] = entry
        if self.refusal is None:
            self.refusal = decision.refusal
        return decision

    def note(self, decision: Decision) -> Decision:
        """Note the refusal of a decision that must not be kept, for example on a websocket that stays open."""
        if self.refusal is None:
            self.refusal = decision.refusal
        return decision

    def permits(self, status: int, challenge: str | None) -> bool:
        """Whether a response with this status and `WWW-Authenticate` may be sent.

        Without a refusal any response may. Otherwise status and challenge must be those of the refusal; the body may
        be the application's own.
        """
        refusal = self.refusal
        return refusal is None or (status == refusal.status and challenge == refusal.headers.get("WWW-Authenticate"))

    @staticmethod
    def key(params: Mapping[str, object]) -> ParametersKey:
        """The parameters as a key: plain values by type and value (1 is not True), others by identity.

        The caller must keep the values as long as the key, because identity is compared by `id`.
        """
        if not params:
            return _NO_PARAMETERS
        if len(params) == 1:
            # Most routes with parameters have one.
            ((name, value),) = params.items()
            return name, type(value), value if type(value) in _VALUE_TYPES else id(value)
        return frozenset(
            # A list is faster than a generator, and every request takes this path.
            [(name, type(value), value if type(value) in _VALUE_TYPES else id(value)) for name, value in params.items()]
        )


def _name(requirement: Requirement | None) -> object:
    """What finds the decision on a requirement: its key, which takes no time to hash, or the requirement itself."""
    return requirement if requirement is None or requirement.key is None else requirement.key
