from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64encode

import pytest

from jwt_lp.cli.holder_options import parse_end
from jwt_lp.cli.propagation import wait_until_known
from jwt_lp.stores import ObservedGrant, ProcessHeartbeat, UsageBatch, open_store
from servers import REDIS, redis_server

pytest.importorskip("sqlalchemy")

URL = "sqlite:///jwt-lp.db"
ISSUER = "https://issuer.test/"


@pytest.fixture
def run(project, cli):
    """`run(*arguments)`: a command on the store of the project's folder."""

    def run(*arguments, **more):
        code, out, err = cli(*arguments, JWT_LP_STORE=URL, COLUMNS="400", **more)
        return code, " ".join(out.split()), " ".join(err.split())

    return run


@pytest.fixture
def store(project):
    """The same store, that knows one issuer."""
    found = open_store(URL)
    found.record(UsageBatch(id="a", observed_grants=[ObservedGrant(ISSUER, "alice", "", "", "orders:*", "2026-01-01")]))
    yield found
    found.close()


def _entries(store, **more):
    return [each.entry for each in store.revocations(**more)]


def _beat(sequence=0, at=None, process="p"):
    return ProcessHeartbeat(process, "orders", "host", 7, sequence, "", 0.0, time.time() if at is None else at)


def test_a_permission(store, run):
    """A deny entry for one subject is described, and stored with its author and reason."""
    code, out, _ = run("revoke", "permission", "orders:read", "--subject", "alice", "--reason", "left", "--by", "carol")
    (found,) = store.revocations()
    entry = found.entry
    assert ("subject", ISSUER, "alice", "orders:read", (), None, None) == (
        entry.of, entry.issuer, entry.name, entry.pattern, entry.keep, entry.before, entry.until,
    )  # fmt: skip
    assert ("left", "carol", 0) == (entry.reason, found.by, code)
    assert (
        f"{entry.id}: orders:read is refused to the subject alice of {ISSUER}, until this is lifted "
        "sequence 1: services poll every 5 s and have it by then"
    ) == out


def test_a_pattern_with_exceptions_and_an_end(store, run):
    """An exception must be covered by the pattern; the end is a day, a time or a duration."""
    assert 0 == run("revoke", "permission", "orders:**", "--role", "clerk", "--keep", "orders:list", "--until", "7d")[0]
    (entry,) = _entries(store)
    assert ("role", "clerk", "orders:**", ("orders:list",)) == (entry.of, entry.name, entry.pattern, entry.keep)
    assert abs(entry.until - time.time() - 7 * 86400) < 60


def test_a_role(store, run):
    """Revoking a role writes a deny entry for every permission that it confers."""
    assert 0 == run("revoke", "role", "clerk")[0]
    assert [("role", "clerk", "**")] == [(each.of, each.name, each.pattern) for each in _entries(store)]


@pytest.mark.parametrize("of", ["subject", "client"])
def test_a_subject_or_a_client(store, run, of):
    """Tokens issued until now are revoked, with --block also later ones, and the output says which."""
    before = time.time()
    code, out, _ = run("revoke", of, "x")
    assert (0, True) == (code, "later ones are not" in out)
    assert "is refused until this is lifted" in run("revoke", of, "x", "--block")[1]
    first, second = _entries(store)
    assert (of, "x", "", True) == (first.of, first.name, first.pattern, before <= first.before <= time.time())
    assert (of, "x", "", None, "not_before") == (second.of, second.name, second.pattern, second.before, second.kind)


def _token(**claims):
    parts = ({"alg": "ES256", "typ": "at+jwt"}, claims)
    head, body = (urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{head}.{body}.c2ln"


def test_a_token_by_its_jti(store, run):
    """A token is revoked by its jti and its issuer."""
    assert 0 == run("revoke", "token", "j1")[0]
    assert [("token", ISSUER, "j1")] == [each.key for each in _entries(store)]


def test_a_token_that_is_piped_in(store, run):
    """With `-` the jti and iss of the token are used, and the token is not printed."""
    token = _token(jti="j2", iss="https://other.test/")
    code, out, err = run("revoke", "token", "-", stdin=f"Bearer {token}\n")
    assert [("token", "https://other.test/", "j2")] == [each.key for each in _entries(store)]
    assert (0, False) == (code, token[:20] in out + err)


def test_a_token_without_iss_that_is_piped_in(store, run):
    """A token without `iss` is of the issuer that is named, or of the only one that is known."""
    assert 0 == run("revoke", "token", "-", stdin=_token(jti="j3"))[0]
    assert 0 == run("revoke", "token", "-", "--issuer", "https://old.test/", stdin=_token(jti="j4"))[0]
    keys = [("token", ISSUER, "j3"), ("token", "https://old.test/", "j4")]
    assert keys == [each.key for each in _entries(store)]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (("token", _token(jti="j")), "", "pass - and pipe it in"),
        (("token", "-"), _token(iss="x"), "the token has no jti or no iss to name it by"),
        (("token", "-"), _token(iss="x", jti=7), "the token has no jti or no iss to name it by"),
        (("token", "-"), _token(iss="x", jti="a\x1b[2J"), "all of them printable"),
        (("token", "-", "--issuer", "x"), _token(iss="x", jti="a"), "leave --issuer out"),
        (("token", ""), "", "JTI must have 1 to 1024 characters"),
        (("subject", "a\nb"), "", "SUBJECT must have 1 to 1024 characters"),
        (("subject", "a", "--until", "soon"), "", "--until: write a day such as 2027-01-31"),
        (("subject", "a", "--until", "2020-01-01"), "", "--until: 2020-01-01T00:00:00Z is over"),
        (("subject", "a", "--block", "--until", "7d"), "", 'jwt-lp revoke permission "**" --subject'),
        (("role", "a", "--reason", "x" * 1001), "", "--reason has at most 1000 characters"),
        (("role", "a", "--push", "http://x"), "", "redis://"),
        (("permission", "a"), "", "pass one of --subject, --client and --role"),
        (("permission", "a", "--subject", "s", "--role", "r"), "", "pass one of --subject, --client and --role"),
        (("permission", "a b", "--subject", "s"), "", "is not a permission"),
        (("permission", "a:**:b", "--subject", "s"), "", "is not a permission"),
        (("permission", "a:*", "--subject", "s", "--keep", "b:c"), "", "--keep b:c: a:* does not cover it"),
        (("permission", "a:*", "--subject", "s", "--keep", "a:**"), "", "--keep a:**: a:* does not cover it"),
        (("permission", "a", "--subject", "s", "--keep", "a"), "", "nothing of a would be revoked"),
    ],
)
def test_revocations_that_are_refused(store, run, arguments, stdin, message):
    """A wrong argument exits with 2, the error says what to do, and nothing is written."""
    code, out, err = run("revoke", *arguments, stdin=stdin)
    assert (2, "", []) == (code, out, _entries(store))
    assert message in err
    assert "\x1b" not in err
    assert "eyJ" not in err


def test_the_issuer_is_required_if_it_is_ambiguous(project, run):
    """If the store knows no issuer or several, --issuer is required, and the error lists them."""
    assert (2, "", True) == ((found := run("revoke", "role", "r"))[0], found[1], "knows no issuer yet" in found[2])
    assert 0 == run("revoke", "role", "r", "--issuer", "https://a.test/")[0]
    assert 0 == run("revoke", "role", "r")[0]
    assert 0 == run("revoke", "role", "r", "--issuer", "https://b.test/")[0]
    code, _, err = run("revoke", "role", "r")
    assert (2, True) == (code, "there are https://a.test/, https://b.test/" in err)


def test_the_issuer_by_its_name(project, run):
    """With settings, --issuer accepts the name of an issuer, and a single issuer is the default."""
    issuer = project.authority.settings()["ISSUER"]
    assert 0 == run("revoke", "role", "r", "--issuer", "default", "--settings", "shop")[0]
    assert 0 == run("revoke", "role", "r", "--settings", "shop")[0]
    assert 0 == run("revoke", "role", "r", "--app", "shop:app")[0]
    assert [issuer] * 3 == [json.loads(run("revocations", "--format", "json")[1])[n]["issuer"] for n in range(3)]


def test_an_issuer_that_was_never_seen(store, run):
    """An issuer that the store has not seen is accepted with a warning."""
    code, _, err = run("revoke", "subject", "a", "--issuer", ISSUER.rstrip("/"))
    assert (0, 1) == (code, len(_entries(store)))
    assert f"has seen no token of {ISSUER.rstrip('/')}; did you mean '{ISSUER}'?" in err
    assert "it knows" in run("revoke", "subject", "a", "--issuer", "zzz")[2]


def test_a_store_that_nobody_reports_to(store, run):
    """If no service reports to the store, a warning says so."""
    assert "no service reported in the last minute" in run("revoke", "role", "r")[2]
    store.record_heartbeat(_beat())
    assert "" == run("revoke", "role", "r")[2]


def test_lifting(store, run):
    """Revocations are lifted all or none, and the list shows it."""
    run("revoke", "role", "a")
    run("revoke", "role", "b")
    first, second = (entry.id for entry in _entries(store))
    code, _, err = run("unrevoke", first, "nonesuch")
    assert (2, 2, True) == (code, len(_entries(store)), "'nonesuch'; jwt-lp revocations lists them" in err)
    assert (0, f"{first}: lifted sequence 3: services poll every 5 s and have it by then") == run("unrevoke", first)[:2]
    assert [second] == [entry.id for entry in _entries(store)]
    assert 2 == run("unrevoke", first)[0]


def test_the_list(store, run):
    """Revocations are listed in order; --all adds lifted ones, and filters select."""
    run("revoke", "role", "a", "--reason", "why \x1b[2J not")
    run("revoke", "permission", "p:q", "--subject", "alice", "--by", "")
    ids = [entry.id for entry in _entries(store)]
    run("unrevoke", ids[1])
    code, out, _ = run("revocations")
    assert (0, True, True) == (code, out.startswith(ids[0]), out.endswith("reason: why \\x1b[2J not 1 entry"))
    assert " lifted 2" in run("revocations", "--all")[1]
    assert ids[1:] == [
        each["id"] for each in json.loads(run("revocations", "--all", "--subject", "alice", "--format", "json")[1])
    ]
    assert "0 entries" == run("revocations", "--issuer", "x")[1]
    assert [] == json.loads(run("revocations", "--token", "x", "--format", "json")[1])


def test_an_entry_that_is_over(store, run):
    """An expired entry is marked as over."""
    from jwt_lp.revocation.entries import RevocationEntry

    store.revoke([RevocationEntry(id="old", of="role", issuer=ISSUER, name="r", pattern="**", until=2.0)], at=1.0)
    assert "old 1970-01-01T00:00:01Z: over; all that the role r" in run("revocations")[1]


def test_waiting(store, run):
    """With --wait the command ends when every live process has reported the change, and lists them."""
    store.record_heartbeat(_beat(5))
    code, out, _ = run("revoke", "role", "r", "--wait", "5")
    assert (0, True) == (code, "ok host 7 orders 5" in out and out.endswith("all of 1 have it"))
    store.record_heartbeat(_beat(0, process="q"))
    code, out, _ = run("revoke", "role", "r", "--wait", "0")
    assert (1, True) == (code, out.endswith("1 of 2 had not reported it after 0 s"))
    store.record_heartbeat(_beat(0, at=time.time() - 61, process="q"))
    assert 0 == run("unrevoke", _entries(store)[0].id, "--wait", "1")[0]


def test_waiting_for_nobody(store, run):
    """If no process reports, --wait fails."""
    code, out, _ = run("revoke", "role", "r", "--wait", "0.1")
    assert (1, True) == (code, "no process reported" in out)


def test_waiting_for_one_that_comes(store):
    """The store is read repeatedly until the time limit."""
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        store.record_heartbeat(_beat(len(slept)))

    assert wait_until_known(store, 3, 60, sleep=sleep)
    assert [0.5] * 3 == slept


def test_a_push(store, run):
    """With --push listeners are notified; if Redis is down, the entry stays written and a warning says so."""
    pytest.importorskip("redis")
    code, _, err = run("revoke", "role", "r", "--push", "redis://127.0.0.1:1/0")
    assert (0, 1, True) == (code, len(_entries(store)), "find what changed at their next poll" in err)
    with redis_server():
        pass
    from jwt_lp.stores.push import Listener

    heard = threading.Event()
    listener = Listener(REDIS, heard.set)
    thread = threading.Thread(target=listener.run)
    thread.start()
    try:
        assert listener.connected.wait(5)
        heard.clear()
        code, out, _ = run("revoke", "role", "r", JWT_LP_PUSH=REDIS)
        assert (0, True, True) == (code, "pushed to " in out, heard.wait(5))
    finally:
        listener.close()
        thread.join()


def test_a_missing_store(project, cli):
    """A missing or unreachable store exits with 2 and a remedy, and no password is printed."""
    for arguments in (
        ("revocations",),
        ("store", "migrate"),
        ("revoke", "role", "r"),
        ("unrevoke", "x"),
        ("store", "purge"),
    ):
        code, out, err = cli(*arguments)
        assert (2, "", True) == (code, out, "which store? pass --store URL" in err)
    code, out, err = cli("revocations", "--store", "postgresql://u:secret@127.0.0.1:1/db")
    assert (2, "", True, False) == (code, out, "is it running" in err, "secret" in err)
    code, _, err = cli("revocations", "--store", "mysql://u:secret@h/db")
    assert (2, False) == (code, "secret" in err)
    project.write("text.db", "no database" * 100)
    assert 2 == cli("revocations", "--store", "sqlite:///text.db")[0]


def test_the_settings_name_the_store(project, cli):
    """Without --store, the STORE of the settings is used."""
    project.settings(STORE=URL)
    assert 0 == cli("store", "migrate", "--settings", "shop")[0]
    assert (project.folder / "jwt-lp.db").exists()


def test_migrating_and_purging(run):
    """Tables are created once; old rows are deleted, and the output has their number."""
    assert (0, f"{URL}: tables of version 5 were created") == run("store", "migrate")[:2]
    assert (0, f"{URL}: the tables already have version 5") == run("store", "migrate")[:2]
    found = open_store(URL)
    found.record(
        UsageBatch(id="a", observed_grants=[ObservedGrant(ISSUER, name, "", "", "g", "2020-01-01") for name in "ab"])
    )
    assert (0, True) == ((message := run("store", "purge"))[0], message[1].endswith("were deleted 2 observed grants"))
    assert run("store", "purge", "--keep-days", "1")[1].endswith("there was nothing to delete")
    assert 2 == run("store", "purge", "--keep-days", "0")[0]
    found.close()


@pytest.mark.parametrize(
    ("message", "end"),
    [(None, None), ("90s", 1090.0), ("2d", 173800.0), ("1970-01-02", 86400.0), ("1970-01-01T01:00:00+00:30", 1800.0)],
)
def test_when_it_ends(message, end):
    """A day is its first moment in UTC."""
    assert end == parse_end(message, 1000.0)
