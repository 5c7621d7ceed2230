from __future__ import annotations

import base64
import json
import re

import pytest

from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.lint.linter import RULES, SEVERITIES

KEY = SigningKey.generate("ES256", kid="k1")
GOOD = {
    "iss": "https://issuer.test",
    "sub": "alice",
    "aud": "orders-api",
    "client_id": "web",
    "iat": 1_800_000_000,
    "exp": 1_800_000_300,
    "jti": "5f0c6a1e",
    "scope": "orders:list",
}
VALUE = "marked-value"
POLICY = 'version = 1\n[permissions]\n"orders:read" = {}\n'


def token(**changes):
    return sign({**GOOD, **changes}, KEY)


@pytest.fixture
def tokens(project):
    """Write tokens into a file, one on each line."""

    def write(*lines, name="tokens.txt"):
        project.write(name, "\n".join(lines) + "\n")
        return name

    return write


def test_a_good_token_is_clean(cli, tokens):
    """A clean token has no findings, and the output says so."""
    code, out, err = cli("lint", tokens(token()))
    assert (0, "") == (code, err)
    assert re.fullmatch(r"tokens.txt:1: token [0-9a-f]{12}, \d+ characters\n0 errors, 0 warnings, 0 notes\n", out)


def test_a_token_that_is_too_long_for_the_guard(cli, tokens):
    """A token longer than 16 KiB is linted too, and has a fingerprint."""
    _, out, _ = cli("lint", tokens(token(note="x" * 20_000)))
    assert re.search(r"^tokens.txt:1: token [0-9a-f]{12}, \d\d,\d{3} characters$", out, re.MULTILINE)


def test_a_finding_says_where_what_and_what_to_do(cli, tokens):
    """A finding has its severity, id, claim, size and remedy, and never the claim's value."""
    code, out, _ = cli("lint", tokens(token(email=f"{VALUE}@example.com")))
    assert 1 == code
    assert re.search(r"^warning +pii-claim +email is named like personal data \(\d\d characters\)$", out, re.MULTILINE)
    assert RULES["pii-claim"].remedy in " ".join(out.split())
    assert VALUE not in out


@pytest.mark.parametrize("form", ["text", "json", "sarif"])
def test_no_format_says_a_value(cli, tokens, form):
    """Values, permissions and the token itself are in no output."""
    made = token(email=VALUE, tenant={"password": VALUE}, scope=f"{VALUE}:*", roles=[VALUE], **{f"{VALUE}@a.test": 1})
    code, out, err = cli("lint", tokens(made), "--format", form)
    assert 1 == code
    assert VALUE not in out + err
    assert made not in out + err
    assert made.split(".")[1] not in out + err


def test_a_file_of_several_tokens(cli, tokens):
    """Blank lines and comments are skipped, `Bearer` is no part of a token, and findings say their line."""
    name = tokens("# staging", "", f"Bearer {token()}", "", f"  {token(nonce='n')}")
    code, out, _ = cli("lint", name, "--format", "json")
    found = json.loads(out)
    assert (1, True, []) == (code, found["failed"], found["unreadable"])
    assert [(name, 3, []), (name, 5, ["not-access-token"])] == [
        (each["file"], each["line"], [finding["id"] for finding in each["findings"]]) for each in found["tokens"]
    ]


def test_the_same_token_has_the_same_digest(cli, tokens):
    """With `Bearer` or without, in a file or not."""
    made = token()
    name = tokens(made, f"bearer {made}")
    digests = {each["token"] for each in json.loads(cli("lint", name, "--format", "json")[1])["tokens"]}
    digests |= {json.loads(cli("lint", "-", "--format", "json", stdin=made)[1])["tokens"][0]["token"]}
    assert 1 == len(digests)


def test_standard_input(cli):
    """Standard input is read for `-`, and without an argument if it is not a terminal."""
    assert [(0, True), (0, True)] == [
        (code, "0 errors" in out)
        for code, out, _ in (cli("lint", "-", stdin=token()), cli("lint", stdin=f"\n{token()}\n"))
    ]


def test_a_token_as_an_argument(cli):
    """A token as an argument works, with a warning about the shell's history."""
    for words in ([token()], ["Bearer", token()]):
        code, out, err = cli("lint", *words)
        assert 0 == code
        assert "0 errors" in out
        assert "stays in the shell's history" in err


@pytest.mark.parametrize(
    ("scope", "least", "code"),
    [
        pytest.param("orders:purge", "note", 1, id="a note is enough"),
        pytest.param("orders:purge", None, 0, id="a note is not"),
        pytest.param("orders:sell", None, 1, id="a warning is enough"),
        pytest.param("orders:sell", "error", 0, id="a warning is not"),
        pytest.param("**", "error", 1, id="an error is enough"),
        pytest.param("**", "never", 0, id="never"),
    ],
)
def test_exit_codes(cli, project, tokens, scope, least, code):
    """The exit code is 1 for a finding of at least `--fail-on`, which is a warning by default."""
    project.write("p.toml", 'version = 1\n[permissions]\n"orders:purge" = {risk = "high"}\n')
    options = ["--fail-on", least] if least else []
    assert code == cli("lint", tokens(token(scope=scope)), "--policy", "p.toml", *options)[0]


def test_a_line_that_is_not_a_token_is_reported(cli, tokens):
    """A line that is not a token is reported, the other lines are linted, and the exit code is 2."""
    name = tokens(token(nonce="n"), "junk", "a.b.c.d.e")
    code, out, err = cli("lint", name)
    assert 2 == code
    assert "not-access-token" in out
    assert "tokens.txt:2: it is not a JWT: a JWT has three parts separated by dots" in err
    assert "tokens.txt:3: it is encrypted (JWE)" in err
    found = json.loads(cli("lint", name, "--format", "json")[1])
    assert [2, 3] == [each["line"] for each in found["unreadable"]]
    (run,) = json.loads(cli("lint", name, "--format", "sarif")[1])["runs"]
    (invocation,) = run["invocations"]
    assert False is invocation["executionSuccessful"]
    assert [2, 3] == [
        each["locations"][0]["physicalLocation"]["region"]["startLine"]
        for each in invocation["toolExecutionNotifications"]
    ]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        pytest.param(["nothing.txt"], "", "neither an existing file nor a JWT", id="no file"),
        pytest.param([f"{VALUE}.x"], "", "neither an existing file nor a JWT", id="no token"),
        pytest.param(["x" * 5000], "", "neither an existing file nor a JWT", id="too long for a file"),
        pytest.param(["a\0b"], "", "neither an existing file nor a JWT", id="no name of a file"),
        pytest.param(["."], "", "cannot be read", id="a folder"),
        pytest.param(["a", "b"], "", "one token or file at a time", id="two"),
        pytest.param(["-"], "", "the input has no token", id="nothing"),
        pytest.param(["-"], "# a comment\n", "the input has no token", id="only a comment"),
        pytest.param(["-"], "\ud800".encode("utf-8", "surrogatepass"), "it is not a JWT", id="no text"),
        pytest.param(["-"], "x" * 9_000_000, "standard input is longer than", id="a long one"),
        pytest.param(["-"], "eyJ9." + "x" * 1_000_000 + ".", "is longer than", id="a long token"),
        pytest.param(["-", "--only", "pii-clam"], "", "did you mean 'pii-claim'?", id="no such check"),
        pytest.param(["-", "--policy", "none.toml"], "", "cannot be read", id="no policy"),
        pytest.param(["-", "--app", "a:b", "--settings", "env"], "", "leave --settings out", id="both"),
    ],
)
def test_wrong_usage(cli, project, arguments, stdin, message):
    """Wrong usage exits with 2, and the error does not repeat the input."""
    code, out, err = cli("lint", *arguments, stdin=stdin)
    assert (2, "") == (code, out)
    assert message in " ".join(err.split())
    assert VALUE not in err


def test_only_and_skip(cli, tokens):
    """--only and --skip select checks, and the output lists the skipped ones."""
    name = tokens(token(nonce="n", email="x"))
    code, out, _ = cli("lint", name, "--only", "pii-claim")
    assert 1 == code
    assert "not-access-token" not in out.splitlines()[1]
    assert f"{len(RULES) - 1} checks left out" in out
    code, out, _ = cli("lint", name, "--skip", "pii-claim", "--skip", "not-access-token")
    assert 0 == code
    assert "2 checks left out: not-access-token, pii-claim" in out


def test_a_policy_is_held_against(cli, project, tokens):
    """With `--policy`, permissions are compared with the catalogue."""
    project.write("p.toml", POLICY)
    name = tokens(token())
    assert "permission-unknown" in cli("lint", name, "--policy", "p.toml")[1]
    assert "permission-unknown" not in cli("lint", name)[1]


LINT = """
[lint]
read = ["colour"]
exempt = [
  {id = "pii-claim", claim = "email", until = 2999-03-31, reason = "support desk"},
  {id = "size", until = "2020-01-01", reason = "they were long"},
]
[lint.severity]
jti-missing = "note"
"""


def test_a_file_with_lint_alone(cli, project, tokens):
    """`[lint]` needs no issuer; exempted findings are counted, and an expired exemption is reported once."""
    project.write("lint.toml", LINT)
    name = tokens(token(email="x", colour="red", jti=""), token(email="x"))
    code, out, _ = cli("lint", name, "--settings", "lint.toml")
    assert 1 == code
    assert 2 == out.count("; 1 exempt, not fixed")
    assert 1 == " ".join(out.split()).count("the exemption from size ended on 2020-01-01: they were long")
    assert "dead-claim" not in out
    assert re.search(r"^note +jti-missing", out, re.MULTILINE)
    (exempt,) = json.loads(cli("lint", name, "--settings", "lint.toml", "--format", "json")[1])["tokens"][1]["exempt"]
    assert ("pii-claim", "support desk", "2999-03-31") == (exempt["id"], exempt["reason"], exempt["until"])


def test_faults_of_the_options(cli, project, tokens):
    """Faults of the lint settings are reported with file and key."""
    project.write("lint.toml", '[lint.severity]\nsice = "off"\n')
    code, _, err = cli("lint", tokens(token()), "--settings", "lint.toml")
    assert 2 == code
    assert "lint.toml: lint.severity.sice: unknown key; did you mean 'size'?" in err


def test_permissions_are_compared_with_the_routes(cli, project, tokens):
    """With an application, unrequired permissions are found, and claims that routes or settings name count as read."""
    project.settings(
        BIND={"tenant": "org_id"}, LINT={"read": ["colour"]}, CLAIMS={"orders-api": {"claims": ["region"]}}
    )
    name = tokens(token(scope="orders:list orders:fax", org_id="a", colour="red", region="eu", shade="dark"))
    for where in (["--app", "shop:create_app()"], ["--settings", "shop"]):
        code, out, _ = cli("lint", name, *where)
        assert 1 == code
        dead = re.findall(r"no verifier reads (\w+)", out)
        assert ["shade"] == dead
        assert (where[0] == "--app") is (
            "1 of 2 permissions in scope: required by no route (number 2)" in " ".join(out.split())
        )


def test_a_hosts_own_command_asks_its_application(cli, app, tokens):
    """`manage.py jwt_lp lint` compares tokens with the project's own routes."""
    out = cli("lint", tokens(token(scope="orders:fax")), given=(app,))[1]
    assert "permission-unasked" in out


SARIF_ROOT = {"$schema", "version", "runs"}


def test_sarif(cli, project, tokens):
    """The log is valid SARIF 2.1.0: every rule, and for each result its rule, level, text and location."""
    project.write("lint.toml", LINT)
    name = tokens(token(email="x", nonce="n", tenant="x" * 1100), name="a b.txt")
    code, out, err = cli("lint", name, "--format", "sarif", "--settings", "lint.toml")
    log = json.loads(out)
    assert (1, "") == (code, err)
    assert SARIF_ROOT == set(log)
    assert "2.1.0" == log["version"]
    assert log["$schema"].endswith("/sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert "jwt-lp" == driver["name"]
    assert list(RULES) == [rule["id"] for rule in driver["rules"]]
    for rule in driver["rules"]:
        assert rule["defaultConfiguration"]["level"] in SEVERITIES
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
    assert [{"executionSuccessful": True, "toolExecutionNotifications": []}] == run["invocations"]
    assert ["not-access-token", "size", "dead-claim", "exemption-expired", "pii-claim"] == [
        result["ruleId"] for result in run["results"]
    ]
    for result in run["results"]:
        assert result["ruleId"] == driver["rules"][result["ruleIndex"]]["id"]
        assert result["level"] in SEVERITIES
        assert result["message"]["text"]
        (place,) = result["locations"]
        assert {"artifactLocation": {"uri": "a%20b.txt"}, "region": {"startLine": 1}} == place["physicalLocation"]
        (logical,) = place["logicalLocations"]
        assert {"name", "fullyQualifiedName", "kind"} == set(logical)
        assert re.fullmatch(r"[0-9a-f]{64}", result["partialFingerprints"]["jwtLpClaim/v1"])
    *found, exempt = run["results"]
    assert [False] * 4 == ["suppressions" in result for result in found]
    (suppression,) = exempt["suppressions"]
    assert {"kind": "external", "justification": "support desk (until 2999-03-31)"} == suppression
    assert ["payload.nonce", "token"] == [
        result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] for result in found[:2]
    ]


def test_sarif_of_standard_input_has_no_file(cli):
    """Without a file, a location is only the claim, and header parameters differ from claims."""
    made = sign(GOOD, KEY, typ="JWT")
    (run,) = json.loads(cli("lint", "-", "--format", "sarif", stdin=made)[1])["runs"]
    (result,) = run["results"]
    logical = {"name": "typ", "fullyQualifiedName": "header.typ", "kind": "property"}
    assert [{"logicalLocations": [logical]}] == result["locations"]


def test_sarif_of_an_absolute_path(cli, project, tokens):
    """An absolute path is a file's address."""
    path = project.folder / tokens(token(nonce="n"))
    (run,) = json.loads(cli("lint", str(path), "--format", "sarif")[1])["runs"]
    (place,) = run["results"][0]["locations"]
    assert path.as_uri() == place["physicalLocation"]["artifactLocation"]["uri"]


def test_fingerprints_are_of_names(cli):
    """Two values of one claim have the same fingerprint, two claims have not."""

    def fingerprints(**claims):
        (run,) = json.loads(cli("lint", "-", "--format", "sarif", stdin=token(**claims))[1])["runs"]
        return [result["partialFingerprints"]["jwtLpClaim/v1"] for result in run["results"]]

    assert fingerprints(email="a") == fingerprints(email="b") != fingerprints(phone="a")


def test_names_cannot_steer_a_terminal(cli):
    """A claim's name is printed escaped."""
    out = cli("lint", "-", stdin=token(**{"\x1b[2Jcolour\nerror": 1}))[1]
    assert "no verifier reads \\x1b[2Jcolour\\nerror" in " ".join(out.split())


def test_it_is_a_command(project):
    """A real process, with an unsigned token that has expired long ago."""
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in ({"alg": "none"}, {})]
    code, out, _ = project.run("lint", "-", stdin=".".join([*parts, ""]))
    assert 1 == code
    assert "alg-none" in out
