"""Hand-offs: the grants that their issuers must revoke too, and the file that lists them."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from jwt_lp.usage.row_reader import write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.review.plan.frozen_plan import PlanItem


class Handoff(NamedTuple):
    """A grant that its issuer must revoke too; otherwise the next token has it again."""

    item: str
    of: str
    issuer: str
    name: str
    role: str
    grant: str
    instead: tuple[str, ...]
    reviewer: str
    comment: str


def handoffs_of(items: Iterable[PlanItem]) -> Iterator[Handoff]:
    """The hand-offs of items that are applied. Grants of roles have none, because the policy is edited."""
    for item in items:
        if item.of != "role":
            values: dict[str, Any] = {name: getattr(item, name) for name in Handoff._fields if name != "item"}
            yield Handoff(item.id, **values)


def write_handoffs(handoffs: Iterable[Handoff], form: Literal["csv", "json"]) -> str:
    """The hand-offs as CSV, in which no cell is a formula, or as JSON."""
    if form == "json":
        return json.dumps([handoff._asdict() for handoff in handoffs], indent=2) + "\n"
    buffer = io.StringIO()
    rows = (handoff._replace(instead=" ".join(handoff.instead)) for handoff in handoffs)  # type: ignore[arg-type]  # one cell
    write_csv(buffer, Handoff._fields, rows, end="\r\n")
    return buffer.getvalue()
