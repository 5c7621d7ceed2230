"""The output of `jwt-lp explain`, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.text import Text

from jwt_lp.cli.output import DIM, ERROR, OK, brief, emit, grid, moment, notices, say, text
from jwt_lp.cli.target import relaxed_settings
from jwt_lp.cli.verification_trace import VerificationStep, VerificationTrace
from jwt_lp.permissions.requirements import Open

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.cli.missing_grants import AtomResult
    from jwt_lp.guard.decisions import Decision
    from jwt_lp.guard.guard import Guard
    from jwt_lp.guard.routes import Route
    from jwt_lp.permissions.grants import Grant
    from jwt_lp.permissions.requirements import Requirement

_WILDCARDS: Final = "orders:* covers orders:read but not orders:42:read; orders:** covers both."
_STYLES: Final[Mapping[str, str]] = {"ok": OK, "no": ERROR, "-": DIM}


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """The call to decide: the route's `label` and path parameters, and its `requirement` (None if undeclared)."""

    guard: Guard
    label: str
    requirement: Requirement | None
    params: Mapping[str, object] = field(default_factory=dict[str, object])
    route: Route | None = None

    @property
    def requires_token(self) -> bool:
        """Whether the decision depends on a token."""
        return self.requirement is None or self.requirement.requires_token


@dataclass(frozen=True, slots=True)
class Explanation:
    """The guard's decision with the trace of the verification, and each permission of the requirement."""

    request: ExplainRequest
    trace: VerificationTrace | None
    decision: Decision
    atoms: tuple[AtomResult, ...]
    fingerprint: str

    @property
    def refusal(self) -> tuple[int, str | None] | None:
        """Status and error of the refusal, also if observe mode lets the request pass."""
        refusal = self.decision.refusal or self.decision.observed
        return None if refusal is None else (refusal.status, refusal.error)

    @property
    def cause(self) -> str:
        """The slug that the log has as `cause`; "" if nothing is refused."""
        if self.refusal is None:
            return ""
        if self.trace is not None and self.trace.cause:
            return self.trace.cause
        if self.request.requirement is None:
            return "undeclared_route"
        revoked = any(leaf.revoked for leaf in self.atoms if leaf.written in self.decision.missing)
        return "permission_revoked" if revoked else "insufficient_scope"

    @property
    def remedies(self) -> list[str]:
        """What would change the decision. Each remedy is enough for one missing permission."""
        if self.refusal is None:
            return []
        if self.trace is not None and self.trace.token is None:
            return list(filter(None, [self.trace.remedy]))
        if self.request.requirement is None:
            hint = self.request.route.hint if self.request.route else ""
            return [
                f"declare the route: {hint}" if hint else "declare the route: requires(...), public or external(...)"
            ]
        missing = [leaf for leaf in self.atoms if not leaf.held and leaf.written in self.decision.missing]
        return list(dict.fromkeys(remedy for leaf in missing for remedy in leaf.remedies))


def print_explanation(explanation: Explanation) -> None:
    """Print the requirement, the steps, the decision and the remedies as text."""
    notices(relaxed_settings(explanation.request.guard.settings))
    if _has_wildcards(explanation):
        say(text("wildcards: "), _WILDCARDS)
    request = explanation.request
    say(f"{request.label}: {_declared_text(request)}" if request.label else _declared_text(request))
    if explanation.trace is not None:
        say(text(f"token {explanation.fingerprint}", DIM))
        grid((_step_cells(step.state, step.name, step.lines) for step in _all_steps(explanation)), fixed=2)
    _print_verdict(explanation)


def _declared_text(request: ExplainRequest) -> str:
    if request.requirement is None:
        return "no declaration"
    return str(request.requirement) if isinstance(request.requirement, Open) else f"requires {request.requirement}"


def _has_wildcards(explanation: Explanation) -> bool:
    token = explanation.trace.token if explanation.trace is not None else None
    return token is not None and any("*" in grant.text for grant in token.permissions)


def _all_steps(explanation: Explanation) -> list[VerificationStep]:
    steps = list(explanation.trace.steps) if explanation.trace is not None else []
    for leaf in explanation.atoms:
        if leaf.held:
            by = f" by {leaf.grant.text} ({_origin(leaf.grant)})" if leaf.grant is not None else ""
            steps.append(VerificationStep("requires", "ok", (f"{brief(_requested_text(leaf))}: held{brief(by)}",)))
        else:
            steps.append(VerificationStep("requires", "no", (f"{brief(_requested_text(leaf))}: not held", *leaf.why)))
    return steps


def _origin(grant: Grant) -> str:
    return grant.source if grant.elevation is None else f"elevation {grant.elevation}"


def _requested_text(leaf: AtomResult) -> str:
    return leaf.requested if leaf.requested == leaf.written else f"{leaf.requested} ({leaf.written})"


def _step_cells(state: str, name: str, lines: Sequence[str]) -> tuple[Text, Text, Text]:
    style = _STYLES[state]
    return text(state, style), text(name, style), Text("\n").join(text(line) for line in lines)


def _print_verdict(explanation: Explanation) -> None:
    refusal = explanation.refusal
    if refusal is None:
        say(text("would pass", OK), _used_grants(explanation))
        return
    status, error = refusal
    result = f"{status} {error}" if error else str(status)
    if explanation.cause != error:
        result += f" ({explanation.cause})"
    if explanation.decision.passes:
        say(text(f"passes only because requirements are observed: it would be refused, {result}", ERROR))
    else:
        say(text(f"would be refused: {result}", ERROR))
    grid(((text("  remedy"), text(remedy)) for remedy in explanation.remedies), fixed=1)


def _used_grants(explanation: Explanation) -> str:
    used = ", ".join(
        brief(grant.text) + ("" if grant.elevation is None else brief(f" by elevation {grant.elevation}"))
        for grant in explanation.decision.used
    )
    openness = "" if explanation.request.requires_token else f": the route is {explanation.request.requirement}"
    return f", using {used}" if used else openness


def print_explanation_json(explanation: Explanation) -> None:
    """Print everything as one JSON object."""
    request, decision, refusal = explanation.request, explanation.decision, explanation.refusal
    trace = explanation.trace or VerificationTrace((), None)
    content = {
        "passes": decision.passes,
        "observed": decision.observed is not None,
        "status": None if refusal is None else refusal[0],
        "error": None if refusal is None else refusal[1],
        "cause": explanation.cause or None,
        "detail": trace.detail or None,
        "remedies": explanation.remedies,
        "route": request.label or None,
        "requirement": None if request.requirement is None else str(request.requirement),
        "missing": list(decision.missing),
        "used": [_grant_json(grant) for grant in decision.used],
        "steps": [{"step": step.name, "state": step.state, "lines": list(step.lines)} for step in trace.steps],
        "asked": [
            {"written": leaf.written, "asked": leaf.requested, "held": leaf.held, "why": list(leaf.why)}
            for leaf in explanation.atoms
        ],
        "token": _token_json(explanation),
        "notices": relaxed_settings(request.guard.settings),
    }
    emit(content)


def _token_json(explanation: Explanation) -> dict[str, object] | None:
    token = explanation.trace.token if explanation.trace is not None else None
    if token is None:
        return {"fingerprint": explanation.fingerprint} if explanation.fingerprint else None
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
    return {
        "text": grant.text,
        "source": grant.source,
        "role": grant.role,
        "pattern": grant.pattern,
        "elevation": grant.elevation,
    }
