"""The commands `jwt-lp elevate`: a person's token asks and approves, an operator of the store denies, ends and looks."""

from __future__ import annotations

import json
import threading
import time

import pytest

from jwt_lp import Guard
from jwt_lp.elevation.guard_elevations import guard_elevations
from jwt_lp.stores import open_store
from jwt_lp.testing.authority import Authority

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

URL = "sqlite:///jwt-lp.db"
POLICY = {
    "version": 1,
    "roles": {"clerk": {"grants": ["orders:list"]}, "lead": {"grants": ["orders:approve"]}},
    "elevation": {"orders:export": {"ask": ["role:clerk"], "approve": "orders:approve", "break_glass": True}},
}
AUTHORITY = Authority()
SETTINGS = """
import json, pathlib

JWT_LP = json.loads(pathlib.Path(__file__).with_name("elevation.json").read_text())
"""


@pytest.fixture
def run(project, cli):
    """`run(*arguments, token=…)`: a command on the store of the project's folder, with a token on standard input."""
    settings = {**AUTHORITY.settings(), "OWN": True, "POLICY": POLICY, "STORE": URL}
    (project.folder / "elevation.json").write_text(json.dumps(settings, default=list))
    (project.folder / "elevation_settings.py").write_text(SETTINGS)
    store = open_store(URL)
    store.migrate()
    store.close()

    def run(*arguments, token=None, **more):
        more = more if token is None else {**more, "stdin": token}
        code, out, err = cli("elevate", *arguments, "--settings", "elevation_settings", COLUMNS="400", **more)
        return code, out, " ".join(err.split())

    return run


def clerk(name="ana"):
    return AUTHORITY.token(name, roles=["clerk"])


def lead(name="bob"):
    return AUTHORITY.token(name, roles=["lead"])


def ask(run, *options, token=None):
    code, out, err = run(
        "request", "orders:export", "--reason", "4711", "--format", "json", *options, token=token or clerk()
    )
    assert (0, "") == (code, err)
    return json.loads(out)


def test_ask_approve_and_end(run):
    """The asker's and the approver's tokens are verified; whoever has the store ends it, and is named."""
    asked = ask(run, "--for", "10m")
    assert ("requested", 600, "ana") == (asked["state"], asked["seconds"], asked["subject"])
    assert asked["id"] in run("list", "--waiting")[1]
    code, out, _ = run("approve", asked["id"], "--reason", "fine", token=lead())
    assert (0, True) == (code, "holds orders:export until" in out)
    assert "0 elevations" in run("list", "--waiting")[1]
    assert "1 elevation\n" in run("list", "--held")[1]
    code, out, _ = run("end", asked["id"], "--by", "carol", "--reason", "done")
    assert (0, True) == (code, "ended by carol" in out)
    shown = json.loads(run("show", asked["id"], "--format", "json")[1])
    assert ["asked", "approved", "granted", "ended"] == [step["action"] for step in shown["steps"]]
    # An issuer of "" is a command on the store.
    assert ("", "carol", "done") == tuple(shown["steps"][-1][each] for each in ("issuer", "subject", "reason"))
    text = run("show", asked["id"])[1]
    assert "approved by bob: fine" in text
    assert "ended by carol, by a command: done" in text
    assert asked["digest"] in text


def test_an_operator_cannot_ask_or_approve(run):
    """Only a token proves who asks and what an approver holds: one that a service refuses is refused here, too."""
    asked = ask(run)
    code, _, err = run("approve", asked["id"], token="junk")
    assert (1, True) == (code, "the token is refused" in err)
    code, _, err = run("approve", asked["id"], token=AUTHORITY.token("bob", roles=["lead"], lifetime=-60))
    assert (1, True) == (code, "(expired)" in err)
    code, _, err = run("approve", asked["id"], token=clerk("eve"))
    assert (1, True) == (code, "there is no such elevation" in err)
    code, _, err = run("approve", asked["id"], "--digest", "0", token=lead())
    assert 1 == code
    assert "requested" == json.loads(run("show", asked["id"], "--format", "json")[1])["state"]


def test_deny_with_a_token_and_without(run):
    """With a token the policy decides; without one the operator is recorded."""
    first, second = ask(run), ask(run, token=clerk("ina"))
    code, _, err = run("deny", first["id"], "--with-token", token=clerk())
    assert (1, True) == (code, "only holders of orders:approve" in err)
    assert 0 == run("deny", first["id"], "--with-token", token=lead())[0]
    code, out, _ = run("deny", second["id"], "--format", "json")
    assert (0, "denied") == (code, json.loads(out)["state"])


def test_break_glass_waits_for_its_review(run):
    """It is held at once, listed until somebody has reviewed it."""
    taken = ask(run, "--break-glass")
    assert "taken without an approval" in run("list", "--unreviewed")[1]
    assert 0 == run("review", taken["id"], "--reason", "fine")[0]
    assert "0 elevations" in run("list", "--unreviewed")[1]


def test_waiting_for_an_answer(run, monkeypatch):
    """`--wait` ends when somebody has decided: 0 for an approval, 1 otherwise, also when nobody decides in time."""
    code, out, _ = run("request", "orders:export", "--reason", "x", "--wait", "0", token=clerk())
    assert (1, True) == (code, "1 approval missing" in out)
    monkeypatch.setattr("jwt_lp.cli.elevate._CHECK_INTERVAL", 0.01)

    def approve_soon():
        with Guard({**AUTHORITY.settings(), "OWN": True, "POLICY": POLICY, "STORE": URL}) as guard:
            elevations, token = guard_elevations(guard), guard.authenticate(f"Bearer {lead()}").token
            assert token is not None
            while not (waiting := [each for each in elevations.waiting_for(token) if each.subject == "ina"]):
                time.sleep(0.01)
            elevations.approve(token, waiting[0].id, digest=waiting[0].digest)

    approving = threading.Thread(target=approve_soon)
    approving.start()
    code, out, _ = run("request", "orders:export", "--reason", "x", "--wait", "20", token=clerk("ina"))
    approving.join()
    assert (0, True) == (code, "holds orders:export until" in out)


def test_lists(run):
    """As text and as JSON, filtered."""
    asked = ask(run)
    assert [asked] == json.loads(run("list", "--subject", "ana", "--format", "json")[1])
    assert [] == json.loads(run("list", "--subject", "bob", "--format", "json")[1])
    assert 0 == run("deny", asked["id"])[0]
    assert "asks for orders:export; denied" in run("list")[1]


def test_faults(run, cli, project):
    """Each says what to do."""
    code, _, err = run("show", "nothing")
    assert (1, True) == (code, "there is no elevation nothing" in err)
    code, _, err = run("end", "nothing")
    assert (1, True) == (code, "there is no such elevation" in err)
    code, _, err = cli("elevate", "end", "x", "--store", URL)
    assert (2, True) == (code, "which settings?" in err)
    code, _, err = run("request", "orders:export", "--for", "0s", token=clerk())
    assert 2 == code


def test_deliver(run, project):
    """Steps go to a webhook; one that does not answer is exit code 1, and the step is kept."""
    from webhook_receiver import SECRET, WebhookReceiver

    (project.folder / "secret").write_text(f"{SECRET}\n")
    asked = ask(run)
    with WebhookReceiver((500, {})) as receiver:
        code, out, err = run("deliver", receiver.url, "--secret-file", "secret", "--once")
        assert (1, True) == (code, "it is kept" in err)
        ask(run, token=clerk("ina"))
        code, out, _ = run("deliver", receiver.url, "--secret-file", "secret", "--once")
    assert (0, "1 step delivered\n") == (code, out)
    assert f"{asked['id']}-1" == receiver.received[0].headers["webhook-id"]
    assert receiver.received[0].headers["webhook-signature"].startswith("v1,")
    code, _, err = run("deliver", "https://hooks.example.com/x", "--secret-file", "none", "--once")
    assert (2, True) == (code, "none cannot be read" in err)
    (project.folder / "secret").write_bytes(b"\xff")
    code, _, err = run("deliver", "https://hooks.example.com/x", "--secret-file", "secret", "--once")
    assert (2, True) == (code, "it is not text" in err)
