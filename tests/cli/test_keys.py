from __future__ import annotations

import json
import re
import time

import pytest

from jwt_lp.jose.key_rotation import FOLDER, PUBLISH_AHEAD, KeyRing, add_key


@pytest.fixture
def keys(project, cli):
    """`keys(*arguments)`: a command of the group, in the project's folder."""

    def keys(*arguments):
        return cli("keys", *arguments)

    return keys


@pytest.fixture
def ring(project):
    """A ring that was made long enough ago for a rotation."""
    return add_key(FOLDER, clock=lambda: time.time() - PUBLISH_AHEAD)


def _states(keys):
    found = json.loads(keys("list", "--json")[1])
    return {key["kid"]: key["state"] for key in found["keys"]}


def test_the_first_key(project, keys):
    """A new folder gets a current key and a next key, and the output names both."""
    code, out, err = keys("new")
    assert (0, "", ["current", "next"]) == (code, err, [*_states(keys).values()])
    current, following = _states(keys)
    assert f"made {current} (ES256) in {FOLDER}/: it is published, and signs from now on" in " ".join(out.split())
    assert f"next: {following} (ES256): rotate from " in " ".join(out.split())
    assert KeyRing(FOLDER).current.kid == current


def test_a_further_key(keys, ring):
    """A further key is reported to sign later; no other key is reported as made."""
    code, out, _ = keys("new", "--algorithm", "EdDSA")
    assert (0, 1, True) == (code, out.count("made "), "(EdDSA)" in out)
    assert [*_states(keys)].index(out.split()[1]) == 2
    following = ring.next_keys[0].kid
    assert f"is published, and comes after the next key that there is already, {following}" in " ".join(out.split())


def test_another_folder(project, keys):
    """--keys names the folder, for every command."""
    assert 0 == keys("new", "--keys", "deep/other")[0]
    assert 0 == keys("list", "--keys", "deep/other")[0]
    assert (2, 2) == (keys("list")[0], keys("rotate")[0])


def test_the_list(keys, ring):
    """Every key is shown with its state and times, and with the time of the next rotation."""
    keys("rotate")
    code, out, _ = keys("list")
    assert 0 == code
    assert ["STATE", "current", "next", "retired"] == [line.split()[0].strip(":") for line in out.splitlines()[:4]]
    assert out.splitlines()[3].split()[3:][0].endswith("Z")


def test_the_list_as_json(keys, ring):
    """JSON has the same, and the token lifetime that the key ring expects."""
    keys("rotate", "--lifetime", "2h")
    code, out, err = keys("list", "--json")
    found = json.loads(out)
    assert (0, "", FOLDER, 7200) == (code, err, found["folder"], found["lifetime_seconds"])
    assert [
        {"kid", "algorithm", "state", "since", "published_until"},
        [True, True, False],
    ] == [set(found["keys"][0]), [key["published_until"] is None for key in found["keys"]]]


def test_a_rotation(keys, ring):
    """After a rotation the next key signs, and the output names all three keys."""
    current, following = ring.in_order()
    code, out, _ = keys("rotate", "--force")
    assert "!!" not in out
    assert (0, ["current", "next", "retired"]) == (code, [*_states(keys).values()])
    assert f"{following.kid} (ES256) signs from now on" in out
    assert f"{current.kid} is retired, and published until " in out


def test_a_rotation_that_comes_too_early(keys):
    """An early rotation is refused with exit code 1 and a remedy, except with --force or a shorter --ahead."""
    keys("new")
    before = _states(keys)
    code, out, err = keys("rotate")
    assert (1, "", before) == (code, out, _states(keys))
    assert "wait 600 s, or pass --force" in " ".join(err.split())
    code, out, _ = keys("rotate", "--force")
    costs = r"published for only \d s: a verifier that has not fetched it yet refuses its tokens, for up to 30 s"
    assert 0 == code
    assert re.search(costs, " ".join(out.split()))
    assert 1 == keys("rotate", "--ahead", "1h")[0]


def test_the_current_key_is_retired(keys):
    """If the current key is retired, the next key signs, and the output explains the consequences."""
    keys("new")
    current, following = _states(keys)
    code, out, _ = keys("retire", current)
    message = " ".join(out.split())
    assert (0, False, "current") == (code, current in _states(keys), _states(keys)[following])
    assert "600 s if it has none; restart services that must refuse them sooner" in message
    assert re.search(rf"{following} \(ES256\) signs from now on !! it has been published for only \d s", message)


def test_retiring_without_warnings(keys, ring):
    """There is no warning if the next key was published long enough, or if the retired key was not the current one."""
    current, following = ring.in_order()
    assert "!!" not in keys("retire", current.kid)[1]
    (_, following) = _states(keys)
    assert "signs from now on" not in keys("retire", following)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("retire", "x\x1b[2J"), 2, "there is no signing key 'x\\x1b[2J'; there are "),
        (("new", "--algorithm", "HS256"), 2, "shared secret"),
        (("new", "--algorithm", "rot13"), 2, "is not supported"),
        (("rotate", "--lifetime", "1d"), 2, "such as 90s, 15m or 1h"),
        (("list", "--keys", "nowhere"), 2, "jwt-lp keys new --keys nowhere"),
        (("new", "--keys", "."), 2, ". holds other files"),
        (("rotate", "--algorithm", "HS256"), 2, "shared secret"),
    ],
)
def test_what_cannot_be_done(keys, ring, arguments, code, message):
    """Wrong usage and a wrong folder exit with 2, and the error says what to do."""
    found, out, err = keys(*arguments)
    assert (code, "") == (found, out)
    assert message in " ".join(err.split())
    assert "\x1b" not in err


def test_no_command_prints_a_private_key(project, keys):
    """No command prints a member of a private key."""
    message = "".join(
        "".join(map(str, keys(*arguments)))
        for arguments in (["new"], ["list"], ["list", "--json"], ["rotate", "--force"], ["new"], ["list", "--json"])
    )
    kept = [json.loads(path.read_text("utf-8"))["d"] for path in (project.folder / FOLDER).glob("key-*.json")]
    assert [False] * 3 == [each in message for each in kept]
