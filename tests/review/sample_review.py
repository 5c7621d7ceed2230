"""A sample review with findings of every kind and verdict, and with hostile names."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle
from typing import Final

from jwt_lp.review.comparison import Comparison, GoneGrant
from jwt_lp.review.findings import (
    AppliedRule,
    Backtest,
    BacktestedSetting,
    Coefficient,
    Finding,
    Population,
    Reason,
    Review,
    ReviewWindow,
    ScorePart,
)

NASTY: Final = (
    "<script>alert('xss')</script>",
    '"><img src=https://evil.example/x onerror=alert(1)>',
    "</style></script><!--",
    "'; DROP TABLE grants; --",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "\tcolumn",
    "\rreturn",
    "mallory\u202egnp.exe",
    "zero\u200bwidth\ufeff",
    "bell\x07\x1b[31mred\x00",
    "line\nend",
    "lone\ud800surrogate",
    "{{ 7 * 7 }}{% raw %}",
    "שלום:מנהל",
    "long-" + "n" * 300,
    "&amp;&lt;",
    "javascript:alert(1)",
)

_PEOPLE: Final = (
    "amara.okafor",
    "björn.lindqvist",
    "chen.wei",
    "dana.levi",
    "emil.novák",
    "fatima.zahra",
    "george.ito",
)
_GRANTS: Final = ("orders:read", "orders:write", "orders:refund", "invoices:read", "invoices:export", "users:admin")
_ROLES: Final = ("support", "accounting", "warehouse", "platform-admin")
_ISSUER: Final = "https://login.example.com/"


def _finding(number: int, **more: object) -> Finding:
    plain: dict[str, object] = {
        "id": f"{number:016x}",
        "kind": "grant",
        "verdict": "used",
        "proposal": "keep",
        "of": "subject",
        "issuer": _ISSUER,
        "name": _PEOPLE[number % len(_PEOPLE)],
        "role": "",
        "grant": _GRANTS[number % len(_GRANTS)],
        "reason": "Used within the rule.",
        "held_since": "2024-03-01",
        "manager": ("dana.levi", "hana.mori", "")[number % 3],
        "team": ("Payments", "Logistics", "")[number % 3],
    }
    return Finding(**{**plain, **more})  # type: ignore[arg-type]


_JUDGED: Final[tuple[dict[str, object], ...]] = (
    {
        "verdict": "unused",
        "proposal": "remove",
        "uses": 41,
        "days": 17,
        "first_day": "2025-01-14",
        "last_day": "2026-01-09",
        "idle": 265,
        "likelihood": 0.021,
        "because": (
            Reason("idle", "for", -1.9, "not used for 265 days"),
            Reason("days", "against", 0.7, "used on 17 days within 361 days"),
        ),
        "reason": "Used 41 times until 2026-01-09, and not for 265 days since.",
        "risk": "high",
        "score": 78,
        "score_parts": (
            ScorePart("risk", 40, 40, "high risk"),
            ScorePart("breadth", 5, 20, "covers 2 permissions on 2 routes"),
            ScorePart("idle", 18, 25, "not used for 265 days"),
            ScorePart("holder", 15, 15, "a subject with 7 patterns or grants of high risk"),
        ),
        "change": "came-back",
    },
    {
        "verdict": "dormant",
        "proposal": "remove",
        "likelihood": 0.0004,
        "reason": "Held for 942 days and never used.",
        "others": ("role platform-admin grants orders:**", "granted directly as orders:read"),
        "risk": "critical",
    },
    {
        "verdict": "used",
        "uses": 12345,
        "days": 310,
        "first_day": "2024-11-02",
        "last_day": "2026-09-30",
        "idle": 1,
        "likelihood": 0.9995,
        "reason": "Used 12,345 times, last on 2026-09-30.",
        "risk": "low",
    },
    {
        "verdict": "dormant",
        "reason": "Held and never used, and the only way anybody has to it.",
        "guards": ("last holder of it", "held for 12 days only, grace is 30"),
        "held_since": "2026-09-19",
    },
    {
        "verdict": "unobservable",
        "reason": "No known enforcement point requires it, so its need is unknown.",
        "risk": "high",
    },
    {
        "verdict": "needed-but-denied",
        "denied": 23,
        "reason": "Requested and refused; no grant of the holder covers it: 23 times.",
    },
    {
        "verdict": "unused",
        "uses": 3,
        "days": 1,
        "first_day": "2025-12-24",
        "last_day": "2025-12-24",
        "idle": 281,
        "guards": ("exempt until 2026-12-31: yearly closing (owner hana.mori)",),
        "reason": "Used 3 times on 2025-12-24, and not for 281 days since.",
    },
)

_OTHERS: Final[tuple[dict[str, object], ...]] = (
    {
        "verdict": "leaver",
        "proposal": "remove",
        "name": "u-1234",
        "person_name": "Ivan Petrov",
        "manager": "dana.levi",
        "team": "Payments",
        "active": "no",
        "left": "2026-08-31",
        "uses": 1902,
        "days": 211,
        "last_day": "2026-09-12",
        "idle": 19,
        "reason": "The holder has left: the last day was 2026-08-31, but it was used 12 days after that.",
        "risk": "high",
        "score": 52,
        "change": "new",
    },
    {
        "kind": "wildcard",
        "verdict": "used",
        "proposal": "narrow",
        "grant": "orders:*",
        "instead": ("orders:read", "orders:write"),
        "uses": 902,
        "days": 88,
        "first_day": "2025-10-02",
        "last_day": "2026-09-29",
        "idle": 2,
        "reason": "Of the 7 permissions that it covers 2 were used.",
        "risk": "high",
    },
    {
        "kind": "wildcard",
        "of": "client",
        "name": "nightly-export",
        "verdict": "used",
        "proposal": "narrow",
        "grant": "**",
        "instead": ("invoices:export", "invoices:read"),
        "uses": 365,
        "days": 365,
        "last_day": "2026-10-01",
        "first_day": "2025-10-02",
        "idle": 0,
        "reason": "Of everything 2 permissions were used.",
        "risk": "critical",
    },
    {
        "kind": "member",
        "verdict": "used",
        "role": "platform-admin",
        "grant": "",
        "uses": 12,
        "days": 4,
        "last_day": "2026-08-03",
        "idle": 59,
        "reason": "Needs 1 of the 14 grants of the role.",
        "instead": ("users:read",),
        "proposal": "narrow",
    },
    {
        "kind": "split",
        "verdict": "used",
        "of": "role",
        "name": "support",
        "role": "support",
        "grant": "",
        "members": 38,
        "users": 31,
        "uses": 9001,
        "days": 364,
        "last_day": "2026-10-01",
        "idle": 0,
        "reason": "Its 38 members need 2 sets of grants that have nothing in common.",
    },
    {
        "kind": "requirement",
        "verdict": "unused",
        "of": "service",
        "name": "shop",
        "grant": "orders:archive",
        "reason": "No request reached it since 2025-10-02.",
    },
    {
        "kind": "permission",
        "verdict": "unobservable",
        "of": "catalogue",
        "issuer": "",
        "name": "",
        "grant": "reports:yearly",
        "reason": "It is in the catalogue, but no known enforcement point requires it.",
    },
    {
        "kind": "regret",
        "verdict": "needed-but-denied",
        "refused_since": 4,
        "grant": "invoices:export",
        "uses": 7,
        "days": 2,
        "last_day": "2026-03-03",
        "idle": 212,
        "reason": "Revoked on 2026-06-01 and asked for 4 times since.",
    },
)


def _role_findings(start: int) -> list[Finding]:
    findings: list[Finding] = []
    for index, role in enumerate(_ROLES):
        for place, grant in enumerate((*_GRANTS, "stock:adjust")):
            users = (index * 7 + place * 5) % 23 if (index + place) % 3 else 0
            never = users == 0
            findings.append(
                _finding(
                    start + len(findings),
                    kind="role",
                    of="role",
                    name=role,
                    role=role,
                    grant=grant,
                    issuer="",
                    members=24 + index,
                    users=users,
                    uses=users * 40,
                    days=users * 3,
                    last_day="" if never else "2026-09-20",
                    idle=None if never else 11,
                    verdict="dormant" if never else "used",
                    proposal="remove" if never else "keep",
                    risk="high" if "admin" in grant else "medium",
                    reason="No member of the role ever used it." if never else f"{users} of its members used it.",
                )
            )
    return findings


BACKTEST: Final = Backtest(
    horizon=365,
    first_review="2024-10-01",
    last_day="2026-10-01",
    pairs=9640,
    regret=0.10,
    settings=(
        BacktestedSetting("fixed", 60, 5210, 1490, 98400),
        BacktestedSetting("fixed", 90, 4630, 1092, 142300),
        BacktestedSetting("fixed", 120, 4020, 790, 189900),
        BacktestedSetting("fixed", 180, 3020, 414, 301800),
        BacktestedSetting("fixed", 270, 1980, 171, 446100),
        BacktestedSetting("fixed", 365, 1204, 62, 571000),
        BacktestedSetting("likelihood", 0.20, 4910, 960, 101200),
        BacktestedSetting("likelihood", 0.12, 4490, 640, 150400),
        BacktestedSetting("likelihood", 0.08, 4105, 430, 201700),
        BacktestedSetting("likelihood", 0.05, 3560, 262, 279800),
        BacktestedSetting("likelihood", 0.03, 2890, 140, 372000),
        BacktestedSetting("likelihood", 0.01, 1750, 41, 520500),
        BacktestedSetting("likelihood", 0.0, 0, 0, 690000),
    ),
    recommended=BacktestedSetting("likelihood", 0.05, 3560, 262, 279800),
    judged=BacktestedSetting("likelihood", 0.05, 3560, 262, 279800),
)


def findings() -> tuple[Finding, ...]:
    """About sixty findings: every verdict, every kind, and every hostile name as a holder, a grant or a manager."""
    judged = [_finding(1 + number, **facts) for number, facts in zip(range(14), cycle(_JUDGED), strict=False)]
    others = [_finding(30 + number, **facts) for number, facts in enumerate(_OTHERS)]
    nasty: list[Finding] = []
    for number, (name, facts) in enumerate(zip(NASTY, cycle(_JUDGED), strict=False)):
        where = ("name", "grant", "manager")[number % 3]
        more = {"person_name": name, "team": name} if where == "manager" else {}
        nasty.append(_finding(50 + number, **{**facts, where: name, **more, "reason": f"About {name}."}))
    return (*judged, *others, *_role_findings(100), *nasty)


def review() -> Review:
    """The sample review."""
    return Review(
        made_at=1790899200.0,
        store="sqlite:usage.db",
        now="2026-10-01",
        window=ReviewWindow("2025-10-02", "2026-10-01", "2026-09-30", 361, 1280),
        population=Population(
            source="imported",
            as_of="2026-09-28",
            complete=False,
            subjects=412,
            clients=9,
            roles=4,
            grants=1893,
            excluded=2,
        ),
        judging=AppliedRule(
            rule="likelihood",
            threshold=0.05,
            floor=60,
            grace=30,
            horizon=365,
            fitted_on=9640,
            coefficients=(
                Coefficient("days since the last use", -1.83, 4.1, 1.2),
                Coefficient("days with use before", 0.92, 2.2, 1.4),
                Coefficient("colleagues who use it", 0.41, 0.3, 0.2),
            ),
        ),
        findings=findings(),
        notes=("On 4 days between 2025-10-02 and 2026-09-30 nothing recorded",),
        digest="9f2c4e1d7b6a5f0382c1e4d5a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f",
        policy="1b4f0e9851971998e732078544c96b36c3d01cedf7caa332359d6f1d83567014",
        policy_path="least-privilege.toml",
        timeline=tuple(
            (
                f"{2025 + (9 + month) // 12}-{(9 + month) % 12 + 1:02}-01",
                41000 + 900 * month,
                120 + month % 5 * 31,
                month * 3,
            )
            for month in range(13)
        ),
        backtest=BACKTEST,
        comparison=Comparison(
            now="2026-07-01",
            digest="4b227777d4dd1fc61c6f884f48641d02b4d121d3fd328cb08b5531fcacdabf8a",
            new=1,
            came_back=2,
            gone=(
                GoneGrant(
                    "00000000000003e7", "grant", "subject", _ISSUER, NASTY[0], "", NASTY[10], "Ivan", "2026-10-01"
                ),
                GoneGrant(
                    "00000000000003e8", "grant", "subject", _ISSUER, "emil.novák", "", "users:admin", "", "2026-07-01"
                ),
            ),
        ),
    )


def many(number: int) -> Review:
    """A review with this many findings."""
    roles = _role_findings(100)
    findings = [
        _finding(
            1000 + index,
            **{
                **_JUDGED[index % len(_JUDGED)],
                "name": f"user-{index % (number // 4 + 1):05}@example.com",
                "grant": f"service{index % 60}:{('read', 'write', 'export', 'admin')[index % 4]}",
            },
        )
        for index in range(number - len(roles))
    ]
    return replace(review(), findings=(*findings, *roles))
