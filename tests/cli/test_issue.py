from __future__ import annotations

import base64
import json
import time

import pytest

from jwt_lp.issuing.issuer import Issuer
from jwt_lp.jose.jws import fingerprint
from jwt_lp.jose.key_rotation import FOLDER, KeyRing, add_key
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.testing.authority import Authority

OWN = "https://id.example.com/"
POLICY = """
version = 1

[permissions]
"orders:list" = {}
"orders:export" = {}
"orders:archive" = {}
"orders:{order_id}:read" = {}

[roles.clerk]
grants = ["orders:list", "orders:*:read"]
from = ["second/role:clerk"]

[audiences.orders]
claims = ["tenant", "org"]
max_lifetime = "10m"
may_call = ["billing"]

[audiences.billing]

[clients.orders-api]
grants = ["orders:list"]
"""
SETTINGS = """
[jwt_lp]
policy = "least-privilege.toml"

[jwt_lp.issuers.own]
own = true
issuer = "https://id.example.com/"
audience = "orders"
algorithms = ["ES256"]
jwks_url = "https://id.example.com/jwks"
ceiling = ["**"]
"""
NAMED = ("--issuer", OWN, "--policy", "least-privilege.toml")


@pytest.fixture
def issuer_project(project):
    """A folder with signing keys, a policy, and settings whose issuer is ours."""
    add_key(FOLDER)
    project.write("least-privilege.toml", POLICY)
    project.write("settings.toml", SETTINGS)
    project.write("foreign.toml", SETTINGS.replace("own = true", "own = false"))
    return project


@pytest.fixture
def issue(issuer_project, cli):
    """`issue(*arguments)`: a token for alice."""

    def issue(*arguments):
        return cli("issue", "alice", "--client", "web", *arguments)

    return issue


@pytest.fixture
def token(issue):
    code, out, _ = issue("orders:list", "orders:7:read", "--settings", "settings.toml")
    assert 0 == code
    return out.strip()


@pytest.fixture
def narrow(issuer_project, cli):
    """`narrow(token, *arguments)`: the token comes through a pipe."""

    def narrow(token, *arguments, **more):
        return cli("narrow", "--settings", "settings.toml", *arguments, stdin=token, **more)

    return narrow


@pytest.fixture
def inspect(issuer_project, cli):
    """`inspect(token, *arguments)`: the token comes through a pipe."""

    def inspect(token, *arguments, **more):
        return cli("inspect", *arguments, stdin=token, COLUMNS="200", **more)

    return inspect


def _claims(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def _one_line(text):
    return " ".join(text.split())


# --- issue


def test_a_token_of_the_ring(issue):
    """Standard output has only the token, signed by the current key; standard error describes it."""
    code, out, err = issue("orders:list", "--audience", "orders", *NAMED)
    ring = KeyRing(FOLDER)
    token = Issuer(OWN, ring).verify(out.strip())
    assert (0, ["orders:list"], "web") == (code, [grant.text for grant in token.permissions], token.client)
    assert 300 == token.expires_at - token.issued_at
    assert f"signed with {ring.current.kid} in {FOLDER}/ for alice, until " in _one_line(err)
    assert f"; {len(out.strip())} characters" in _one_line(err)
    assert out.strip() not in err


def test_settings_say_who_issues(token):
    """The issuer that is OWN, its one audience and the policy are those of the settings."""
    claims = _claims(token)
    assert [OWN, "orders", "orders:list orders:7:read"] == [claims[name] for name in ("iss", "aud", "scope")]


def test_an_application_says_who_issues(issuer_project, cli):
    """Issuer, audience and policy come from an application, whether it is named or passed by its host."""
    issuer_project.settings(ISSUER=OWN, OWN=True, AUDIENCE=["orders"])
    code, out, _ = cli("issue", "alice", "x:y", "--client", "web", "--app", "shop:app")
    assert (0, OWN) == (code, _claims(out)["iss"])


def test_everything_that_a_token_may_say(issue):
    """Roles, a lifetime, claims of the audience's list, and permissions as positions."""
    code, out, _ = issue(
        "orders:list",
        "orders:export",
        "orders:archive",
        *("--role", "clerk", "--for", "90s", "--claim", "tenant=acme", "--claim", 'org:={"id": 7}'),
        *("--compact", "--settings", "settings.toml"),
    )
    claims = _claims(out)
    assert (0, 90, False) == (code, claims["exp"] - claims["iat"], "scope" in claims)
    assert [["clerk"], "acme", {"id": 7}] == [claims[name] for name in ("roles", "tenant", "org")]
    token = Issuer(OWN, KeyRing(FOLDER), policy=_policy()).verify(out.strip())
    assert {"orders:list", "orders:export", "orders:archive"} <= {grant.text for grant in token.permissions}


def _policy():
    from jwt_lp.policy.file import Policy

    return Policy.load("least-privilege.toml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("orders:delete",), "orders:delete is not in the catalogue"),
        (("--role", "boss"), "the policy has no role 'boss'"),
        (("--for", "1h"), "lives 600 s at most"),
        (("--audience", "nobody"), "is not an audience that tokens are issued for"),
        (("--claim", "email=a@b.c"), "may not carry 'email'"),
        (("a b",), "a b"),
    ],
)
def test_what_the_policy_does_not_allow(issue, arguments, message):
    """A token that the policy does not allow is refused with exit code 1, cause and remedy; none is printed."""
    code, out, err = issue("--settings", "settings.toml", *arguments)
    assert (1, "") == (code, out)
    assert message in _one_line(err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which issuer? pass --issuer URL"),
        (("--issuer", OWN), "which audience? pass --audience"),
        ((*NAMED, "--audience", "orders", "--keys", "nowhere"), "jwt-lp keys new --keys nowhere"),
        ((*NAMED, "--audience", "orders", "--for", "5"), "such as 90s, 15m or 1h"),
        ((*NAMED, "--audience", "orders", "--claim", "sub=bob"), "sub is set by SUBJECT"),
        (("--settings", "settings.toml", "--app", "shop:app"), "leave --settings out"),
        (("--settings", "none.toml"), "none.toml"),
        (("--issuer", OWN, "--audience", "orders", "--policy", "none.toml"), "none.toml"),
        (("--settings", "foreign.toml"), "0 issuers with OWN = true"),
        (("--settings", "foreign.toml", "--issuer", OWN), f"do not mark the issuer {OWN} as OWN"),
        (("--settings", "foreign.toml", "--issuer", "own"), "do not mark the issuer own as OWN"),
    ],
)
def test_wrong_usage(issue, arguments, message):
    """Missing or contradictory options exit with 2."""
    code, out, err = issue(*arguments)
    assert (2, "") == (code, out)
    assert message in _one_line(err)


def test_an_issuer_that_the_settings_do_not_have(issue):
    """--issuer may name an issuer that the settings do not have; then --audience is required."""
    arguments = ("--settings", "settings.toml", "--issuer", "https://other.example/")
    assert 2 == issue(*arguments)[0]
    assert "https://other.example/" == _claims(issue(*arguments, "--audience", "orders")[1])["iss"]


def test_several_audiences_are_named(issuer_project, issue):
    """If the settings have several audiences, --audience is required, and the error lists them."""
    issuer_project.write("settings.toml", SETTINGS.replace('audience = "orders"', 'audience = ["orders", "billing"]'))
    code, _, err = issue("--settings", "settings.toml")
    assert (2, True) == (code, "pass --audience, one of billing, orders" in _one_line(err))


def test_warnings_about_an_issued_token(issue, cli):
    """A token without permissions, and one that lives longer than a retired key is published."""
    assert "!! the token holds no permission" in _one_line(issue("--settings", "settings.toml")[2])
    assert 0 == cli("keys", "rotate", "--force", "--lifetime", "1m")[0]
    _, _, err = issue("orders:list", "--settings", "settings.toml")
    assert "!! the token lives longer than the key ring expects, 60 s" in _one_line(err)


# --- narrow


def test_a_narrower_token(narrow, token):
    """A downscoped token holds only the given permissions, expires no later, and names its ancestor."""
    code, out, err = narrow(token, "orders:7:read", "--for", "1m")
    claims = _claims(out)
    assert (0, "orders:7:read", [_claims(token)["jti"]]) == (code, claims["scope"], claims["lineage"]["ids"])
    assert claims["exp"] <= min(time.time() + 60, _claims(token)["exp"])
    assert f"downscoped from the token {fingerprint(token)}" in _one_line(err)
    assert [False] * 2 == [each in err for each in (token, out.strip())]


def test_a_client_acts(narrow, token):
    """--actor and --audience make a token for another service."""
    code, out, err = narrow(token, "orders:list", "--audience", "billing", "--actor", "orders-api")
    claims = _claims(out)
    assert (0, "billing", {"sub": "orders-api"}) == (code, claims["aud"], claims["act"])
    assert "for alice, orders-api acting, until " in _one_line(err)


@pytest.mark.parametrize("how", ["pipe", "file", "dash", "variable", "header"])
def test_where_the_token_comes_from(issuer_project, cli, token, how):
    """The token comes from standard input, a file or the environment, also as a copied header."""
    issuer_project.write("token.txt", token + "\n")
    given = {
        "pipe": {"stdin": token},
        "file": {"extra": ("--token-file", "token.txt")},
        "dash": {"stdin": token, "extra": ("--token-file", "-"), "JWT_LP_TOKEN": "another"},
        "variable": {"JWT_LP_TOKEN": token},
        "header": {"stdin": f"Authorization: Bearer {token}\n"},
    }[how]
    extra = given.pop("extra", ())
    code, out, _ = cli("narrow", "orders:list", "--settings", "settings.toml", *extra, **given)
    assert (0, "orders:list") == (code, _claims(out)["scope"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("orders:export",), "does not hold orders:export"),
        (("orders:list", "--audience", "elsewhere"), "may not be narrowed to one for 'elsewhere'"),
        (("orders:list", "--actor", "nobody"), "'nobody' is not a client of the policy"),
    ],
)
def test_downscoping_that_is_refused(narrow, token, arguments, message):
    """A permission that the original token lacks is refused with exit code 1."""
    code, out, err = narrow(token, *arguments)
    assert (1, "") == (code, out)
    assert message in _one_line(err)


def test_an_invalid_original_token(issuer_project, narrow, token):
    """An altered, foreign or malformed token exits with 1, and the error repeats nothing of it."""
    head, _, tail = token.split(".")
    forged = base64.urlsafe_b64encode(json.dumps({**_claims(token), "sub": "mallory"}).encode()).decode().rstrip("=")
    foreign = sign({**_claims(token), "iss": "https://evil.example/"}, SigningKey.generate())
    for bad, message in [
        (f"{head}.{forged}.{tail}", "signature: "),
        (foreign, "issuer: iss is 'https://evil.example/'"),
        ("not-a-token", "malformed: "),
    ]:
        code, out, err = narrow(bad, "orders:list")
        assert (1, "") == (code, out)
        assert message in _one_line(err)
        assert bad not in err


def test_another_issuer_s_token(issuer_project, narrow, cli):
    """A token of a trusted issuer can be downscoped, and the new token keeps its original subject."""
    authority = Authority()
    theirs = authority.settings(AUDIENCE="orders", OWN=False, CEILING=["**"])
    second = {name: theirs[name] for name in ("ISSUER", "AUDIENCE", "ALGORITHMS", "JWKS", "CEILING")}
    own = {"OWN": True, "ISSUER": OWN, "AUDIENCE": "orders", "ALGORITHMS": ["ES256"]}
    own |= {"JWKS_URL": "https://id.example.com/jwks", "CEILING": ["**"]}
    both = {"POLICY": "least-privilege.toml", "ISSUERS": {"own": own, "second": second}}
    issuer_project.write("both.py", f"JWT_LP = {both!r}")
    parent = authority.token("bob", ["orders:list"], claims={"aud": "orders"})
    code, out, err = narrow(parent, "orders:list", "--settings", "both")
    assert (0, True) == (code, "for second:bob, until " in _one_line(err)), err
    assert "bob" == _claims(out)["sub_id"]["sub"]
    for subject, client in (("alice", "second:web"), ("second:bob", "web")):
        code, out, err = cli("issue", subject, "--client", client, "--settings", "both")
        assert (1, "") == (code, out)
        assert "begins with the name of another issuer" in _one_line(err)


@pytest.mark.parametrize(
    ("stdin", "arguments", "message"),
    [
        ("", (), "the token is empty"),
        ("  \n", ("--token-file", "-"), "the token is empty"),
        ("", ("--token-file", "none.txt"), "none.txt cannot be read: No such file"),
        ("", ("--token-file", "binary"), "binary cannot be read: it is not text"),
    ],
)
def test_no_token(issuer_project, narrow, stdin, arguments, message):
    """Without a token, the usage is wrong."""
    (issuer_project.folder / "binary").write_bytes(b"\xff\xfe")
    code, out, err = narrow(stdin, *arguments)
    assert (2, "") == (code, out)
    assert message in _one_line(err)


# --- inspect


def test_what_a_token_holds(inspect, token):
    """The first line says that nothing is verified; identity, times, permissions and sizes follow."""
    code, out, err = inspect(token)
    lines = out.splitlines()
    assert (0, "") == (code, err)
    assert lines[0].startswith("!! not verified: anybody can make such a token")
    shown = dict(line.split(maxsplit=1) for line in lines[1:])
    assert f"{fingerprint(token)}, {len(token)} characters" == shown["token"]
    assert [OWN, "alice", "orders", "web"] == [shown[name] for name in ("issuer", "subject", "audience", "client")]
    assert "2: orders:list orders:7:read" == shown["scope"]
    assert shown["expires"].endswith("(in 5 minutes)")
    assert token not in out


def test_nothing_is_verified(inspect):
    """An invalid token is shown too: expired, without issuer, or signed with any key."""
    code, out, _ = inspect(sign({"iss": "https://evil.example/", "exp": 1, "scope": "a:b"}, SigningKey.generate()))
    assert 0 == code
    assert ["https://evil.example/", "1970-01-01T00:00:01Z", "1: a:b"] == [
        next(line for line in out.splitlines() if line.startswith(name)).split(maxsplit=1)[1][:length]
        for name, length in (("issuer", 21), ("expires", 20), ("scope", 6))
    ]


def test_every_kind_of_permission(issuer_project, inspect):
    """Permissions, compact permissions, roles and permissions held through a role are shown."""
    claims = {"iss": OWN, "scope": "a:b", "roles": ["clerk"], "role_scope": {"clerk": "orders:list"}, "cperm": ""}
    claims["cperm"] = _policy().encode(["orders:list", "orders:archive"])
    token = sign(claims, SigningKey.generate())
    code, out, _ = inspect(token, "--policy", "least-privilege.toml", "--json")
    assert (0, [("scope", ["a:b"]), ("roles", ["clerk"])]) == (code, _permissions(out)[:2])
    assert [("cperm", ["orders:list", "orders:archive"]), ("role_scope clerk", ["orders:list"])] == _permissions(out)[
        2:
    ]
    assert "positions in a catalogue: pass --policy or --settings" in _one_line(inspect(token)[1])
    assert ("cperm", ["orders:list", "orders:archive"]) in _permissions(
        inspect(token, "--settings", "settings.toml", "--json")[1]
    )


def _permissions(out):
    return [(each["claim"], each["values"]) for each in json.loads(out)["permissions"]]


def test_where_a_token_comes_from(narrow, inspect, token):
    """Ancestors, clients and actors are shown."""
    _, made, _ = narrow(token, "orders:list", "--audience", "billing", "--actor", "orders-api")
    descent = json.loads(inspect(made, "--json")[1])["descent"]
    assert ([_claims(token)["jti"]], ["web"], ["orders-api"]) == tuple(
        descent[name] for name in ("ancestors", "clients", "actors")
    )
    assert "orders-api" in next(line for line in inspect(made)[1].splitlines() if line.startswith("actors"))


@pytest.mark.parametrize(
    ("cnf", "methods", "message"),
    [({"jkt": "s3cret", "x5t#S256": "s3cret"}, ["jkt", "x5t#S256"], "jkt, x5t#S256"), ("s3cret", [], "no method")],
)
def test_a_token_that_is_bound_to_a_key_says_so(inspect, cnf, methods, message):
    """The confirmation methods are shown without the key, and what they mean; a bearer token has no such line."""
    token = sign({"iss": OWN, "cnf": cnf}, SigningKey.generate())
    out = inspect(token)[1]
    assert f"to a key ({message}): refused unless SENDER_CONSTRAINED names the method" in _one_line(out)
    assert methods == json.loads(inspect(token, "--json")[1])["bound"]
    assert "s3cret" not in out
    assert None is json.loads(inspect(sign({"iss": OWN}, SigningKey.generate()), "--json")[1])["bound"]


def test_sizes_of_claims(inspect):
    """Sizes are listed by claim, the largest first, and add up to nearly the size of the token."""
    token = sign({"iss": OWN, "avatar": "x" * 400, "sub": "alice"}, SigningKey.generate())
    sizes = json.loads(inspect(token, "--json")[1])["sizes"]
    assert (["avatar", "(signature)"], True) == ([*sizes][:2], abs(sum(sizes.values()) - len(token)) < 10)


def test_other_values_are_not_shown(inspect):
    """Of other claims only the names are shown, and of malformed claims only that they are malformed."""
    hidden = "s3cret-value"
    claims = {"iss": OWN, "email": hidden, "aud": {"x": hidden}, "sub": [hidden, 1], "iat": hidden, "cperm": [hidden]}
    claims |= {
        "role_scope": {"clerk": [hidden]},
        "lineage": hidden,
        "act": {"sub": 7, "x": hidden},
        "scope": {"x": hidden},
    }
    token = sign(claims, SigningKey.generate())
    for arguments in ((), ("--json",)):
        code, out, err = inspect(token, *arguments)
        assert (0, False, True) == (code, hidden in out + err, "email" in out)
    assert "iat" not in json.loads(out)["identity"]


@pytest.mark.parametrize(
    ("claims", "descent"),
    [
        ({"act": {"sub": "svc"}}, {"actors": ["svc"]}),
        ({"act": {"sub": 7}}, {"fault": "lineage is not in the form that our issuers use"}),
        ({"lineage": 1, "act": {"sub": "svc"}}, {"fault": "lineage is not in the form that our issuers use"}),
        ({}, {}),
        ({"role_scope": 1}, {}),
    ],
)
def test_descent_in_other_shapes(inspect, claims, descent):
    """An actor in another issuer's token is shown, and a lineage in another form is reported."""
    code, out, _ = inspect(sign({"iss": OWN, **claims}, SigningKey.generate()), "--json")
    assert (0, descent) == (code, json.loads(out)["descent"])


def test_control_characters_are_escaped(inspect):
    """No control character of the token comes out, in a claim, its name or the header."""
    evil = "a\x1b[2J\u202e"
    claims = {"iss": evil, "sub": evil, "aud": [evil], "scope": evil, evil: 1, "role_scope": {evil: evil}, "jti": evil}
    key = SigningKey.generate(kid="b")
    for arguments in ((), ("--json",)):
        code, out, err = inspect(sign(claims, key, typ=evil), *arguments)
        assert (0, False) == (code, any(char in out + err for char in "\x1b\u202e"))


def test_a_settings_profile_counts(project, inspect):
    """With settings, permissions are read by the issuer's own profile."""
    project.settings(ISSUER=OWN, PROFILE="auth0")
    token = sign({"iss": OWN, "permissions": ["orders:list"]}, SigningKey.generate())
    assert ("permissions", ["orders:list"]) in _permissions(inspect(token, "--app", "shop:app", "--json")[1])
    assert [] == _permissions(inspect(token, "--json")[1])


def test_a_file_is_piped_in(issuer_project, inspect):
    """A file name instead of a token is refused, and the error says how to pass a file."""
    (issuer_project.folder / "b.txt").touch()
    found, out, err = inspect("", "b.txt")
    assert (2, "", True) == (found, out, "b.txt is a file: pass - and < b.txt" in _one_line(err))
    assert 2 == inspect("", "x" * 5000)[0]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        ((), "x.y", 1, "malformed: "),
        ((), "", 2, "the token is empty"),
        (("SECRET.TOKEN.HERE",), "", 2, "others can read a token given as an argument"),
        (("-", "--token-file", "x"), "", 2, "exclude each other"),
        (("-",), "", 2, "the token is empty"),
    ],
)
def test_what_cannot_be_inspected(inspect, arguments, stdin, code, message):
    """Text that is not a token exits with 1, wrong usage with 2; an argument is not repeated."""
    found, out, err = inspect(stdin, *arguments)
    assert (code, "", False) == (found, out, "SECRET" in err)
    assert message in _one_line(err)
