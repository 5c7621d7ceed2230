from __future__ import annotations

import base64
import json
import stat

import pytest

from jwt_lp import Guard
from jwt_lp.guard.decisions import Call
from jwt_lp.permissions.requirements import all_of

POLICY = {
    "version": 1,
    "roles": {
        "clerk": {"grants": ["orders:list"], "from": ["realm:orders-clerk", "role:clerk"]},
        "raised": {"grants": ["orders:audit"], "from": ["ceiling:scope:x"]},
        "other": {"grants": ["orders:audit"], "from": ["second/role:other"]},
    },
}


@pytest.fixture
def make(project, cli):
    """Make a token for alice with the project's settings, in development."""

    def make(*arguments, dev="1"):
        return cli("token", "alice", *arguments, "--settings", "shop", JWT_LP_DEV=dev)

    return make


def _claims(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def test_the_guard_takes_it_from_this_machine(project, make, monkeypatch):
    """Standard output has only the token, and a development guard accepts it only from loopback."""
    code, out, err = make("orders:*", "--for", "90s")
    monkeypatch.setenv("JWT_LP_DEV", "1")
    with Guard(project.authority.settings()) as guard:
        header, asked = f"Bearer {out.strip()}", all_of("orders:read")
        calls = [Call("GET", lambda: "", lambda _: (), "", peer) for peer in ("127.0.0.1", "192.0.2.7")]
        assert [True, False] == [guard.check(header, asked, {}, "GET /orders", call=call).passes for call in calls]
    assert (0, 1) == (code, len(out.split()))
    assert "curl -H" in err
    assert out.strip() not in err


def test_only_the_owner_can_read_the_development_key(project, make):
    """The key's file is readable by its owner only, in a folder that keeps itself out of version control."""
    make()
    folder = project.folder / ".jwt-lp"
    assert 0o600 == stat.S_IMODE((folder / "development-key.json").stat().st_mode)
    assert "*\n" == (folder / ".gitignore").read_text(encoding="utf-8")


@pytest.mark.parametrize("dev", [None, "", "0", "true"])
def test_it_needs_development(make, dev):
    """Without JWT_LP_DEV=1 no token is made, and the refusal says so."""
    code, out, err = make(dev=dev)
    assert (2, "") == (code, out)
    assert "export JWT_LP_DEV=1" in err


def test_the_usual_token_lives_15_minutes(make):
    """Without --for a token lives for 15 minutes."""
    claims = _claims(make()[1])
    assert 900 == claims["exp"] - claims["iat"]


@pytest.mark.parametrize(("message", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600)])
def test_lifetimes(make, message, seconds):
    """--for takes seconds, minutes and hours."""
    claims = _claims(make("--for", message)[1])
    assert seconds == claims["exp"] - claims["iat"]


@pytest.mark.parametrize("message", ["90", "1d", "-5m", "0s", "1.5h", "", "15 m"])
def test_invalid_lifetimes(make, message):
    """Any other lifetime is wrong usage."""
    code, out, err = make("--for", message)
    assert (2, "") == (code, out)
    assert "such as 90s, 15m or 1h" in err


def test_a_lifetime_that_the_guard_would_refuse(project, make):
    """A token that lives longer than MAX_LIFETIME is not made."""
    project.settings(MAX_LIFETIME=60)
    code, out, err = make()
    assert (2, "") == (code, out)
    assert "--for is longer than MAX_LIFETIME, 60 s" in err


def test_claims(make):
    """--claim adds text, or with := any JSON; --client says who asked for the token."""
    claims = _claims(
        make("--claim", "tenant=42", "--claim", 'org:={"id": 7}', "--claim", "x=a=b", "--client", "spa")[1]
    )
    assert ["42", {"id": 7}, "a=b", "spa"] == [claims[name] for name in ("tenant", "org", "x", "client_id")]


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("tenant", "write name=text"),
        ("=x", "write name=text"),
        ("org:={", "the value of org:= is not JSON"),
        ("sub=x", "sub is set by SUBJECT"),
        ("exp:=1", "exp is set by --for"),
    ],
)
def test_invalid_claims(make, claim, message):
    """A claim that is not well written, or that an option sets, is wrong usage."""
    code, out, err = make("--claim", claim)
    assert (2, "") == (code, out)
    assert message in " ".join(err.split())


def test_roles_of_our_own_issuer(project, make):
    """For an OWN issuer, the token has the policy's name of the role."""
    project.authority = type(project.authority)(policy=POLICY)
    project.settings()
    code, out, err = make("--role", "clerk")
    assert (0, ["clerk"]) == (code, _claims(out)["roles"])
    assert "warning" not in err


def test_roles_of_a_provider(project, make):
    """For a provider, the token has the external role, in the claim of the provider."""
    project.settings(OWN=False, PROFILE="keycloak", POLICY=POLICY)
    code, out, err = make("--role", "clerk")
    assert (0, {"roles": ["orders-clerk"]}) == (code, _claims(out)["realm_access"])
    assert "warning" not in err


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("clark", "the policy has no role 'clark'; its roles are: clerk, raised, other"),
        ("raised", "no role of default confers raised"),
        ("other", "no role of default confers other"),
    ],
)
def test_roles_that_no_token_can_carry(project, make, role, message):
    """A role that does not exist or has no external role is wrong usage."""
    project.settings(OWN=False, PROFILE="keycloak", POLICY=POLICY)
    code, out, err = make("--role", role)
    assert (2, "") == (code, out)
    assert message in err


def test_no_policy_no_role(make):
    """Without a policy, --role is wrong usage."""
    assert "its roles are: none" in make("--role", "clerk")[2]


@pytest.fixture
def several(project):
    """Two issuers, each with a ceiling."""
    one = {name: value for name, value in project.authority.settings().items() if name != "POLICY"}
    two = {**one, "ISSUER": "https://second.test", "OWN": False, "PROFILE": "auth0", "CEILING": ["orders:**"]}
    found = {"ISSUERS": {"First": {**one, "CEILING": ["**"]}, "second": two}, "POLICY": POLICY}
    project.write("settings.json", json.dumps(found))


def test_one_of_several_issuers_must_be_named(several, make):
    """With several issuers one has to be named, in any case of letters."""
    code, out, err = make()
    assert (2, "") == (code, out)
    assert "--issuer must be one of first, second" in err
    assert "--issuer must be one of" in make("--issuer", "third")[2]
    assert "https://second.test" == _claims(make("--issuer", "SECOND")[1])["iss"]


def test_with_several_issuers_a_role_names_its_own(several, make):
    """With several issuers only an entry that names the issuer confers a role."""
    assert "no role of second confers clerk" in make("--issuer", "second", "--role", "clerk")[2]


def test_permissions_that_are_not_conferred_cause_a_warning(several, make):
    """Permissions that a ceiling cuts cause a warning, and the token is made."""
    code, out, err = make("users:read", "orders:list", "--issuer", "second")
    message = " ".join(err.split())
    assert 0 == code
    assert "users:read" in _claims(out)["scope"]
    assert "warning: users:read is not conferred" in message
    assert "warning: orders:list" not in message


def test_a_role_without_a_claim_is_refused(project, make):
    """A role of an issuer of ours whose profile has no claim for it is refused."""
    project.settings(OWN=True, PROFILE="auth0", POLICY=POLICY)
    code, _, message = make("--role", "clerk")
    assert (2, True) == (code, "has no claim for 'clerk'" in " ".join(message.split()))


def test_a_role_that_a_ceiling_cuts_causes_a_warning(project, make):
    """Where the client's scope has to cover a role's grants too, the warning says what to add."""
    project.settings(OWN=False, PROFILE="rfc9068", POLICY=POLICY)
    message = " ".join(make("--role", "clerk")[2].split())
    assert "a ceiling cuts orders:list, which a role grants: name it as a PERMISSION too" in message
    assert "a ceiling cuts" not in make("orders:list", "--role", "clerk")[2]


@pytest.mark.parametrize(
    ("permission", "message"),
    [
        ("orders read", "is not a permission: it has a character that is not allowed"),
        ("orders:*", "orders:*: wildcards have no effect in tokens of default, which has neither OWN nor PATTERNS"),
    ],
)
def test_permissions_that_would_confer_nothing(project, make, permission, message):
    """A permission that no token can carry to this guard is wrong usage."""
    project.settings(OWN=False, PROFILE="keycloak")
    code, out, err = make(permission)
    assert (2, "") == (code, out)
    assert message in err


def test_an_invalid_token_causes_a_warning(make):
    """A claim that makes the token invalid causes a warning; the token is made, because a test may need it."""
    code, out, err = make("--claim", "aud=elsewhere")
    assert (0, "elsewhere") == (code, _claims(out)["aud"])
    assert "warning: the guard will refuse this token: aud is 'elsewhere'" in " ".join(err.split())


def test_the_settings_of_an_application(project, cli, app, monkeypatch):
    """The settings come from --app, or from the application that a host passed."""
    monkeypatch.setenv("JWT_LP_DEV", "1")
    found = [cli("token", "alice", "--app", "shop:app"), cli("token", "alice", given=(app,))]
    assert [0, 0] == [code for code, _, _ in found]
    assert {"https://authority.test"} == {_claims(out)["iss"] for _, out, _ in found}


def test_two_sources_of_settings(make):
    """--app and --settings together are wrong usage."""
    assert "leave --settings out" in make("--app", "shop:app")[2]


def test_a_key_that_others_can_read(project, make):
    """A development key that others can read is not used."""
    make()
    (project.folder / ".jwt-lp" / "development-key.json").chmod(0o644)
    code, out, err = make()
    assert (2, "") == (code, out)
    assert "chmod 600" in err
