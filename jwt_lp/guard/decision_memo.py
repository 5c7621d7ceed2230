"""What was already decided about this request, and was it refused?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from jwt_lp.guard.decisions import Decision, Refusal
    from jwt_lp.permissions.requirements import Requirement

ParametersKey: TypeAlias = frozenset[tuple[str, type, object]]

# What fills a template, and is equal to nothing but itself where the type is the same too.
_VALUE_TYPES: Final = frozenset({str, int, bool, float, UUID, type(None)})
_NO_PARAMETERS: Final[ParametersKey] = frozenset()


class DecisionMemo:
    """The decisions about one request, which an adapter keeps on that request, by reference, until it has ended.

    The same requirement with the same parameters gets the same decision, so that it is logged and counted once.
    `refusal` is the first one of the request, None where there is none, and it is final: the adapter sends no
    response that does not carry it, whatever the application made of it. What a probe (`Guard.can`) says, what was
    only observed, and a `pending` decision are no refusals.
    """

    __slots__ = ("_decisions", "refusal")

    def __init__(self) -> None:
        self._decisions: dict[tuple[Requirement | None, ParametersKey], tuple[object, Decision]] = {}
        self.refusal: Refusal | None = None

    def find(self, requirement: Requirement | None, params: Mapping[str, object]) -> Decision | None:
        """The decision on this requirement with these parameters, None where there is none yet."""
        found = self._decisions.get((requirement, self.key(params)))
        return None if found is None else found[1]

    def keep(
        self, requirements: Collection[Requirement | None], params: Mapping[str, object], decision: Decision
    ) -> Decision:
        """Keep a decision for each of the requirements that it answers, and return it.

        A `pending` decision is returned and not kept: it has to be asked for again.
        """
        if not decision.pending:
            # INVARIANT: values that count by identity live as long as the key, so that no other gets their id.
            held = (tuple(params.values()), decision)
            key = self.key(params)
            for requirement in requirements:
                self._decisions[requirement, key] = held
        return self.note(decision)

    def note(self, decision: Decision) -> Decision:
        """Note the refusal of a decision that is not to be kept, such as on a websocket that stays open."""
        if self.refusal is None:
            self.refusal = decision.refusal
        return decision

    def permits(self, status: int, challenge: str | None) -> bool:
        """Whether a response with this status and `WWW-Authenticate` may be sent: any, or one that carries the refusal.

        Status and challenge have to be the refusal's; the body may be the application's own.
        """
        no = self.refusal
        return no is None or (status == no.status and challenge == no.headers.get("WWW-Authenticate"))

    @staticmethod
    def key(params: Mapping[str, object]) -> ParametersKey:
        """Parameters as a key. 1 and True are equal, and do not fill a template alike; what is not plain is itself only.

        Keep the values as long as the key: what is itself only counts by its id.
        """
        if not params:
            return _NO_PARAMETERS
        return frozenset(
            # A list, not a generator: this is on the way of every request.
            [(name, type(value), value if type(value) in _VALUE_TYPES else id(value)) for name, value in params.items()]
        )
