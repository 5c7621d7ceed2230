"""Signing keys in a folder, their rotation, and what verifiers see meanwhile."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import stat
import threading
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from clock import Clock
from jwks_server import KeyServer, eventually
from jwt_lp import ConfigurationError
from jwt_lp.errors import InvalidToken, KeysPending, PolicyError
from jwt_lp.issuing.issuer import Issuer
from jwt_lp.jose import key_files
from jwt_lp.jose.key_files import change_ring, read_ring
from jwt_lp.jose.key_rotation import (
    LEEWAY,
    LIFETIME,
    MAX_PUBLISHED,
    PUBLISH_AHEAD,
    RELOAD_INTERVAL,
    KeyRing,
    add_key,
    rotate_keys,
    withdraw_key,
)
from jwt_lp.jose.remote_jwks import DEFAULT_AGE, DEFAULT_TIMINGS, REFRESH_AT, FetchTimings, JwksKeys
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.policy.file import EMPTY_POLICY
from jwt_lp.tokens.profiles import RFC9068
from jwt_lp.tokens.trusted_issuer import TrustedIssuer
from jwt_lp.tokens.verification import Verifier, verify_signature
from key_rotation_processes import issue_until, rotate_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = 1_700_000_000.0
STAYS = LIFETIME + LEEWAY + RELOAD_INTERVAL
ISSUER = "https://issuer.example/"

forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def folder(tmp_path: Path, clock: Clock) -> Path:
    """A folder with a current and a next key, published long enough ago."""
    path = tmp_path / "signing-keys"
    add_key(path, clock=clock)
    clock.now += PUBLISH_AHEAD
    return path


def states(folder: Path, now: float) -> list[str]:
    return [key.state(now) for key in read_ring(folder).in_order()]


def kids(folder: Path) -> list[str]:
    return [key.kid for key in read_ring(folder).in_order()]


def published(ring: KeyRing) -> list[object]:
    keys: Any = ring.jwks()["keys"]
    return [key["kid"] for key in keys]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def edited(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit `ring.json` as an operator would by hand."""
    path = folder / "ring.json"
    document = json.loads(path.read_text("utf-8"))
    edit(document)
    path.write_text(json.dumps(document), "utf-8")


# --- the folder


def test_a_new_folder_has_a_key_that_signs_and_one_that_signs_next(tmp_path: Path, clock: Clock) -> None:
    """The first call makes both keys, so that the first rotation finds a published next key."""
    folder = tmp_path / "deep" / "keys"
    add_key(folder, clock=clock)
    current, following = kids(folder)
    assert ["current", "next"] == states(folder, NOW)
    assert {".gitignore", ".lock", "ring.json", f"key-{current}.json", f"key-{following}.json"} == files(folder)


def test_only_the_owner_has_access_to_the_folder(folder: Path) -> None:
    """Nobody else can read the folder and its keys, and version control ignores it."""
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.name != ".gitignore"}
    assert ({0o600}, 0o700) == (set(modes.values()), stat.S_IMODE(folder.stat().st_mode))
    assert "*\n" == (folder / ".gitignore").read_text("utf-8")


def test_a_private_key_is_in_its_own_file_only(folder: Path) -> None:
    """`ring.json` holds no private members."""
    listed = json.loads((folder / "ring.json").read_text("utf-8"))["keys"]
    private = [json.loads((folder / f"key-{kid}.json").read_text("utf-8")) for kid in kids(folder)]
    assert [set()] * 2 == [{"d", "p", "q", "k"} & set(key["public"]) for key in listed]
    assert [True] * 2 == ["d" in key for key in private]


def test_a_further_key_waits_its_turn(folder: Path, clock: Clock) -> None:
    """Of several next keys, the one that was published first signs first."""
    first = kids(folder)[1]
    add_key(folder, "Ed25519", clock=clock)
    assert ["current", "next", "next"] == states(folder, clock.now)
    rotate_keys(folder, clock=clock)
    assert first == kids(folder)[0]
    assert ["ES256", "Ed25519", "ES256"] == [key.algorithm for key in read_ring(folder).in_order()]


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES512", "EdDSA", "Ed448"])
def test_keys_of_every_public_kind(tmp_path: Path, algorithm: str) -> None:
    """A ring of any asymmetric algorithm signs tokens that its published set verifies."""
    add_key(tmp_path / "keys", algorithm)
    ring = KeyRing(tmp_path / "keys")
    assert [algorithm] * 2 == [key.algorithm for key in read_ring(tmp_path / "keys").keys]
    assert Issuer(ISSUER, ring, audience="a", client="c").verify(
        Issuer(ISSUER, ring, audience="a", client="c").issue("alice")
    )


@pytest.mark.parametrize(("algorithm", "message"), [("HS256", "never published"), ("none", "not supported")])
def test_algorithms_that_a_ring_cannot_have(tmp_path: Path, folder: Path, algorithm: str, message: str) -> None:
    """A symmetric or unknown algorithm is refused, and nothing is written."""
    before = kids(folder)
    with pytest.raises(ConfigurationError, match=message):
        add_key(tmp_path / "none", algorithm)
    with pytest.raises(ConfigurationError, match=message):
        rotate_keys(folder, algorithm=algorithm, force=True)
    assert before == kids(folder)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    """A folder with other files is refused and not changed."""
    (tmp_path / "package.json").write_text("{}", "utf-8")
    with pytest.raises(ConfigurationError, match="holds other files"):
        add_key(tmp_path)
    assert {"package.json"} == files(tmp_path)


def test_keys_whose_list_is_lost_are_left_alone(folder: Path) -> None:
    """If `ring.json` is lost, existing keys are not replaced by new ones."""
    (folder / "ring.json").unlink()
    before = files(folder)
    with pytest.raises(ConfigurationError, match=r"but no ring\.json: restore it"):
        add_key(folder)
    assert before == files(folder)
    for name in before - {".gitignore", ".lock"}:
        (folder / name).unlink()
    add_key(folder)
    assert 2 == len(kids(folder))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the folder's place is a `ConfigurationError` for writing and for reading."""
    (tmp_path / "taken").write_text("", "utf-8")
    with pytest.raises(ConfigurationError, match="cannot be changed: File exists"):
        add_key(tmp_path / "taken")
    with pytest.raises(ConfigurationError, match="holds no signing keys"):
        rotate_keys(tmp_path / "taken")


def test_nothing_to_rotate_makes_no_folder(tmp_path: Path) -> None:
    """Only add_key() makes a folder; the other operations say how to make one."""
    for change in (lambda: rotate_keys(tmp_path / "no"), lambda: withdraw_key("a", tmp_path / "no")):
        with pytest.raises(ConfigurationError, match="jwt-lp keys new --keys"):
            change()
    assert not (tmp_path / "no").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root makes files for others")
def test_files_made_by_root_belong_to_the_folders_owner(folder: Path, clock: Clock) -> None:
    """A rotation by root leaves keys that the service's user can read."""
    os.chown(folder, 4711, 4711)
    rotate_keys(folder, clock=clock)
    names = ["ring.json", ".lock", f"key-{kids(folder)[1]}.json"]
    assert [4711] * 3 == [(folder / name).stat().st_uid for name in names]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root makes files for others")
def test_root_gives_nothing_else_away(folder: Path, clock: Clock, tmp_path: Path) -> None:
    """A lock that the folder's owner has linked to another file is neither followed nor given to the owner."""
    os.chown(folder, 4711, 4711)
    other = tmp_path / "other"
    other.write_text("root's", encoding="utf-8")
    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(other)
    with pytest.raises((ConfigurationError, PolicyError, OSError)):
        rotate_keys(folder, clock=clock)
    (folder / ".lock").unlink()
    (folder / ".lock").hardlink_to(other)
    rotate_keys(folder, clock=clock)
    assert 0 == other.stat().st_uid


def test_files_of_a_dead_process_are_removed(folder: Path, clock: Clock) -> None:
    """The next change removes a half-written file and a key that never took effect."""
    (folder / ".scratch-abc").write_text("{", "utf-8")
    (folder / "key-0123456789abcdef.json").write_text("{}", "utf-8")
    rotate_keys(folder, clock=clock)
    assert {".gitignore", ".lock", "ring.json", *(f"key-{kid}.json" for kid in kids(folder)[:2])} == files(folder)


def test_a_write_that_fails_changes_nothing(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk before the last step leaves the ring unchanged, and the next change works."""
    before = kids(folder)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(ConfigurationError, match="No space left on device"):
            rotate_keys(folder, clock=clock)
    assert before == kids(folder)
    rotate_keys(folder, clock=clock)
    assert before[1] == kids(folder)[0]


# --- rotation


def test_a_rotation(folder: Path, clock: Clock) -> None:
    """The next key signs, the previous one is retired and its private key deleted, and a new one is published."""
    current, following = kids(folder)
    rotate_keys(folder, clock=clock)
    assert ["current", "next", "retired"] == states(folder, clock.now)
    assert [following, current] == kids(folder)[::2]
    assert f"key-{current}.json" not in files(folder)
    retired = read_ring(folder).in_order()[2]
    assert (clock.now, clock.now + STAYS) == (retired.since, retired.until)


def test_the_default_lead_is_enough_for_verifiers() -> None:
    """A verifier that fetched the set at the worst moment, with one failed attempt, has the key before it signs."""
    assert (
        PUBLISH_AHEAD
        >= REFRESH_AT * DEFAULT_AGE + DEFAULT_TIMINGS.cooldown + 2 * DEFAULT_TIMINGS.deadline + RELOAD_INTERVAL
    )
    assert PUBLISH_AHEAD >= DEFAULT_AGE


@pytest.mark.parametrize(
    ("since", "refused"), [(0.0, True), (PUBLISH_AHEAD - 1, True), (PUBLISH_AHEAD, False), (-60.0, True)]
)
def test_a_key_that_nobody_has_fetched_does_not_sign(tmp_path: Path, clock: Clock, since: float, refused: bool) -> None:
    """Unless forced, a rotation is refused until the next key was published long enough."""
    add_key(tmp_path / "keys", clock=clock)
    before = kids(tmp_path / "keys")
    clock.now += since
    if refused:
        with pytest.raises(PolicyError, match=rf"{before[1]}.*wait \d+ s, or pass --force"):
            rotate_keys(tmp_path / "keys", clock=clock)
        assert before == kids(tmp_path / "keys")
    rotate_keys(tmp_path / "keys", force=refused, clock=clock)
    assert before[1] == kids(tmp_path / "keys")[0]


def test_no_rotation_without_a_next_key(folder: Path, clock: Clock) -> None:
    """Without a published next key, a rotation is refused unless it is forced."""
    edited(folder, lambda document: document["keys"].pop(1))
    with pytest.raises(PolicyError, match="no key is published to sign next: make one first, or pass --force"):
        rotate_keys(folder, clock=clock)
    rotate_keys(folder, force=True, clock=clock)
    assert ["current", "next", "retired"] == states(folder, clock.now)


def test_a_shorter_lead(tmp_path: Path, clock: Clock) -> None:
    """An operator whose set is fetched more often can set a shorter lead."""
    add_key(tmp_path / "keys", clock=clock)
    clock.now += 60
    rotate_keys(tmp_path / "keys", ahead=60, clock=clock)
    assert ["current", "next", "retired"] == states(tmp_path / "keys", clock.now)


def test_the_ring_remembers_how_long_tokens_live(folder: Path, clock: Clock) -> None:
    """A lifetime that was passed once counts for later rotations too."""
    rotate_keys(folder, lifetime=8 * 3600, clock=clock)
    clock.now += PUBLISH_AHEAD
    rotate_keys(folder, clock=clock)
    assert [8 * 3600 + LEEWAY + RELOAD_INTERVAL] * 2 == [
        round((key.until or 0) - key.since, 3) for key in read_ring(folder).in_order()[2:]
    ]


def test_a_shorter_life_counts_from_the_next_key_on(folder: Path, clock: Clock) -> None:
    """The retired key has signed tokens of the longer lifetime, and stays published as long as they live."""
    rotate_keys(folder, lifetime=60, clock=clock)
    clock.now += PUBLISH_AHEAD
    rotate_keys(folder, clock=clock)
    lives = {
        round((key.until or 0) - key.since - LEEWAY - RELOAD_INTERVAL, 3) for key in read_ring(folder).in_order()[2:]
    }
    assert {60.0, LIFETIME} == lives


@pytest.mark.parametrize("lifetime", [0, -1, float("nan"), float("inf"), True])
def test_an_invalid_lifetime_is_refused(folder: Path, clock: Clock, lifetime: float) -> None:
    """A lifetime that could not be read again is not written."""
    before = kids(folder)
    with pytest.raises(ConfigurationError, match="a time is out of range"):
        rotate_keys(folder, lifetime=lifetime, clock=clock)
    assert before == kids(folder)


def test_another_algorithm(folder: Path, clock: Clock) -> None:
    """The given algorithm is that of the new key, even if other next keys exist."""
    rotate_keys(folder, algorithm="EdDSA", clock=clock)
    assert ["ES256", "EdDSA", "ES256"] == [key.algorithm for key in read_ring(folder).in_order()]
    rotate_keys(folder, force=True, clock=clock)
    assert ["EdDSA", "EdDSA"] == [key.algorithm for key in read_ring(folder).in_order()[:2]]
    add_key(folder, "ES384", clock=clock)
    rotate_keys(folder, algorithm="RS256", force=True, clock=clock)
    assert {"EdDSA", "ES384", "RS256"} == {key.algorithm for key in read_ring(folder).in_order()[:3]}


def test_dead_keys_go_with_the_next_change(folder: Path, clock: Clock) -> None:
    """A retired key whose last token has expired is shown as dead, and removed at the next change."""
    rotate_keys(folder, clock=clock)
    clock.now += STAYS
    assert ["current", "next", "dead"] == states(folder, clock.now)
    rotate_keys(folder, clock=clock)
    assert ["current", "next", "retired"] == states(folder, clock.now)


def test_the_number_of_published_keys_is_bounded(folder: Path, clock: Clock) -> None:
    """A ring does not grow beyond what verifiers read; a refused change leaves no files."""
    for _ in range(MAX_PUBLISHED - 2):
        rotate_keys(folder, force=True, clock=clock)
    with pytest.raises(PolicyError, match="wait until retired keys have expired"):
        rotate_keys(folder, force=True, clock=clock)
    assert MAX_PUBLISHED == len(kids(folder))
    assert MAX_PUBLISHED - 2 == states(folder, clock.now).count("retired")


# --- withdrawing a key


def test_withdrawing_the_current_key(folder: Path, clock: Clock) -> None:
    """The next key signs at once, the withdrawn one is gone with its file, and a new one is published."""
    current, following = kids(folder)
    withdraw_key(current, folder, clock=clock)
    assert (["current", "next"], following) == (states(folder, clock.now), kids(folder)[0])
    assert current not in json.dumps([*files(folder), *kids(folder)])


def test_withdrawing_the_next_key(folder: Path, clock: Clock) -> None:
    """A new next key, published from now on, replaces it."""
    current, following = kids(folder)
    withdraw_key(following, folder, clock=clock)
    assert (["current", "next"], current) == (states(folder, clock.now), kids(folder)[0])
    assert (False, clock.now) == (following in kids(folder), read_ring(folder).next_keys[0].published)


def test_withdrawing_a_retired_key(folder: Path, clock: Clock) -> None:
    """It is not published any more, and nothing else changes."""
    rotate_keys(folder, clock=clock)
    *kept, retired = kids(folder)
    withdraw_key(retired, folder, clock=clock)
    assert kept == kids(folder)


def test_withdrawing_the_last_key(folder: Path, clock: Clock) -> None:
    """If there is no next key, new keys are made."""
    edited(folder, lambda document: document["keys"].pop(1))
    (last,) = kids(folder)
    withdraw_key(last, folder, clock=clock)
    assert ["current", "next"] == states(folder, clock.now)
    assert last not in kids(folder)


def test_withdrawing_an_unknown_key(folder: Path) -> None:
    """The error names the existing keys."""
    with pytest.raises(ConfigurationError, match=rf"no signing key 'a\\n'; there are {', '.join(kids(folder))}"):
        withdraw_key("a\n", folder)


def test_a_key_that_cannot_sign_never_becomes_current(folder: Path, clock: Clock) -> None:
    """A next key whose file is lost stops the rotation; withdrawing it is the remedy."""
    current, following = kids(folder)
    (folder / f"key-{following}.json").unlink()
    with pytest.raises(ConfigurationError, match=f"retire the key {following}"):
        rotate_keys(folder, clock=clock)
    assert [current, following] == kids(folder)
    withdraw_key(following, folder, clock=clock)
    rotate_keys(folder, force=True, clock=clock)
    assert ["current", "next", "retired"] == states(folder, clock.now)


# --- concurrent changes


def test_two_rotations_at_once(folder: Path, clock: Clock) -> None:
    """One succeeds; the other gets an error and has changed nothing."""
    before = kids(folder)
    errors: list[str] = []

    def slowly(ring: Any) -> Any:
        with pytest.raises(PolicyError, match="another process is changing the signing keys") as caught:
            rotate_keys(folder, clock=clock)
        errors.append(str(caught.value))
        return ring, ()

    change_ring(folder, slowly)
    assert (1, before) == (len(errors), kids(folder))
    rotate_keys(folder, clock=clock)
    with pytest.raises(PolicyError, match="has been published for 0 s"):
        rotate_keys(folder, clock=clock)
    assert before[1] == kids(folder)[0]


def test_processes_that_rotate_at_once(folder: Path) -> None:
    """Exactly one of four processes rotates."""
    spawn = multiprocessing.get_context("spawn")
    gate, results = spawn.Barrier(4), spawn.Queue()
    processes = [
        spawn.Process(target=rotate_once, args=(folder, NOW + PUBLISH_AHEAD, gate, results), daemon=True)
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    counts = Counter(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert {"rotated": 1, "policy": 3} == counts


def test_a_process_that_died_leaves_no_lock(folder: Path, clock: Clock) -> None:
    """A dead process leaves the lock file, but not the lock."""
    assert (folder / ".lock").exists()
    rotate_keys(folder, clock=clock)
    assert "retired" in states(folder, clock.now)


# --- reading


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
@pytest.mark.parametrize("which", ["ring.json", "key"])
def test_files_that_others_can_read_are_refused(folder: Path, mode: int, which: str) -> None:
    """Any permission for group or others is refused, and the remedy is named."""
    path = folder / (which if which == "ring.json" else f"key-{kids(folder)[0]}.json")
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"{path} can be read by others: chmod -R go-rwx {folder}$"):
        KeyRing(folder)


@pytest.mark.parametrize(("mode", "refused"), [(0o770, True), (0o702, True), (0o755, False), (0o1777, False)])
def test_a_folder_that_others_can_change_is_refused(folder: Path, mode: int, refused: bool) -> None:
    """A folder that others can write to is refused; one with the sticky bit (as in a mounted secret) is accepted."""
    folder.chmod(mode)
    if refused:
        with pytest.raises(ConfigurationError, match=f"chmod -R go-rwx {folder}$"):
            KeyRing(folder)
    else:
        assert 2 == len(published(KeyRing(folder)))


def _with(**members: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["keys"][0].update(members)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda document: document.clear(), id="nothing"),
        pytest.param(lambda document: document.update(version=2), id="another release's"),
        pytest.param(lambda document: document.update(keys={}), id="no list"),
        pytest.param(lambda document: document.update(keys=[]), id="no key"),
        pytest.param(lambda document: document.update(keys=[1]), id="a key that is none"),
        pytest.param(lambda document: document.update(lifetime=True), id="no lifetime"),
        pytest.param(lambda document: document["keys"].append(document["keys"][1]), id="one twice"),
        pytest.param(lambda document: document["keys"].pop(0), id="none signs"),
        pytest.param(lambda document: document["keys"][1].update(signs=NOW), id="two sign"),
        pytest.param(_with(public=1), id="no public half"),
        pytest.param(_with(published=None), id="never published"),
        pytest.param(_with(published="x"), id="a date that is none"),
        pytest.param(_with(published=float("nan")), id="no number"),
        pytest.param(_with(until=1e300), id="beyond dates"),
        pytest.param(_with(until=NOW), id="an end without retirement"),
        pytest.param(_with(signs=None, retired=NOW, until=NOW), id="retired before it signed"),
        pytest.param(
            lambda document: document["keys"][0]["public"].update(kid="../../etc/passwd"), id="a path for a name"
        ),
        pytest.param(lambda document: document["keys"][0]["public"].pop("kid"), id="no name"),
        pytest.param(lambda document: document["keys"][0]["public"].update(d="AQ"), id="a private member"),
        pytest.param(
            lambda document: document["keys"][0].update(
                public=SigningKey.generate("HS256", kid="0123456789abcdef").public_jwk()
            ),
            id="a secret",
        ),
    ],
)
def test_a_malformed_ring_is_refused(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Any other content of `ring.json` is refused, and never overwritten."""
    edited(folder, edit)
    before = (folder / "ring.json").read_bytes()
    for ask in (KeyRing, lambda each: rotate_keys(each, force=True), add_key):
        with pytest.raises(ConfigurationError, match="not in the format of this release: restore it"):
            ask(folder)
    assert before == (folder / "ring.json").read_bytes()


@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\xff\xfe", b"null", b'"x"'])
def test_files_that_are_not_json(folder: Path, text: bytes) -> None:
    """A file that is not JSON is a `ConfigurationError` that holds nothing of its content."""
    key = folder / f"key-{kids(folder)[0]}.json"
    for path in (key, folder / "ring.json"):
        path.write_bytes(text)
        with pytest.raises(ConfigurationError) as caught:
            KeyRing(folder)
        assert not isinstance(caught.value.__context__, ValueError)


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    """A folder in the file's place is a `ConfigurationError` with the system's reason."""
    (folder / "ring.json").unlink()
    (folder / "ring.json").mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        KeyRing(folder)


def test_a_key_file_must_match_the_published_key(folder: Path) -> None:
    """A key that differs from the published one is never used to sign."""
    current = kids(folder)[0]
    other = SigningKey.generate(kid=current)
    (folder / f"key-{current}.json").write_text(json.dumps(other.private_jwk()), "utf-8")
    with pytest.raises(ConfigurationError, match="holds a different key than"):
        KeyRing(folder)


def test_a_folder_without_keys_stops_the_start(tmp_path: Path) -> None:
    """KeyRing raises an error that names the remedy."""
    with pytest.raises(ConfigurationError, match=f"jwt-lp keys new --keys {tmp_path}"):
        KeyRing(tmp_path)


# --- the key ring of a server process


def test_a_ring_signs_with_the_current_key(folder: Path, clock: Clock) -> None:
    """It publishes the current key first and then the others, without private members."""
    ring = KeyRing(folder, clock=clock)
    assert (kids(folder)[0], kids(folder)) == (ring.current.kid, published(ring))
    assert '"d"' not in json.dumps(ring.jwks())
    rotate_keys(folder, clock=clock)
    rotate_keys(folder, force=True, clock=clock)
    assert kids(folder) == published(KeyRing(folder, clock=clock))


def test_the_published_set_is_a_copy(folder: Path, clock: Clock) -> None:
    """Changing the returned set changes nothing else."""
    ring = KeyRing(folder, clock=clock)
    keys: Any = ring.jwks()["keys"]
    keys[0]["kid"] = "other"
    keys.clear()
    assert kids(folder) == published(ring)


def test_a_change_is_seen_within_seconds(folder: Path, clock: Clock) -> None:
    """A rotation takes effect at the next reload, and before that nothing is read."""
    ring = KeyRing(folder, clock=clock)
    before = kids(folder)
    rotate_keys(folder, clock=clock)
    clock.now += RELOAD_INTERVAL - 0.1
    assert (before[0], before, 1) == (ring.current.kid, published(ring), ring.generation)
    clock.now += 0.1
    assert (before[1], kids(folder), 2) == (ring.current.kid, published(ring), ring.generation)


def test_the_generation_changes_with_the_set_only(folder: Path, clock: Clock) -> None:
    """Reloading an unchanged folder changes nothing."""
    ring = KeyRing(folder, clock=clock)
    clock.now += 10 * RELOAD_INTERVAL
    assert 1 == ring.generation


def test_a_clock_that_is_set_back_does_not_stop_reloads(folder: Path, clock: Clock) -> None:
    """A change is seen even if the last reload is, by the clock, in the future."""
    ring = KeyRing(folder, clock=clock)
    rotate_keys(folder, clock=clock)
    clock.now -= 7200
    assert kids(folder)[0] == ring.current.kid


def test_a_retired_key_expires_by_itself(folder: Path, clock: Clock) -> None:
    """When its last token has expired, it is not published any more, although the folder did not change."""
    rotate_keys(folder, clock=clock)
    ring = KeyRing(folder, clock=clock, reload_interval=1e9)
    clock.now += STAYS - 1
    assert (3, 1) == (len(published(ring)), ring.generation)
    clock.now += 1
    assert (kids(folder)[:2], 2) == (published(ring), ring.generation)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda folder: (folder / "ring.json").write_text("{", "utf-8"), id="half written"),
        pytest.param(lambda folder: (folder / "ring.json").unlink(), id="gone"),
        pytest.param(lambda folder: (folder / "ring.json").chmod(0o644), id="readable by others"),
        pytest.param(lambda folder: edited(folder, lambda document: document["keys"].pop(0)), id="none signs"),
    ],
)
def test_a_folder_that_fails_leaves_the_last_good_keys(
    folder: Path, clock: Clock, harm: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """The ring keeps signing and publishing, logs the failure once, and recovers."""
    rotate_keys(folder, clock=clock)
    ring, before, text = KeyRing(folder, clock=clock), kids(folder), (folder / "ring.json").read_bytes()
    harm(folder)
    with caplog.at_level(logging.INFO, logger="jwt_lp.keys"):
        for _ in range(3):
            clock.now += RELOAD_INTERVAL
            assert (before[0], before) == (ring.current.kid, published(ring))
        # Other rings and sets of this process may log meanwhile.
        records = [record for record in caplog.records if "signing keys stay in use" in record.getMessage()]
        assert ["ERROR"] == [record.levelname for record in records]
        assert records[0].getMessage().endswith("; the last good signing keys stay in use")
    clock.now += STAYS
    assert before[:2] == published(ring)
    (folder / "ring.json").write_bytes(text)
    (folder / "ring.json").chmod(0o600)
    clock.now += PUBLISH_AHEAD
    rotate_keys(folder, clock=clock)
    clock.now += RELOAD_INTERVAL
    assert kids(folder) == published(ring)


def test_a_new_key_that_is_missing_leaves_the_last_good_keys(folder: Path, clock: Clock) -> None:
    """If `ring.json` is copied before the key files, the last good keys stay in use."""
    ring, before = KeyRing(folder, clock=clock), kids(folder)
    rotate_keys(folder, clock=clock)
    key = folder / f"key-{before[1]}.json"
    text = key.read_bytes()
    key.unlink()
    clock.now += RELOAD_INTERVAL
    assert (before[0], before) == (ring.current.kid, published(ring))
    key.write_bytes(text)
    key.chmod(0o600)
    clock.now += RELOAD_INTERVAL
    assert (before[1], kids(folder)) == (ring.current.kid, published(ring))


def test_a_rotation_between_list_and_key(folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader whose key was retired between two reads starts again."""
    real, rotated = key_files.read_private, [False]

    def late(*args: Any) -> SigningKey:
        if not rotated[0]:
            rotated[0] = True
            rotate_keys(folder, clock=clock)
        return real(*args)

    monkeypatch.setattr("jwt_lp.jose.key_rotation.read_private", late)
    assert kids(folder)[1] == KeyRing(folder, clock=clock).current.kid


def test_only_one_thread_reloads(folder: Path, clock: Clock) -> None:
    """While one thread reloads, the others use the last snapshot and do not wait."""
    ring, before = KeyRing(folder, clock=clock), kids(folder)
    rotate_keys(folder, clock=clock)
    clock.now += RELOAD_INTERVAL
    with ring._reload_lock.get():
        assert before[0] == ring.current.kid
    assert before[1] == ring.current.kid


@forks
def test_a_fork_during_a_reload(folder: Path, clock: Clock) -> None:
    """A child that was forked during a reload reloads by itself."""
    ring = KeyRing(folder, clock=clock)
    rotate_keys(folder, clock=clock)
    clock.now += RELOAD_INTERVAL
    expected = kids(folder)[0]
    with ring._reload_lock.get():
        child = os.fork()
        if not child:
            os._exit(0 if ring.current.kid == expected else 1)
        assert 0 == os.waitpid(child, 0)[1]


def test_a_ring_shows_no_key(folder: Path) -> None:
    """The reprs of the ring and of its key show only names."""
    ring = KeyRing(folder)
    assert f"<KeyRing {folder}>" == repr(ring)
    assert f"<SigningKey {ring.current.kid} ES256>" == repr(ring.current)


# --- everything together


class Published(KeyServer):
    """Serves what the ring in a folder publishes now."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        super().__init__()

    @property
    def document(self) -> object:
        return self.ring.jwks()

    @document.setter
    def document(self, _: object) -> None: ...


class _Service:
    """A verifier with the published keys, and a record of its refusals."""

    def __init__(self, url: str) -> None:
        self.keys = JwksKeys(url, algorithms=["ES256"], timings=FetchTimings(cooldown=0.05))
        trusted = TrustedIssuer(
            name="own",
            issuer=ISSUER,
            audience=frozenset({"orders"}),
            algorithms=frozenset({"ES256"}),
            profile=RFC9068,
            keys=self.keys,
            own=True,
        )
        self.verifier = Verifier([trusted], EMPTY_POLICY)
        self.refusals: list[str] = []
        self.signed_by: set[str] = set()

    def take(self, token: str, *, wait: bool = False) -> None:
        """Verify without waiting for a fetch: a key must be known before its first token arrives."""
        try:
            self.verifier.verify(token, wait=wait)
            self.signed_by.add(str(verify_signature(token, self.keys)[0]["kid"]))
        except (InvalidToken, KeysPending) as error:
            self.refusals.append(repr(error))

    def fetched(self, kid: str) -> bool:
        """Return whether the service has that key, after starting a fetch in the background."""
        self.keys._single_flight.get().trigger()
        snapshot = self.keys._snapshot
        return snapshot is not None and snapshot.keys.knows(kid)


def test_rotation_under_load_loses_no_request(tmp_path: Path) -> None:
    """While keys are rotated and a process restarts, no token of any process is refused."""
    folder = tmp_path / "keys"
    add_key(folder)
    spawn = multiprocessing.get_context("spawn")
    foreign, stop = spawn.Queue(), spawn.Event()
    other = spawn.Process(target=issue_until, args=(folder, ISSUER, foreign, stop), daemon=True)
    other.start()
    rings = [KeyRing(folder, reload_interval=0.02)]
    issued: list[str] = []
    with Published(rings[0]) as server:
        service = _Service(server.url)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                token = Issuer(ISSUER, rings[-1], audience="orders", client="c").issue("alice")
                issued.append(token)
                service.take(token)

        relayed: list[str] = []

        def relay() -> None:
            for token in iter(partial(foreign.get, timeout=60), None):
                relayed.append(token)
                service.take(token)

        threads = [threading.Thread(target=target, daemon=True) for target in (serve, serve, relay)]
        service.take(Issuer(ISSUER, rings[0], audience="orders", client="c").issue("first"), wait=True)
        for thread in threads:
            thread.start()
        # The other process takes a while to start.
        assert eventually(lambda: bool(relayed), within=60)
        for _ in range(4):
            following = read_ring(folder).next_keys[0].kid
            assert eventually(partial(service.fetched, following))
            time.sleep(0.1)
            rotate_keys(folder, ahead=0.1)
            # A restart: a new ring from the same folder, for the server too.
            rings.append(KeyRing(folder, reload_interval=0.02))
            server.ring = rings[-1]
            assert eventually(partial(service.signed_by.__contains__, following))
        time.sleep(0.2)
        stop.set()
        done.set()
        for thread in threads:
            thread.join(30)
        other.join(30)
        # What was made with keys that are retired since is still good for whoever never saw it.
        late = _Service(server.url)
        for token in [*issued[:: max(1, len(issued) // 50)], issued[-1]]:
            late.take(token, wait=True)
    assert ([], []) == (service.refusals, late.refusals)
    assert 5 == len(service.signed_by)


def test_a_token_of_a_withdrawn_key_is_refused(folder: Path) -> None:
    """Our own issuer refuses it after the next reload, cached or not."""
    issuer = Issuer(ISSUER, KeyRing(folder, reload_interval=0.0), audience="orders", client="c")
    token = issuer.issue("alice")
    assert "alice" == issuer.verify(token).subject
    withdraw_key(kids(folder)[0], folder)
    with pytest.raises(InvalidToken, match="unknown_key"):
        issuer.verify(token)
    assert "alice" == issuer.verify(sign({**_registered(), "sub": "alice"}, KeyRing(folder).current)).subject


def _registered() -> dict[str, object]:
    now = int(time.time())
    return {"iss": ISSUER, "aud": "orders", "client_id": "c", "iat": now, "exp": now + 60, "jti": "1"}
