"""The summary of a campaign: the numbers of its review, which the store keeps as JSON."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.review.report.wording import describe_rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwt_lp.review import Backtest, BacktestedSetting, Finding, Review

_STANDING: Final = ("grant", "wildcard")
_HOLDERS: Final = ("subject", "client")
_MOST_ROLES: Final = 24
_MOST_GRANTS: Final = 20


def summarize(review: Review, undecided: Sequence[Finding]) -> dict[str, Any]:
    """The numbers of a review whose findings `undecided` became the items of a campaign.

    - `subjects`, `clients`, `roles`, `grants`, `excluded`, `source`, `as_of`: the population.
    - `standing`: the grants of holders that were judged; `needed` of them are used. What was requested and refused is none.
    - `verdicts`, `proposals`: how many of these have each. `refused`: how many permissions were requested and refused. `items`: how many items of the campaign have each proposal.
    - `notes`, and `rule`, the rule of the review in a sentence, with its `horizon`.
    - `window`: `first_day`, `last_day`, `fresh_until`, `recorded_days`, `dropped`.
    - `timeline`: a list of `[month, granted, denied, revoked]`.
    - `matrix`: a list of `[role, grant, members, users]`, of the roles with the most unused grants.
    - `top_grants`: a list of `[grant, held, used]`, those first that the most holders do not use.
    - `removals` are proposed in the campaign; `expected` of them are expected to be needed again within the horizon, None
      if none has a likelihood, and `unknown` have none.
    - `backtest`: the settings replayed over the past, None if that was not done.
    """
    population = review.population
    judged = [found for found in review.findings if found.of in _HOLDERS and found.kind in _STANDING]
    # What was requested and refused is held by nobody.
    standing = [found for found in judged if found.verdict != "needed-but-denied"]
    verdicts = Counter(str(found.verdict) for found in standing)
    # A large review does not list what is used and kept.
    verdicts["used"] += review.unlisted
    removals = [found for found in undecided if found.proposal == "remove"]
    likelihoods = [found.likelihood for found in removals if found.likelihood is not None]
    return {
        "subjects": population.subjects,
        "clients": population.clients,
        "roles": population.roles,
        "grants": population.grants,
        "excluded": population.excluded,
        "source": population.source,
        "as_of": population.as_of,
        "standing": verdicts.total(),
        "needed": verdicts["used"],
        "verdicts": dict(verdicts),
        "refused": len(judged) - len(standing),
        "proposals": dict(Counter({"keep": review.unlisted}) + Counter(str(found.proposal) for found in standing)),
        "items": dict(Counter(str(found.proposal) for found in undecided)),
        "notes": list(review.notes),
        "rule": describe_rule(review.judging),
        "horizon": review.judging.horizon,
        "window": review.window._asdict(),
        "timeline": [list(month) for month in review.timeline],
        "matrix": _matrix(review.findings),
        "top_grants": _top_grants(standing),
        "removals": len(removals),
        "expected": sum(likelihoods) if likelihoods else None,
        "unknown": len(removals) - len(likelihoods),
        "backtest": None if review.backtest is None else _backtest(review.backtest),
    }


def _matrix(findings: Iterable[Finding]) -> list[list[Any]]:
    """The roles with the most unused grants, the grants that the most roles have, and who uses each."""
    cells = {(found.name, found.grant): found for found in findings if found.kind == "role"}
    unused = Counter({role: 0 for role, _ in cells})
    unused.update(role for (role, _), found in cells.items() if not found.users)
    roles_by_grant = Counter(grant for _, grant in cells)
    roles = sorted(unused, key=lambda role: (-unused[role], role))[:_MOST_ROLES]
    grants = sorted(roles_by_grant, key=lambda grant: (-roles_by_grant[grant], grant))[:_MOST_GRANTS]
    return [
        [role, grant, found.members, found.users]
        for role in roles
        for grant in grants
        if (found := cells.get((role, grant))) is not None
    ]


def _top_grants(standing: Iterable[Finding]) -> list[list[Any]]:
    held, used = Counter[str](), Counter[str]()
    for found in standing:
        held[found.grant] += 1
        used[found.grant] += found.verdict == "used"
    first = sorted(held, key=lambda grant: (used[grant] - held[grant], grant))[:_MOST_GRANTS]
    return [[grant, held[grant], used[grant]] for grant in first]


def _backtest(backtest: Backtest) -> dict[str, Any]:
    def shown(setting: BacktestedSetting | None) -> dict[str, Any] | None:
        return None if setting is None else setting._asdict()

    return {
        "horizon": backtest.horizon,
        "first_review": backtest.first_review,
        "last_day": backtest.last_day,
        "pairs": backtest.pairs,
        "settings": [setting._asdict() for setting in backtest.settings],
        "recommended": shown(backtest.recommended),
        "in_force": shown(backtest.in_force),
        "judged": shown(backtest.judged),
        "interval": None if backtest.interval is None else list(backtest.interval),
        "sampled": backtest.sampled,
    }
