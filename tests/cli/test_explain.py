from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from elevated import approve
from jwt_lp import Guard
from jwt_lp.cli import verification_trace
from jwt_lp.cli.missing_grants import evaluate_atoms
from jwt_lp.cli.verification_trace import trace_verification
from jwt_lp.errors import KeysUnavailable
from jwt_lp.guard.settings import Settings
from jwt_lp.jose.jws import fingerprint
from jwt_lp.jose.signing import SigningKey
from jwt_lp.permissions.grants import Grant, Permissions
from jwt_lp.permissions.requirements import EvaluationContext, all_of
from jwt_lp.stores import open_store
from jwt_lp.testing.authority import Authority
from memory_store import entry

HERE = Path(__file__).parent


@pytest.fixture
def ask(project, cli):
    """Explain `token`, given on standard input, to the project's application or its settings."""

    def ask(token, *arguments, **env):
        where = () if {"--app", "--settings"} & set(arguments) else ("--app", "shop:app")
        code, out, err = cli("explain", "-", *where, *arguments, stdin=token, **env)
        for message in (out, err):
            assert token.strip() not in message
        return code, " ".join(out.split()), err

    return ask


@pytest.fixture
def plain(project, cli):
    """The same, as JSON."""

    def plain(token, *arguments, **env):
        where = () if "--settings" in arguments else ("--app", "shop:app")
        code, out, _ = cli("explain", "-", *where, *arguments, "--json", stdin=token, **env)
        return {"code": code, **json.loads(out)}

    return plain


def test_a_good_token_passes(project, ask):
    """A valid, sufficient token passes, and every step has its details."""
    code, out, err = ask(project.authority.token("alice", ["orders:list"]), "--route", "GET /orders")
    assert (0, "") == (code, err)
    for message in (
        "GET /orders: requires orders:list",
        "ok header alg 'ES256', kid '",
        "ok issuer https://authority.test: default, profile rfc9068",
        "ok key the issuer has this key",
        "ok signature good",
        "ok type subject alice, client tests; a user",
        "ok audience aud is 'https://api.test'; AUDIENCE is https://api.test",
        "ok times iat 20",
        ": expires in 5 minutes",
        "ok grants 1 grant",
        "ok requires orders:list: held by orders:list (scope)",
        "would pass, using orders:list",
    ):
        assert message in out
    assert "wildcards:" not in out


def test_wildcards_are_explained_first(project, ask):
    """With a wildcard grant, the first line explains wildcards; the nearest grant says why it does not cover."""
    code, out, _ = ask(project.authority.token("alice", ["orders:*"]), "--route", "GET /orders/7")
    assert 1 == code
    assert out.startswith("wildcards: orders:* covers orders:read but not orders:42:read; orders:** covers both.")
    assert "no requires orders:7:read (orders:{order_id}:read): not held" in out
    assert "nearest is orders:*: one segment too many for it: * stands for exactly one; orders:** would cover it" in out
    assert "would be refused: 403 insufficient_scope remedy have the issuer grant orders:7:read" in out


def _forged(project, **changes):
    return project.authority.token("alice", ["orders:list"], **changes)


def _tampered(token):
    head, body, signature = token.split(".")
    return ".".join((head, body, ("A" if signature[0] != "A" else "B") + signature[1:]))


@pytest.mark.parametrize(
    ("make", "step", "cause", "message"),
    [
        (lambda p: "abc", "header", "malformed", "three parts joined by dots"),
        (lambda p: _forged(p, claims={"note": "x" * 20_000}), "header", "too_large", "have the issuer put less into"),
        (lambda p: _forged(p, claims={"iss": "https://evil.test"}), "issuer", "issuer", "set ISSUER to exactly"),
        (lambda p: Authority().token(), "key", "unknown_key", "of the same tenant and environment"),
        (lambda p: _tampered(_forged(p)), "signature", "signature", "this one was altered"),
        (lambda p: _forged(p, typ="JWT"), "type", "typ", "have the issuer follow RFC 9068"),
        (
            lambda p: _forged(p, claims={"cnf": {"jkt": "0ZcO"}}),
            "type",
            "sender_constrained",
            "have the issuer make bearer tokens for this client",
        ),
        (
            lambda p: [p.settings(CLIENTS=["tests"]), _forged(p, client="other")][1],
            "type",
            "client_not_accepted",
            "add the client to CLIENTS if it may call",
        ),
        (lambda p: _forged(p, claims={"jti": 7}), "type", "claim_type", "jti is not a non-empty string"),
        (lambda p: _forged(p, claims={"aud": ["account", "x"]}), "audience", "audience", "aud is 'account', 'x'"),
        (
            lambda p: _forged(p, claims={"aud": None}),
            "audience",
            "audience",
            'remedy have the client ask for the resource "https://api.test"',
        ),
        (lambda p: _forged(p, lifetime=-100), "times", "expired", "get a new token"),
        (lambda p: _forged(p, claims={"exp": "x"}), "times", "date", "iat and exp as numbers"),
        (
            lambda p: _forged(p, claims={"scope": ["x"]}),
            "grants",
            "claim_type",
            "scope is not one space-separated string",
        ),
        (lambda p: _forged(p, claims={"scope": "x:" * 300}), "grants", "grant_too_long", "shorter permissions"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_step_that_can_fail(project, ask, plain, make, step, cause, message):
    """An invalid token fails at the right step, later steps are not reached, and the remedy is printed."""
    token = make(project)
    code, out, _ = ask(token, "--route", "GET /orders")
    found = plain(token, "--route", "GET /orders")
    states = {each["step"]: each["state"] for each in found["steps"]}
    names = list(states)
    assert [1, 401, "invalid_token", cause] == [code, *(found[name] for name in ("status", "error", "cause"))]
    assert ["ok"] * names.index(step) + ["no"] + ["-"] * (len(names) - names.index(step) - 1) == list(states.values())
    assert f"would be refused: 401 invalid_token ({cause})" in out
    assert message in out
    assert f"token {fingerprint(token, len(token))}" in out


def test_every_cause_of_the_verifier_has_a_step():
    """Each cause that the verifier raises, and each one of a key source, is assigned to a step."""
    package = Path(verification_trace.__file__).parents[1]
    files = [package / "jose" / "jws.py", *(package / "tokens").glob("*.py")]
    # A proof belongs to a request: the guard checks it, and this command has none.
    files.remove(package / "tokens" / "dpop.py")
    sources = "".join(file.read_text(encoding="utf-8") for file in files)
    raised = {*re.findall(r'InvalidToken\(\s*"(\w+)"', sources), KeysUnavailable.code}
    assert {"malformed", "expired", "claim_type"} <= raised
    assert set() == raised - verification_trace.CAUSES.keys()
    assert {entry.step for entry in verification_trace.CAUSES.values()} == set(verification_trace.STEPS)


def test_an_unlisted_cause_fails_the_first_step(project, monkeypatch):
    """A cause that has no step is shown at the first one, never as a valid token."""
    monkeypatch.setattr(verification_trace, "CAUSES", {})
    with Guard(project.authority.settings()) as guard:
        found = trace_verification(guard, project.authority.token(lifetime=-100), time.time())
    assert ["no", "-"] == [step.state for step in found.steps[:2]]


def test_keys_that_cannot_be_fetched(project, ask):
    """If no key set can be fetched, the decision is 503, and the remedy says what to check."""
    found = {**project.authority.settings(), "JWKS_URL": "http://127.0.0.1:9/keys"}
    del found["JWKS"], found["POLICY"]
    project.write("fetched.py", f"JWT_LP = {found!r}")
    code, out, _ = ask(project.authority.token(), "--settings", "fetched", JWT_LP_DEV="1")
    assert 1 == code
    assert "no key " in out
    assert "would be refused: 503 (keys_unavailable) remedy check the address of the key set" in out


def test_claim_values_are_not_printed(project, ask):
    """Claims are listed by name, and their values are never printed."""
    token = project.authority.token("alice", ["orders:list"], claims={"email": "alice@secret.example"})
    for arguments in (("--json",), (), ("--route", "GET /users/bob")):
        _, out, err = ask(token, *arguments)
        assert "secret" not in out + err
        for part in token.split("."):
            assert part not in out + err
    assert '"email"' in ask(token, "--json")[1]


@pytest.mark.parametrize(
    ("user", "claims", "message"),
    [
        ("bob", {}, "the claim sub is present but does not equal the route's user_id exactly"),
        ("bob", {"sub": "Bob"}, "does not equal the route's user_id exactly"),
    ],
)
def test_a_binding_that_does_not_hold(project, ask, user, claims, message):
    """A failed binding is explained without the claim's value."""
    token = project.authority.token("alice", ["users:read"], claims=claims)
    code, out, _ = ask(token, "--route", f"GET /users/{user}")
    assert 1 == code
    assert f"no requires user_id=sub: not held {message}" in out or message in out
    assert "ok requires users:read: held by users:read (scope)" in out


@pytest.mark.parametrize(
    ("bind", "claims", "message"),
    [
        ({"order_id": ["org", "id"]}, {}, "the token has no claim org.id"),
        ({"order_id": ["org", "id"]}, {"org": "x"}, "the token has no claim org.id"),
        ({"order_id": ["org", "id"]}, {"org": {"id": 8}}, "the claim org.id is present but does not equal"),
        ({"order_id": {"default": "sub"}}, {}, "the claim sub is present"),
    ],
)
def test_bindings_of_the_settings(project, ask, bind, claims, message):
    """Bindings of BIND, which apply to every route, are explained too."""
    project.settings(BIND=bind)
    code, out, _ = ask(project.authority.token("alice", ["orders:7:read"], claims=claims), "--route", "GET /orders/7")
    assert 1 == code
    assert message in out


def test_bindings_that_hold(project, ask):
    """A binding that holds is listed as held, without a grant."""
    project.settings(BIND={"order_id": "sub"})
    code, out, _ = ask(project.authority.token("7", ["orders:7:read"]), "--route", "GET /orders/7")
    assert 0 == code
    assert "ok requires order_id=sub: held would pass" in out


def test_a_value_that_is_not_a_segment(project, ask):
    """A template whose value is not one segment is explained as such."""
    code, out, _ = ask(project.authority.token("alice", ["orders:**"]), "--route", "GET /orders/a:b")
    assert 1 == code
    assert "orders:{order_id}:read: not held the value is not one segment" in out
    assert "write {name!e} for values that are not a plain segment" in out


def test_a_declaration_at_fault(project, ask):
    """A template with a name that the route lacks is the declaration's fault."""
    project.write(
        "shop.py",
        (project.folder / "shop.py")
        .read_text(encoding="utf-8")
        .replace('all_of("orders:list")', 'all_of("orders:{nope}")'),
    )
    code, out, _ = ask(project.authority.token("alice", ["orders:**"]), "--route", "GET /orders")
    assert 1 == code
    assert "the route has no parameter nope" in out
    assert "remedy correct the declaration" in out


def test_alternatives(project, ask):
    """Each permission of alternatives is listed, and the remedies are for the first."""
    code, out, _ = ask(project.authority.token("alice", ["orders:list"]), "--route", "GET /either")
    assert 1 == code
    for message in ("no requires orders:audit", "ok requires orders:list", "no requires orders:export"):
        assert message in out
    assert "remedy have the issuer grant orders:audit" in out
    assert "grant orders:export" not in out


def test_an_undeclared_route(project, ask):
    """An undeclared route is refused, and the remedy is the missing declaration."""
    token = project.authority.token("alice", ["orders:**"])
    code, out, _ = ask(token, "--app", "shop:undeclared", "--route", "POST /orders")
    assert 1 == code
    assert "POST /orders: no declaration" in out
    assert '403 insufficient_scope (undeclared_route) remedy declare the route: @requires("orders:create")' in out


def test_an_undeclared_route_without_a_hint(project, ask):
    """Without a hint the three ways to declare a route are named."""
    project.write(
        "shop.py",
        (project.folder / "shop.py").read_text(encoding="utf-8") + 'x = create_app([Route(("PUT",), "/", "shop.x")])\n',
    )
    _, out, _ = ask(project.authority.token(), "--app", "shop:x", "--route", "PUT /")
    assert "declare the route: requires(...), public or external(...)" in out


def test_an_open_route_needs_no_token(project, cli, ask):
    """A public or external route passes without a token; a token that is given is verified all the same."""
    code, out, _ = cli("explain", "--app", "shop:app", "--route", "GET /")
    assert (0, "GET /: public\nwould pass: the route is public\n") == (code, out)
    assert 0 == cli("explain", "--app", "shop:app", "--route", "/legacy")[0]
    assert json.loads(cli("explain", "--app", "shop:app", "--route", "/", "--json")[1])["token"] is None
    code, out, _ = ask("abc", "--route", "GET /hello")
    assert 0 == code
    assert "no header" in out


def test_observe_mode_is_reported(project, ask, plain):
    """A request that passes only because of observe mode is marked as such, with exit code 0."""
    soon = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()
    project.settings(OBSERVE_UNTIL=soon)
    token = project.authority.token()
    code, out, _ = ask(token, "--route", "GET /orders")
    assert 0 == code
    assert out.startswith(f"!! OBSERVE_UNTIL = {soon}")
    assert "passes only because requirements are observed: it would be refused, 403 insufficient_scope" in out
    found = plain(token, "--route", "GET /orders")
    assert [True, True, 403] == [found[name] for name in ("passes", "observed", "status")]


def test_required_permissions(project, ask):
    """--require works without an application; without --require, only the token is verified."""
    token = project.authority.token("alice", ["orders:list"])
    where = ("--settings", "shop")
    assert 0 == ask(token, *where)[0]
    assert 0 == ask(token, *where, "--require", "orders:list")[0]
    code, out, _ = ask(token, *where, "-r", "orders:list", "-r", "orders:read")
    assert 1 == code
    assert "requires orders:list & orders:read" in out


def test_a_development_token_is_judged_as_from_this_machine(project, cli, ask):
    """A development token is valid with JWT_LP_DEV=1, and the output says so."""
    token = cli("token", "alice", "orders:list", "--settings", "shop", JWT_LP_DEV="1")[1]
    code, out, _ = ask(token, "--route", "GET /orders", JWT_LP_DEV="1")
    assert 0 == code
    assert "the development key, accepted with JWT_LP_DEV=1 from this machine only" in out
    code, out, _ = ask(token, "--settings", "shop", "--require", "orders:list")
    assert 1 == code
    remedy = "remedy this is a development token: set JWT_LP_DEV=1 for this command and where the service runs"
    assert remedy in out
    assert "the issuer has this key" not in out
    # The issuer's keys are of another algorithm, or cannot be fetched.
    other = {**project.authority.settings(), "ALGORITHMS": ["RS256"]}
    fetched = {**other, "JWKS_URL": "https://127.0.0.1:9/keys", "ALGORITHMS": ["ES256"]}
    del other["POLICY"], fetched["POLICY"], fetched["JWKS"]
    other["JWKS"] = {"keys": [SigningKey.generate("RS256").public_jwk()]}
    project.write("other.py", f"JWT_LP = {other!r}")
    project.write("fetched.py", f"JWT_LP = {fetched!r}")
    for where, cause in (("other", "401 invalid_token (algorithm)"), ("fetched", "503 (keys_unavailable)")):
        _, out, _ = ask(token, "--settings", where, "--require", "orders:list")
        assert f"would be refused: {cause} {remedy}" in out


def test_json_tells_all(project, plain):
    """--json has the decision, the steps, the requirement and the token's grants."""
    found = plain(project.authority.token("alice", ["orders:*"]), "--settings", "shop", "-r", "orders:read")
    assert [0, True, None, None] == [found[name] for name in ("code", "passes", "status", "cause")]
    grant = {"text": "orders:*", "source": "scope", "role": None, "pattern": True, "elevation": None}
    assert [[grant], [grant]] == [found["used"], found["token"]["grants"]]
    assert [{"written": "orders:read", "asked": "orders:read", "held": True, "why": []}] == found["asked"]
    assert {"header", "issuer", "key", "signature", "type", "audience", "times", "grants"} == {
        step["step"] for step in found["steps"]
    }


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: f"  {t}\n",
        lambda t: f"Bearer {t}",
        lambda t: f"Authorization: Bearer {t}\r\n",
        lambda t: f"bearer  {t}",
    ],
)
def test_a_header_as_it_was_copied_will_do(project, ask, wrap):
    """A token may come with its header's name, its scheme and white space around."""
    assert 0 == ask(wrap(project.authority.token("alice", ["orders:list"])), "--route", "GET /orders")[0]


def test_the_token_from_elsewhere(project, cli):
    """The token may be an argument, with a warning, or stand in JWT_LP_TOKEN, which the application never sees."""
    token = project.authority.token("alice", ["orders:list"])
    project.write(
        "shop.py",
        (project.folder / "shop.py").read_text(encoding="utf-8") + "import os\nSEEN = 'JWT_LP_TOKEN' in os.environ\n",
    )
    arguments = ("--app", "shop:app", "--route", "GET /orders")
    for words in ((token,), ("Bearer", token)):
        code, _, err = cli("explain", *words, *arguments)
        assert 0 == code
        assert "stays in the shell's history" in " ".join(err.split())
    code, _, err = cli("explain", *arguments, JWT_LP_TOKEN=token)
    assert (0, "") == (code, err)
    assert sys.modules["shop"].SEEN is False


def test_a_file_is_piped_in(project, cli):
    """A file name instead of a token is refused, and the error says how to pass a file."""
    project.write("b.txt", "")
    code, out, err = cli("explain", "b.txt", "--app", "shop:app")
    assert (2, "", True) == (code, out, "b.txt is a file: pass - and < b.txt" in " ".join(err.split()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which token? pass - and pipe it in, or set JWT_LP_TOKEN"),
        (("eyJa", "eyJb"), "one token at a time"),
        (("Bearer", "eyJa", "eyJb"), "one token at a time"),
        (("-",), "the token is empty"),
        (("-", "--require", "eyJa.eyJb.c"), "--require takes a permission, not a token"),
        (("-", "--require", "orders:{id}"), "fill in the template, or pass --app and --route"),
        (("-", "--require", "orders:*"), "wildcards belong in grants"),
        (("-", "--require", "a", "--route", "/"), "--require and --route exclude each other: pass one"),
        (("-", "--settings", "env"), "leave --settings out"),
        (("-", "--route", "GET"), '--route is a method and a path: "GET /orders/7"'),
        (("-", "--route", "GET /nowhere"), "no route of the application serves GET /nowhere"),
        (("-", "--route", "https://shop.example/nowhere?x=1"), "no route of the application serves GET /nowhere:"),
    ],
)
def test_wrong_usage(project, cli, arguments, message):
    """Wrong usage exits with 2, names the right usage, and never repeats a token."""
    code, out, err = cli("explain", *arguments, "--app", "shop:app")
    assert (2, "") == (code, out)
    assert message in " ".join(err.split())
    assert "eyJ" not in err


@pytest.mark.parametrize("arguments", [("--settings", "shop"), ()])
def test_a_route_needs_its_application(project, cli, arguments):
    """Only an application has routes."""
    code, _, err = cli("explain", "-", "--route", "GET /", *arguments)
    assert 2 == code
    assert "--route needs the application: --app MODULE:APP" in err


def test_the_application_that_a_host_passed(project, app, cli):
    """With an application passed by the host, --app is not needed, and --settings still overrides it."""
    token = project.authority.token("alice", ["orders:list"])
    assert 0 == cli("explain", "-", "--route", "GET /orders", given=(app,), stdin=token)[0]
    assert 0 == cli("explain", "-", "--settings", "shop", given=(app,), stdin=token)[0]


def _typed(project, keys, *arguments):
    """Run explain at a terminal of its own and type these keys."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    paths = os.pathsep.join([str(HERE), str(project.folder / "site"), str(HERE.parents[1])])
    process = subprocess.Popen(
        [sys.executable, "-c", "from jwt_lp.cli import main; main()", "explain", *arguments],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": paths},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    os.close(theirs)
    assert process.stderr is not None
    with process:
        # What is typed before the question is thrown away.
        asked = process.stderr.read(len("Token: "))
        os.write(ours, keys.encode())
        out, err = process.communicate(timeout=60)
    os.close(ours)
    return process.returncode, out, asked + err


def test_the_token_is_asked_for_and_not_shown(project):
    """On a terminal without a token, a prompt asks for it without an echo."""
    token = project.authority.token("alice", ["orders:list"])
    code, out, err = _typed(project, f"{token}\n", "--app", "shop:app", "--route", "GET /orders")
    assert 0 == code
    assert "Token: " in err
    assert token not in out + err


def test_an_interrupted_prompt_is_not_a_finding(project):
    """Interrupting the prompt exits with 130, because nothing was checked."""
    code, out, err = _typed(project, "\x04", "--app", "shop:app", "--route", "GET /orders")
    assert (130, "") == (code, out)
    assert "stopped" in err


def test_the_question_in_this_process(project, app, monkeypatch):
    """The text typed at the prompt is the token; interrupting the prompt is not a finding."""
    from jwt_lp.cli import run

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    answers = [project.authority.token("alice", ["orders:list"]), KeyboardInterrupt()]

    def typed(*_, **__):
        answer = answers.pop(0)
        if isinstance(answer, str):
            return answer
        raise answer

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", typed)
    assert [0, 130] == [run(["explain", "--route", "GET /orders"], app) for _ in range(2)]


def test_roles_are_listed(project, ask):
    """The policy's roles that a token carries are named, and those that it does not list are counted."""
    policy = {"version": 1, "roles": {"clerk": {"grants": ["orders:list"]}}}
    project.authority = Authority(policy=policy)
    project.settings()
    token = project.authority.token("alice", roles=["clerk", "other"])
    _, out, _ = ask(token, "--route", "GET /orders")
    assert "1 grant; roles of the policy: clerk; 1 role ignored: not listed in the policy" in out
    assert "held by orders:list (role clerk)" in out


CATALOGUE = {
    "version": 1,
    "permissions": {"orders:list": {}, "orders:{id}:read": {}, "orders:read": {}},
    "roles": {"clerk": {"grants": ["orders:list"], "from": ["realm:clerk"]}, "bare": {"grants": ["orders:**"]}},
}


def _why(asked, *grants, own=False, claims=None, policy=None, **settings):
    """Why `asked` is not held by a token of Keycloak (or of an issuer of ours) with these grants, and what to do."""
    authority = Authority()
    mapping = authority.settings(OWN=own, PROFILE="rfc9068" if own else "keycloak", POLICY=policy, **settings)
    authority = Authority(like=mapping)
    with authority.guard() as guard:
        token = guard.authenticate(authority.headers("alice", grants, claims=claims)["Authorization"]).token
        assert token is not None
        facts = EvaluationContext(token.permissions, {}, token.claims, token.issuer_name)
        (leaf,) = evaluate_atoms(all_of(asked), facts, token, guard.settings.issuers[0], guard.settings)
    return leaf


@pytest.mark.parametrize(
    ("asked", "grant", "own", "message"),
    [
        (
            "orders:read",
            "orders:*",
            False,
            "it would cover this, but * is an ordinary character in this issuer's tokens",
        ),
        ("orders:read", "Orders:Read", True, "upper and lower case are different letters"),
        ("orders:7:read", "orders:7", True, "a grant covers only itself; orders:7:** would cover everything below it"),
        ("orders:read", "read:orders", True, "the same segments in another order"),
        ("orders:read", "orders.read", True, "the same words, written with other separators"),
        ("orders:read", "orders:reed", True, "another permission"),
        ("orders:read", "orders:read:**", True, "** stands for one or more segments, and here there is none"),
        ("orders:x:read", "orders:*:write", True, "another segment"),
        (
            "orders:7:x:read",
            "orders:*",
            True,
            "2 segments too many for it: * stands for exactly one; orders:** would cover it",
        ),
        ("orders:7:read:x", "orders:*:read", True, "one segment too many for it: * stands for exactly one"),
        ("orders:7", "orders:*:read", True, "one segment too few for it: * stands for exactly one"),
        ("orders:read", "orders:re*", True, "not a pattern: a wildcard must be a whole segment, and ** the last one"),
    ],
)
def test_the_nearest_grant(asked, grant, own, message):
    """The nearest grant is named with what keeps it from covering."""
    (near,) = [why for why in _why(asked, grant, own=own).why if why.startswith("nearest")]
    assert f"nearest is {grant}: {message}" == near


@pytest.mark.parametrize(
    ("grant", "own"),
    [("users:list", True), ("users:*", True), ("users:re*", True), ("users:*", False), ("users:*:x", True)],
)
def test_an_unrelated_grant_is_not_listed(grant, own):
    """An unrelated grant is not listed as near."""
    assert [] == [why for why in _why("orders:read", grant, own=own).why if why.startswith("nearest")]


def test_at_most_three_grants_are_near():
    """Of many near grants the three nearest are named."""
    grants = ["Orders:read", "orders:*:write:x:y", "orders", "orders:reed", "read:orders"]
    near = [why for why in _why("orders:read", *grants, own=True).why if why.startswith("nearest")]
    assert ["Orders:read", "orders", "read:orders"] == [why.split()[2].rstrip(":") for why in near]


def test_the_claims_that_grants_are_read_from():
    """The claims that can confer grants are listed, and absent ones are marked."""
    (line,) = [why for why in _why("orders:read", claims={"groups": []}).why if why.startswith("grants are")]
    expected = (
        "grants are read from scope (absent), realm_access.roles (absent), resource_access.*.roles (absent), "
        "groups (present)"
    )
    assert expected == line


def test_roles_that_the_policy_does_not_list():
    """Roles of the token that the policy does not list are counted, not named."""
    leaf = _why("orders:read", claims={"realm_access": {"roles": ["a-secret-role", "other"]}})
    assert "ignored: 2 roles of the token that the policy does not list" in leaf.why
    assert "a-secret-role" not in str(leaf)


def test_the_catalogue_and_the_roles():
    """A permission that the catalogue lacks is reported; a role that grants it is a remedy."""
    leaf = _why("orders:raed", policy=CATALOGUE)
    assert "the policy's catalogue has no orders:raed; did you mean 'orders:read'?" in leaf.why
    leaf = _why("orders:list", policy=CATALOGUE)
    assert not any("catalogue" in why for why in leaf.why)
    assert (
        "have the issuer grant orders:list",
        "or give the subject the policy's role clerk, which grants it (from = [realm:clerk])",
        "or give the subject the policy's role bare, which grants it (from = [nothing outside the policy])",
    ) == leaf.remedies
    leaf = _why("orders:list", own=True, policy=CATALOGUE)
    assert "or give the subject the policy's role clerk, which grants it (roles of the token: clerk)" in leaf.remedies


def test_wildcards_of_an_issuer_that_may_not_use_them():
    """If a pattern would count with PATTERNS set, the remedy says so."""
    assert "or set PATTERNS = True for default, if it may grant patterns" in _why("orders:read", "orders:*").remedies


def test_a_ceiling_of_the_settings():
    """A permission that CEILING cuts is reported with the grant that was cut."""
    leaf = _why("users:read", "users:read", own=True, CEILING=["orders:**"])
    assert ("users:read (scope) grants it, but the issuer's CEILING does not cover it",) == leaf.why
    assert ('widen CEILING of default by "users:read"',) == leaf.remedies


@pytest.mark.parametrize(
    ("profile", "remedy"),
    [("rfc9068", "the scope of the client does not cover"), (None, "have the issuer put orders:list there too")],
)
def test_a_ceiling_of_the_profile(profile, remedy):
    """A permission that a profile's ceiling cuts is reported with the claim and the profile's remedy, if it has one."""
    from dataclasses import replace

    from jwt_lp import RFC9068

    found = RFC9068 if profile else replace(RFC9068, remedies={})
    policy = {"version": 1, "roles": {"clerk": {"grants": ["orders:list"], "from": ["role:clerk"]}}}
    authority = Authority(like=Authority().settings(OWN=False, PROFILE=found, POLICY=policy))
    with authority.guard() as guard:
        token = guard.authenticate(authority.headers("alice", roles=["clerk"])["Authorization"]).token
        assert token is not None
        facts = EvaluationContext(token.permissions, {}, token.claims, token.issuer_name)
        (leaf,) = evaluate_atoms(all_of("orders:list"), facts, token, guard.settings.issuers[0], guard.settings)
    assert (
        "orders:list (role clerk) grants it, but the ceiling of this profile (scope) does not cover it",
    ) == leaf.why
    assert remedy in leaf.remedies[0]


def test_a_binding_for_another_issuer(project):
    """A binding that names no claim for the token's issuer never holds, and says so."""
    settings = Settings.from_mapping(project.authority.settings())
    with Guard(settings) as guard:
        token = guard.authenticate(project.authority.headers("alice")["Authorization"]).token
        assert token is not None
        facts = EvaluationContext(Permissions.of([Grant("a", "scope")]), {"id": "7"}, token.claims, "default")
        found = evaluate_atoms(all_of("a", where={"id": {"other": "sub"}}), facts, token, settings.issuers[0], settings)
    assert [("it names no claim for default",)] == [leaf.why for leaf in found if not leaf.held]


def test_an_elevation_is_named(project, ask, plain, tmp_path):
    """What a subject holds by an elevation is told as such, as text and as JSON, and nobody else's."""
    pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{tmp_path / 'elevations.db'}"
    project.settings(OWN=False, ELEVATION=["orders:*"], STORE=url)
    token, route = project.authority.token("alice", ["orders:export"]), ("--route", "GET /orders")
    store = open_store(url)
    elevation = approve(store, "orders:list", time.time(), 600)
    store.close()
    code, out, _ = ask(token, *route)
    assert 0 == code
    for message in (
        f"orders:list: held by orders:list (elevation {elevation.id})",
        f"would pass, using orders:list by elevation {elevation.id}",
    ):
        assert message in out
    assert [elevation.id] == [grant["elevation"] for grant in plain(token, *route)["used"]]
    assert 1 == ask(project.authority.token("bob", ["orders:export"]), *route)[0]


def test_an_elevation_in_a_token_of_our_own_is_named(project, ask):
    """By the elevation, not by the claim that holds it."""
    claims = {"role_scope": {"elevation:e7": "orders:list"}, "lineage": {"iat": 0, "elevations": ["e7"]}}
    _, out, _ = ask(project.authority.token("alice", [], claims=claims), "--route", "GET /orders")
    assert "held by orders:list (elevation e7)" in out


@pytest.mark.parametrize(
    ("standing", "asked", "own"),
    [(True, True, False), (True, True, True), (False, True, False), (True, False, False)],
    ids=["by a plan", "in our own tokens", "by a revocation", "nobody may ask"],
)
def test_a_revoked_permission_is_told_as_such(project, ask, plain, tmp_path, standing, asked, own):
    """With the entry that refuses it, and how to get it again, by an elevation only where that would help."""
    pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{tmp_path / 'revocations.db'}"
    rules = {"orders:list": {"ask": "anyone" if asked else ["subject:bob"], "approve": "orders:approve"}}
    more = {} if own else {"ELEVATION": ["orders:*"]}
    project.settings(OWN=own, STORE=url, POLICY={"version": 1, "elevation": rules}, **more)
    store = open_store(url)
    store.revoke([entry("subject", "alice", pattern="orders:*", standing=standing)], at=time.time())
    (stored,) = store.revocations()
    token, route = project.authority.token("alice", ["orders:list"]), ("--route", "GET /orders")
    code, out, _ = ask(token, *route)
    assert 1 == code
    assert f"it was revoked: the entry {stored.entry.id} refuses it{', except by elevation' if standing else ''}" in out
    assert (standing and asked) == ("ask for an elevation: jwt-lp elevate request orders:list" in out)
    assert ("permission_revoked", False) == ((found := plain(token, *route))["cause"], found["asked"][0]["held"])
    store.close()


@pytest.mark.parametrize("standing", [True, False], ids=["by a plan", "by a revocation"])
def test_an_elevation_of_a_revoked_permission(project, ask, tmp_path, standing):
    """It is held by the elevation, not by the token's own grant, where the entry is for standing grants."""
    pytest.importorskip("sqlalchemy")
    url = f"sqlite:///{tmp_path / 'revocations.db'}"
    project.settings(OWN=False, ELEVATION=["orders:*"], STORE=url)
    store = open_store(url)
    store.revoke([entry("subject", "alice", pattern="orders:*", standing=standing)], at=time.time())
    elevation = approve(store, "orders:list", time.time(), 600)
    store.close()
    code, out, _ = ask(project.authority.token("alice", ["orders:list"]), "--route", "GET /orders")
    assert (0 if standing else 1) == code
    assert standing == (f"held by orders:list (elevation {elevation.id})" in out)
