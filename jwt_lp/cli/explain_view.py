"""What came of the question, and how is it said?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.text import Text

from jwt_lp.cli.output import DIM, ERROR, OK, brief, emit, grid, moment, notices, say, text
from jwt_lp.cli.target import relaxed_settings
from jwt_lp.cli.verification_trace import VerificationStep, VerificationTrace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.cli.missing_grants import AtomResult
    from jwt_lp.guard.decisions import Decision
    from jwt_lp.guard.guard import Guard
    from jwt_lp.guard.routes import Route
    from jwt_lp.permissions.grants import Grant
    from jwt_lp.permissions.requirements import Requirement

_WILDCARDS: Final = "orders:* covers orders:read and not orders:42:read; orders:** covers both."
_STYLES: Final[Mapping[str, str]] = {"ok": OK, "no": ERROR, "-": DIM}


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """What is asked: may a call of `label` pass, which asks for `requirement`?"""

    guard: Guard
    label: str
    requirement: Requirement | None
    params: Mapping[str, object] = field(default_factory=dict[str, object])
    route: Route | None = None

    @property
    def requires_token(self) -> bool:
        """Whether a token matters at all."""
        return self.requirement is None or self.requirement.requires_token


@dataclass(frozen=True, slots=True)
class Explanation:
    """What came of it."""

    question: ExplainRequest
    trace: VerificationTrace | None
    decision: Decision
    atoms: tuple[AtomResult, ...]
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
        if self.trace is not None and self.trace.cause:
            return self.trace.cause
        return "unmarked_route" if self.question.requirement is None else "insufficient_scope"

    @property
    def remedies(self) -> list[str]:
        """What would change the answer, each of them enough for one thing that is missing."""
        if self.refusal is None:
            return []
        if self.trace is not None and self.trace.token is None:
            return list(filter(None, [self.trace.remedy]))
        if self.question.requirement is None:
            hint = self.question.route.hint if self.question.route else ""
            return [
                f"declare the route: {hint}" if hint else "declare the route: requires(...), public or external(...)"
            ]
        missing = [leaf for leaf in self.atoms if not leaf.held and leaf.written in self.decision.missing]
        return list(dict.fromkeys(each for leaf in missing for each in leaf.remedies))


def print_explanation(answer: Explanation) -> None:
    """Print it for people: the question, the steps, the verdict and the remedies."""
    notices(relaxed_settings(answer.question.guard.settings))
    if _has_wildcards(answer):
        say(text("wildcards: "), _WILDCARDS)
    question = answer.question
    asked = "nothing is declared for it" if question.requirement is None else f"asks for {question.requirement}"
    say(f"{question.label}: {asked}" if question.label else asked)
    if answer.trace is not None:
        say(text(f"token {answer.fingerprint}", DIM))
        grid((_step_cells(step.state, step.name, step.lines) for step in _all_steps(answer)), fixed=2)
    _print_verdict(answer)


def _has_wildcards(answer: Explanation) -> bool:
    token = answer.trace.token if answer.trace is not None else None
    return token is not None and any("*" in grant.text for grant in token.permissions)


def _all_steps(answer: Explanation) -> list[VerificationStep]:
    steps = list(answer.trace.steps) if answer.trace is not None else []
    for leaf in answer.atoms:
        if leaf.held:
            by = f" by {leaf.grant.text} ({leaf.grant.source})" if leaf.grant is not None else ""
            steps.append(VerificationStep("asks for", "ok", (f"{brief(_requested_text(leaf))}: held{brief(by)}",)))
        else:
            steps.append(VerificationStep("asks for", "no", (f"{brief(_requested_text(leaf))}: not held", *leaf.why)))
    return steps


def _requested_text(leaf: AtomResult) -> str:
    return leaf.requested if leaf.requested == leaf.written else f"{leaf.requested} ({leaf.written})"


def _step_cells(state: str, name: str, lines: Sequence[str]) -> tuple[Text, Text, Text]:
    style = _STYLES[state]
    return text(state, style), text(name, style), Text("\n").join(text(line) for line in lines)


def _print_verdict(answer: Explanation) -> None:
    refusal = answer.refusal
    if refusal is None:
        say(text("would pass", OK), _used_grants(answer))
        return
    status, error = refusal
    said = f"{status}{f' {error}' if error else ''} ({answer.cause})"
    if answer.decision.passes:
        say(text(f"passes only because requirements are observed: it would be refused, {said}", ERROR))
    else:
        say(text(f"would be refused: {said}", ERROR))
    grid(((text("  remedy"), text(remedy)) for remedy in answer.remedies), fixed=1)


def _used_grants(answer: Explanation) -> str:
    used = ", ".join(brief(grant.text) for grant in answer.decision.used)
    open_ = "" if answer.question.requires_token else f": the route is {answer.question.requirement}"
    return f", using {used}" if used else open_


def print_explanation_json(answer: Explanation) -> None:
    """Print it as one JSON object."""
    question, decision, refusal = answer.question, answer.decision, answer.refusal
    found = answer.trace or VerificationTrace((), None)
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
        "used": [_grant_json(grant) for grant in decision.used],
        "steps": [{"step": step.name, "state": step.state, "lines": list(step.lines)} for step in found.steps],
        "asked": [
            {"written": leaf.written, "asked": leaf.requested, "held": leaf.held, "why": list(leaf.why)}
            for leaf in answer.atoms
        ],
        "token": _token_json(answer),
        "notices": relaxed_settings(question.guard.settings),
    }
    emit(said)


def _token_json(answer: Explanation) -> dict[str, object] | None:
    token = answer.trace.token if answer.trace is not None else None
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
        "grants": [_grant_json(grant) for grant in token.permissions],
        "roles": list(token.roles),
        "ignored": token.ignored_roles,
        "development": token.development,
    }


def _grant_json(grant: Grant) -> dict[str, object]:
    return {"text": grant.text, "source": grant.source, "role": grant.role, "pattern": grant.pattern}
