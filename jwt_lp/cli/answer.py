"""What came of the question, and how is it said?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.text import Text

from jwt_lp.cli.output import BAD, FAINT, GOOD, brief, emit, grid, moment, notices, say, text
from jwt_lp.cli.steps import Step, Walk
from jwt_lp.cli.target import laxer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.cli.lacking import Leaf
    from jwt_lp.decision import Decision
    from jwt_lp.guard import Guard
    from jwt_lp.permissions import Grant
    from jwt_lp.requirements import Requirement
    from jwt_lp.routes import Route

_WILDCARDS: Final = "orders:* covers orders:read and not orders:42:read; orders:** covers both."
_STYLES: Final[Mapping[str, str]] = {"ok": GOOD, "no": BAD, "-": FAINT}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: may a call of `label` pass, which asks for `requirement`?"""

    guard: Guard
    label: str
    requirement: Requirement | None
    params: Mapping[str, object] = field(default_factory=dict[str, object])
    route: Route | None = None

    @property
    def asks_token(self) -> bool:
        """Whether a token matters at all."""
        return self.requirement is None or self.requirement.asks_token


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it."""

    question: Question
    walk: Walk | None
    decision: Decision
    leaves: tuple[Leaf, ...]
    fingerprint: str

    @property
    def refusal(self) -> tuple[int, str | None] | None:
        """Status and error of the refusal, also of one that observe mode lets pass."""
        found = self.decision.refusal or self.decision.observed
        return None if found is None else (found.status, found.error)

    @property
    def cause(self) -> str:
        """Why not, as a slug: the log's `cause`."""
        if self.refusal is None:
            return ""
        if self.walk is not None and self.walk.cause:
            return self.walk.cause
        return "unmarked_route" if self.question.requirement is None else "insufficient_scope"

    @property
    def remedies(self) -> list[str]:
        """What would change the answer, each of them enough for one thing that is missing."""
        if self.refusal is None:
            return []
        if self.walk is not None and self.walk.token is None:
            return list(filter(None, [self.walk.remedy]))
        if self.question.requirement is None:
            hint = self.question.route.hint if self.question.route else ""
            return [
                f"declare the route: {hint}" if hint else "declare the route: requires(...), public or external(...)"
            ]
        missing = [leaf for leaf in self.leaves if not leaf.held and leaf.written in self.decision.missing]
        return list(dict.fromkeys(each for leaf in missing for each in leaf.remedies))


def show(answer: Answer) -> None:
    """Print it for people: the question, the steps, the verdict and the remedies."""
    notices(laxer(answer.question.guard.settings))
    if _wild(answer):
        say(text("wildcards: "), _WILDCARDS)
    question = answer.question
    asked = "nothing is declared for it" if question.requirement is None else f"asks for {question.requirement}"
    say(f"{question.label}: {asked}" if question.label else asked)
    if answer.walk is not None:
        say(text(f"token {answer.fingerprint}", FAINT))
        grid((_cells(step.state, step.name, step.lines) for step in _all_steps(answer)), fixed=2)
    _conclude(answer)


def _wild(answer: Answer) -> bool:
    token = answer.walk.token if answer.walk is not None else None
    return token is not None and any("*" in grant.text for grant in token.permissions)


def _all_steps(answer: Answer) -> list[Step]:
    steps = list(answer.walk.steps) if answer.walk is not None else []
    for leaf in answer.leaves:
        if leaf.held:
            by = f" by {leaf.grant.text} ({leaf.grant.source})" if leaf.grant is not None else ""
            steps.append(Step("asks for", "ok", (f"{brief(_asked(leaf))}: held{brief(by)}",)))
        else:
            steps.append(Step("asks for", "no", (f"{brief(_asked(leaf))}: not held", *leaf.why)))
    return steps


def _asked(leaf: Leaf) -> str:
    return leaf.asked if leaf.asked == leaf.written else f"{leaf.asked} ({leaf.written})"


def _cells(state: str, name: str, lines: Sequence[str]) -> tuple[Text, Text, Text]:
    style = _STYLES[state]
    return text(state, style), text(name, style), Text("\n").join(text(line) for line in lines)


def _conclude(answer: Answer) -> None:
    refusal = answer.refusal
    if refusal is None:
        say(text("would pass", GOOD), _using(answer))
        return
    status, error = refusal
    said = f"{status}{f' {error}' if error else ''} ({answer.cause})"
    if answer.decision.passes:
        say(text(f"passes only because requirements are observed: it would be refused, {said}", BAD))
    else:
        say(text(f"would be refused: {said}", BAD))
    grid(((text("  remedy"), text(remedy)) for remedy in answer.remedies), fixed=1)


def _using(answer: Answer) -> str:
    used = ", ".join(brief(grant.text) for grant in answer.decision.used)
    open_ = "" if answer.question.asks_token else f": the route is {answer.question.requirement}"
    return f", using {used}" if used else open_


def show_json(answer: Answer) -> None:
    """Print it as one JSON object."""
    question, decision, refusal = answer.question, answer.decision, answer.refusal
    found = answer.walk or Walk((), None)
    said = {
        "passes": decision.passes,
        "observed": decision.observed is not None,
        "status": None if refusal is None else refusal[0],
        "error": None if refusal is None else refusal[1],
        "cause": answer.cause or None,
        "detail": found.detail or None,
        "remedies": answer.remedies,
        "route": question.label or None,
        "requirement": None if question.requirement is None else str(question.requirement),
        "missing": list(decision.missing),
        "used": [_grant(grant) for grant in decision.used],
        "steps": [{"step": step.name, "state": step.state, "lines": list(step.lines)} for step in found.steps],
        "asked": [
            {"written": leaf.written, "asked": leaf.asked, "held": leaf.held, "why": list(leaf.why)}
            for leaf in answer.leaves
        ],
        "token": _token_plain(answer),
        "notices": laxer(question.guard.settings),
    }
    emit(said)


def _token_plain(answer: Answer) -> dict[str, object] | None:
    token = answer.walk.token if answer.walk is not None else None
    if token is None:
        return {"fingerprint": answer.fingerprint} if answer.fingerprint else None
    return {
        "fingerprint": token.fingerprint,
        "issuer": token.issuer_name,
        "subject": token.subject,
        "client": token.client,
        "issued_at": moment(token.issued_at),
        "expires_at": moment(token.expires_at),
        "claims": sorted(token.claims),
        "grants": [_grant(grant) for grant in token.permissions],
        "roles": list(token.roles),
        "ignored": token.ignored,
        "development": token.development,
    }


def _grant(grant: Grant) -> dict[str, object]:
    return {"text": grant.text, "source": grant.source, "role": grant.role, "pattern": grant.pattern}
