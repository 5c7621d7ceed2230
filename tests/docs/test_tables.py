"""Tests of the tables in the docs against the code: complete, and without invented rows."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import test_floors
from docs.commands import known_commands
from docs.pages import PAGES, ROOT, Block, MarkdownTable, blocks, code, codes, column, pieces, prose, tables
from jwt_lp import Decision, Permission, Permissions, Policy, Settings, Verifier
from jwt_lp.cli.verification_trace import CAUSES
from jwt_lp.guard.issuer_reader import ISSUER_KEYS, MAX_LEEWAY
from jwt_lp.guard.settings_reader import TOP_KEYS
from jwt_lp.jose.http_fetch import DEADLINE, MAX_BYTES
from jwt_lp.jose.jwks import MAX_KEYS
from jwt_lp.jose.key_rotation import LEEWAY, LIFETIME, MAX_PUBLISHED, PUBLISH_AHEAD, RELOAD_INTERVAL
from jwt_lp.jose.remote_jwks import DEFAULT_AGE, DEFAULT_TIMINGS, MAX_AGE, MIN_AGE, REFRESH_AT, SKEW
from jwt_lp.jose.signing import sign
from jwt_lp.jose.single_flight import MAX_WAITERS
from jwt_lp.lint.linter import LintOptions
from jwt_lp.lint.rules import RULES
from jwt_lp.testing.authority import Authority
from jwt_lp.tokens.custom_profile import _READERS
from jwt_lp.tokens.profiles import SHIPPED_PROFILES
from jwt_lp.tokens.provider_claims import shape_claims

pytestmark = pytest.mark.docs

KEYS = ("key", "value", "default", "meaning")
SOURCES = ("claim", "is", "in tokens of", "label")


def _settings_tables() -> tuple[MarkdownTable, MarkdownTable]:
    issuer, service = tables("docs/settings.md", *KEYS)
    return issuer, service


def test_the_settings_page_lists_every_key_once() -> None:
    """The two tables have exactly the keys of the settings."""
    issuer, service = _settings_tables()
    assert sorted(ISSUER_KEYS) == sorted(column(issuer))
    assert sorted(TOP_KEYS) == sorted(column(service))


def test_the_settings_page_lists_every_key_of_a_profile() -> None:
    """The table of custom profiles has exactly the keys of a profile."""
    (own,) = tables("docs/settings.md", "key", "value", "meaning")
    assert sorted({*_READERS, "BASE", "PERMISSIONS", "ROLES", "CEILING"}) == sorted(column(own))


@pytest.mark.parametrize(
    "row", [row for table in _settings_tables() for row in table.rows], ids=lambda row: code(row[0])
)
def test_the_defaults_that_the_settings_page_states(row: tuple[str, ...]) -> None:
    """A key's default in the table is the value used without the key; a key with `required` has none."""
    key, default = code(row[0]), row[2]
    mapping: dict[str, object] = {"ISSUER": "https://login.example.com/", "AUDIENCE": "a", "ALGORITHMS": ["RS256"]}
    if default == "required":
        del mapping[key]
        assert f"{key} is missing or empty" in _fault({**mapping, "JWKS_URL": "https://login.example.com/"})
        return
    settings = Settings.from_mapping({**mapping, "JWKS_URL": "https://login.example.com/"}, environ={})
    found: Any = getattr(settings, key.lower(), getattr(settings.issuers[0], key.lower(), "absent"))
    if default == "none":
        # These settings have no value that means leaving them out.
        assert key in {"JWKS", "JWKS_URL", "POLICY", "ISSUERS", "STORE", "PUSH"}
    elif key in {"EXTERNAL", "PUBLIC"}:
        assert (ast.literal_eval(code(default)), ()) in (({}, settings.rules.entries), ([], settings.rules.entries))
    elif key == "SUBJECTS":
        assert ('"plain"', b"") == (code(default), found)
    elif key == "AUDIT":
        assert ('"off"', None) == (code(default), found)
    elif key == "COOKIE":
        assert ("False", None) == (code(default), settings.cookies)
    elif key == "LINT":
        # Without the key there are no options, which is the same as options that are all left out.
        assert ("{}", None) == (code(default), found)
        assert LintOptions() == LintOptions.from_mapping({})
    else:
        plain: Any = found.name if key == "PROFILE" else dict(found) if key == "BIND" else found
        plain = list(plain) if isinstance(plain, tuple | frozenset) else plain
        assert ast.literal_eval(code(default)) == plain


def _fault(mapping: dict[str, object]) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the text is what is looked at
        Settings.from_mapping(mapping, environ={})
    return str(caught.value)


def _literals(path: Path) -> set[str]:
    """The causes that a module raises as literals."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            place = {"InvalidToken": 0, "Cause": 2}.get(node.func.id)
            given = node.args[place : place + 1] if place is not None else []
            found |= {str(each.value) for each in given if isinstance(each, ast.Constant)}
    return found


def test_the_operations_page_lists_every_cause() -> None:
    """Every cause that the log may have has a row."""
    (table,) = tables("docs/operations.md", "cause", "what it means, and what to do")
    in_code = set().union(*(_literals(path) for path in (ROOT / "jwt_lp").rglob("*.py")))
    # A profile returns its causes instead of raising them.
    assert sorted(in_code | CAUSES.keys()) == sorted(column(table))


def test_the_causes_of_adopting_are_causes() -> None:
    """Every cause on the page about adopting exists."""
    (table,) = tables("docs/adopting.md", "what it says", "what to do")
    (known,) = tables("docs/operations.md", "cause", "what it means, and what to do")
    assert set() == {each for row in table.rows for each in codes(row[0])} - set(column(known))


def test_the_numbers_of_the_operations_page() -> None:
    """The times and sizes in the table are those of the code."""
    (table,) = tables("docs/operations.md", "what", "how much")
    assert [
        f"{REFRESH_AT:.0%}".replace("%", " % of its `max-age`"),
        f"{DEFAULT_AGE:.0f} s",
        f"{MIN_AGE:.0f} s, {MAX_AGE:.0f} s",
        f"{DEFAULT_TIMINGS.cooldown:.0f} s",
        f"{DEFAULT_TIMINGS.wait_timeout:.0f} s",
        f"{MAX_WAITERS}",
        f"{SKEW:.0f} s",
        f"{DEFAULT_TIMINGS.deadline:.0f} s",
        f"{DEFAULT_TIMINGS.max_stale:.0f} s",
        f"{MAX_BYTES} bytes, {MAX_KEYS} keys",
    ] == [row[1] for row in table.rows]
    assert DEFAULT_TIMINGS.deadline == DEADLINE
    assert timedelta(hours=24).total_seconds() == DEFAULT_TIMINGS.max_stale


def test_the_times_of_a_rotation() -> None:
    """The times of a key rotation are those of the code."""
    (table,) = tables("docs/operations.md", "of a rotation", "time")
    expected = [f"{seconds:.0f} s" for seconds in (PUBLISH_AHEAD, RELOAD_INTERVAL, LIFETIME, LEEWAY)]
    assert [*expected, f"{MAX_PUBLISHED}"] == [row[1] for row in table.rows]
    assert PUBLISH_AHEAD >= DEFAULT_AGE
    assert LEEWAY >= MAX_LEEWAY


def _sections() -> dict[str, MarkdownTable]:
    """The table of claims of each provider, by the profile that the block before it names."""
    found: dict[str, MarkdownTable] = {}
    for page in (page for page in PAGES if page.startswith("docs/providers")):
        profile = "rfc9068"
        for piece in pieces(page):
            if isinstance(piece, Block) and piece.language == "python":
                named = re.search(r'"PROFILE": "([\w-]+)"', piece.text)
                profile = named[1] if named else "rfc9068"
            elif isinstance(piece, MarkdownTable) and piece.heading == SOURCES:
                found[profile] = piece
    return found


def test_every_provider_has_its_section() -> None:
    """The pages describe every shipped profile."""
    assert sorted(SHIPPED_PROFILES) == sorted(_sections())


@pytest.mark.parametrize("name", SHIPPED_PROFILES)
def test_where_grants_come_from(name: str) -> None:
    """The table of claims equals the profile: sources in their order, then the ceiling."""
    profile = SHIPPED_PROFILES[name]
    kinds = {"permissions": "permissions", "roles": "external roles"}
    when = {"always": "all", "users": "users", "apps": "applications"}
    expected = [(str(each), kinds[each.kind], when[each.when], each.label) for each in profile.sources]
    expected += [(str(each), "the ceiling", when[each.when], each.label) for each in profile.ceiling]
    assert expected == [
        (code(claim), kind, tokens, code(label)) for claim, kind, tokens, label in _sections()[name].rows
    ]


def test_what_tells_an_access_token() -> None:
    """The table of token types equals the checks of the profiles."""
    (table,) = tables("docs/providers.md", "profile", "`typ` of the header", "required claims", "forbidden claims")
    stated = {}
    for name, types, needed, forbidden in table.rows:
        none = {""} if types.endswith("or none") else set()
        stated[code(name)] = ({*codes(types), *none}, set(codes(needed)), set(codes(forbidden)))
    assert stated == {
        name: (
            set(profile.types),
            {*profile.required, *(claim for group in profile.any_of for claim in group)}
            | {word for claim, values in profile.expected.items() for word in (claim, *values)},
            set(profile.forbidden),
        )
        for name, profile in SHIPPED_PROFILES.items()
    }


def test_a_scope_may_give_everything_or_raise_the_ceiling() -> None:
    """The two roles on the policy page confer what the page says."""
    dangerous, meant = (block.text for block in blocks("docs/policy.md", "toml") if "access_as_user" in block.text)
    scope: dict[str, object] = {"scope": "access_as_user"}
    role: dict[str, object] = {"roles": ["orders-clerk"]}
    assert [True, True] == _held(dangerous, scope)
    assert [False, False] == _held(meant, scope)
    assert [False, False] == _held(meant, role)
    assert [True, False] == _held(meant, scope | role)
    assert [False, False] == _held(meant, scope, profile="keycloak")


def _held(policy: str, claims: dict[str, object], profile: str = "rfc9068") -> list[bool]:
    """Whether a user's token with these claims holds orders:list, and orders:delete."""
    authority = Authority()
    mapping = {
        **authority.settings(),
        "OWN": False,
        "PROFILE": profile,
        "POLICY": Policy.from_mapping(tomllib.loads(policy)),
    }
    settings = Settings.from_mapping(mapping, environ={})
    (issuer,) = settings.issuers
    times = {"iat": 1, "exp": 300, "jti": "1", "client_id": "web"}
    made, typ = shape_claims(
        issuer.profile, {"iss": issuer.issuer, "sub": "alice", "aud": min(issuer.audience), **times}, (), ()
    )
    verifier = Verifier([issuer.to_trusted_issuer(issuer.static)], settings.policy, clock=lambda: 10.0)  # type: ignore[arg-type]
    held = verifier.verify(sign({**made, **claims}, authority.key, typ=typ)).permissions
    return ["orders:list" in held, "orders:delete" in held]


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0]


def test_the_architecture_page_shows_every_package() -> None:
    """The picture has each package in its order, with the noun phrase that opens its docstring."""
    picture = next(block.text for block in blocks("docs/architecture.md", "text") if "\njwt_lp/\n" in block.text)
    shown = re.findall(r"^  (\w+)(?:/|\.py) +(\S.*)$", picture, re.MULTILINE)
    expected: list[tuple[str, str]] = []
    for name in reversed(test_floors.ORDER):
        module = ROOT / "jwt_lp" / f"{name}.py"
        expected.append((name, _first_line(module if module.exists() else module.with_suffix("") / "__init__.py")))
    assert expected == shown


def test_the_architecture_page_points_at_files_that_exist() -> None:
    """Every path in the table of where things are is one of the tree."""
    (table,) = tables("docs/architecture.md", "to find out", "look in")
    assert [] == [path for row in table.rows for path in codes(row[1]) if not (ROOT / path).is_file()]


def test_the_architecture_page_lists_what_comes_out() -> None:
    """The table has every field of a decision."""
    (table,) = tables("docs/architecture.md", "field", "meaning")
    assert list(inspect.signature(Decision).parameters) == column(table)


def test_the_commands_page_lists_every_check() -> None:
    """Each check of `jwt-lp lint` with its usual severity, in the order of the rules."""
    (table,) = tables("docs/commands.md", "check", "is usually", "what is wrong")
    assert [(rule.id, rule.severity, rule.title) for rule in RULES.values()] == [
        (code(check), severity, title.partition(";")[0]) for check, severity, title in table.rows
    ]


def test_the_commands_page_lists_every_command() -> None:
    """The table has exactly the existing commands."""
    (table,) = tables("docs/commands.md", "command", "what it does")
    assert sorted(known_commands()) == sorted(each.removeprefix("jwt-lp ") for each in column(table))


def test_segments_are_written_as_the_page_says() -> None:
    """`{name!e}` leaves exactly the characters unchanged that the page lists."""
    alphabet = "A-Za-z0-9._~@-"
    assert f"`{alphabet}`" in prose("docs/declaring.md")
    kept = [chr(code) for code in range(33, 127) if Permission.segment(chr(code), encode=True) == chr(code)]
    assert re.fullmatch(f"[{alphabet}]+", "".join(kept))
    assert len(kept) == 26 * 2 + 10 + len("._~@-")
    assert "a%b" not in Permissions.of([Permission.segment("a%b", encode=True)])
