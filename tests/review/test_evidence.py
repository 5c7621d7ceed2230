"""Evidence files: signed entry by entry, and every way to change one that must be seen."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.errors import ConfigurationError
from jwt_lp.jose.detached import attach_payload, verify_detached
from jwt_lp.jose.jwk import load_jwk, public_thumbprint
from jwt_lp.jose.jws import parse_compact
from jwt_lp.jose.signing import SigningKey
from jwt_lp.review.evidence_file import STEPS, TYPE, read_evidence, sign_entry, trusted_thumbprints

KEY = SigningKey.generate(kid="a")
OTHER = SigningKey.generate(kid="a")
TRUSTED = {public_thumbprint(KEY.public_jwk())}


def make_evidence(keys=(KEY,) * 5, steps=STEPS):
    """The lines of an evidence file, with one entry for each step."""
    lines: list[bytes] = []
    for number, (step, key) in enumerate(zip(steps, keys, strict=False)):
        before = read_evidence(lines, None) if lines else None
        lines.append(sign_entry(before, step, {f"{step}.txt": f"{step} é\n"}, key, at=1e9 + number, by="ann").encode())
    return lines


WHOLE = make_evidence()


def test_a_whole_file():
    """Each entry has its step, files, author and signer, and the last one closes the file."""
    found = read_evidence(WHOLE, TRUSTED)
    assert list(STEPS) == [entry.step for entry in found.entries]
    assert [{f"{step}.txt": f"{step} é\n"} for step in STEPS] == [entry.files for entry in found.entries]
    assert (True, tuple(TRUSTED), {"ann"}) == (
        found.is_closed,
        found.thumbprints,
        {entry.by for entry in found.entries},
    )
    assert ("", found.entries[0].digest) == (found.entries[0].previous, found.entries[1].previous)
    assert found.entries[-1].digest == found.head


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "Ed448", "RS256", "PS256"])
def test_every_algorithm_with_a_public_half(algorithm):
    """Evidence is signed with any of them; the parts of an entry are a JWS that any library verifies."""
    key = SigningKey.generate(algorithm)
    (line,) = make_evidence((key,))
    assert (public_thumbprint(key.public_jwk()),) == read_evidence([line], None).thumbprints
    entry = json.loads(line)
    whole = parse_compact(attach_payload(entry["signature"], entry["payload"].encode()))
    assert (entry["payload"].encode(), TYPE) == (whole.payload, whole.header["typ"])
    assert load_jwk(key.public_jwk(), None, trusted=False).verify(whole.signing_input, whole.signature)


def test_what_is_not_signed():
    """A shared secret, a closed file and a clock that goes back are refused."""
    found = read_evidence(WHOLE, None)
    for before, key, at, message in (
        (None, SigningKey.generate("HS256"), 2e9, "HS256 is a shared secret"),
        (found, KEY, 2e9, "the evidence is closed"),
        (read_evidence(WHOLE[:2], None), KEY, 1e9, "the clock is earlier than the last entry"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            sign_entry(before, "journal", {}, key, at=at, by="ann")


def _changed(change):
    """The file after a change of its entries, as objects."""
    entries = [json.loads(line) for line in WHOLE]
    return [json.dumps(entry).encode() for entry in change(entries) or entries]


def _edit_payload(entries, number, edit):
    payload = json.loads(entries[number]["payload"])
    edit(payload)
    entries[number]["payload"] = json.dumps(payload, separators=(",", ":"))


def _signed_by(key):
    """The file of somebody with another key."""
    return make_evidence((key,) * 5)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize(
    "edit",
    [
        lambda payload: payload.update(by="eve"),
        lambda payload: payload.update(at=1.0),
        lambda payload: payload.update(files=[]),
        lambda payload: payload.update(number=9),
        lambda payload: payload.update(previous=""),
        lambda payload: payload.update(step="plan"),
        lambda payload: payload["key"].update(OTHER.public_jwk()),
        lambda payload: payload["key"].update(kid="b"),
        lambda payload: payload["key"].update(alg="ES384"),
        lambda payload: payload.update(more=1),
    ],
)
def test_an_entry_that_was_changed(number, edit):
    """A change of any value of any entry is seen at that entry."""
    before = json.loads(WHOLE[number])["payload"]
    lines = _changed(lambda entries: _edit_payload(entries, number, edit))
    if json.loads(lines[number])["payload"] == before:
        return
    with pytest.raises(ConfigurationError, match=f"entry {number + 1}: "):
        read_evidence(lines, TRUSTED)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda entries: entries[1:], "entry 1: it is entry 2: an entry was dropped, added or moved"),
        (lambda entries: [*entries[:2], *entries[3:]], "entry 3: it is entry 4"),
        (lambda entries: [entries[0], entries[2], entries[1], *entries[3:]], "entry 2: it is entry 3"),
        (lambda entries: [entries[0], *entries], "entry 2: it is entry 1"),
        (lambda entries: [*entries, entries[0]], "entry 6: it comes after the entry that closes the file"),
        (lambda entries: [], "it is empty"),
        (lambda entries: [{**entries[0], "signature": entries[1]["signature"]}], "entry 1: its signature is wrong"),
        (lambda entries: [{**entries[0], "signature": "a.b.c"}], "entry 1: its signature is wrong"),
        (lambda entries: [{**entries[0], "signature": entries[0]["signature"] + "é"}], "entry 1: its signature is wrong"),
        (lambda entries: [{**entries[0], "signature": "e30..AA"}], "entry 1: its signature is wrong"),
        (lambda entries: [{**entries[0], "more": 1}], "entry 1: it is not an entry: it has other members"),
        (lambda entries: [{**entries[0], "payload": 1}], "entry 1: it is not an entry"),
        (lambda entries: [{**entries[0], "payload": "[]"}], "entry 1: the payload is not a JSON object"),
        (lambda entries: [{**entries[0], "payload": "{}"}], "entry 1: its key is not a JSON object"),
    ],
)  # fmt: skip
def test_a_file_whose_entries_were_dropped_moved_or_replaced(change, message):
    """What is missing, doubled, moved or no entry at all is seen."""
    lines = [] if message == "it is empty" else _changed(change)
    with pytest.raises(ConfigurationError, match=message):
        read_evidence(lines, TRUSTED)


def test_a_file_whose_last_entries_were_dropped():
    """What is left is a file that is not closed, with another head."""
    whole = read_evidence(WHOLE, TRUSTED)
    for size in range(1, 5):
        found = read_evidence(WHOLE[:size], TRUSTED)
        assert (False, True) == (found.is_closed, found.head != whole.head)


def test_an_entry_that_the_signer_made_for_another_file():
    """An entry of the right number and key, but of another file, does not follow."""
    other = make_evidence((KEY,) * 2, ("plan", "plan"))
    with pytest.raises(ConfigurationError, match="entry 2: it does not follow the entry before it"):
        read_evidence([WHOLE[0], other[1]], TRUSTED)


def test_a_file_that_is_signed_with_another_key():
    """It is whole, but the key is not one that the auditor knows, whatever its kid."""
    with pytest.raises(ConfigurationError, match="entry 1: it is signed by another key"):
        read_evidence(_signed_by(OTHER), TRUSTED)
    with pytest.raises(ConfigurationError, match="entry 3: it is signed by another key"):
        read_evidence(make_evidence((KEY, KEY, OTHER)), TRUSTED)
    both = TRUSTED | {public_thumbprint(OTHER.public_jwk())}
    assert 2 == len(read_evidence(make_evidence((KEY, OTHER)), both).thumbprints)


def test_members_that_come_twice():
    """A text with a second payload, or a payload with a second member, is refused before its signature is read."""
    payload, signature = (json.dumps(json.loads(WHOLE[0])[name]) for name in ("payload", "signature"))
    line = f'{{"payload":"{{}}","payload":{payload},"signature":{signature}}}'
    with pytest.raises(ConfigurationError, match="entry 1: the line names a member twice"):
        read_evidence([line.encode()], TRUSTED)
    for step in ("other", ""):
        text = json.loads(WHOLE[0])["payload"].replace('"step":', f'"step":"{step}","step":')
        line = json.dumps({"payload": text, "signature": json.loads(WHOLE[0])["signature"]})
        with pytest.raises(ConfigurationError, match="entry 1: the payload names a member twice"):
            read_evidence([line.encode()], TRUSTED)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"step": "other"}, {"by": 1}, {"number": "1"}, {"at": "now"}, {"previous": None}, {"more": 1},
    ],
)  # fmt: skip
def test_a_signed_entry_of_another_format(change):
    """A signature by the right key does not make it an entry; what its files are is read leniently."""
    payload = {**json.loads(json.loads(WHOLE[0])["payload"]), **change, "files": ["x", 1]}
    text = json.dumps(payload)
    signed = KEY.sign_compact(text.encode(), typ=TYPE).split(".")
    line = json.dumps({"payload": text, "signature": f"{signed[0]}..{signed[2]}"})
    with pytest.raises(ConfigurationError, match="entry 1: it is not an entry of the format that this release reads"):
        read_evidence([line.encode()], TRUSTED)


def test_a_token_is_not_evidence():
    """A signature of the same key over the same bytes for another purpose is not accepted."""
    payload = json.loads(WHOLE[0])["payload"].encode()
    head, _, tail = KEY.sign_compact(payload, typ="at+jwt").split(".")
    key = load_jwk(KEY.public_jwk(), None, trusted=False)
    assert (False, True) == (verify_detached(f"{head}..{tail}", payload, key, typ=TYPE), True)


def test_the_keys_of_a_set():
    """A JWK Set gives the thumbprints to trust; one without keys is a fault."""
    assert TRUSTED == trusted_thumbprints({"keys": [KEY.public_jwk()]})
    for jwks in ({}, {"keys": []}, {"keys": 1}):
        with pytest.raises(ConfigurationError, match='has no list named "keys"'):
            trusted_thumbprints(jwks)


@given(st.integers(0, sum(map(len, WHOLE)) - 1), st.integers(0, 255))
def test_any_byte_that_is_changed_is_seen(place, byte):
    """Another byte anywhere makes the file unreadable, or leaves what every entry says as it was."""
    data = bytearray(b"".join(WHOLE))
    data[place] = byte
    try:
        found = read_evidence(
            bytes(data).split(b"\n")[:-1] if data.endswith(b"\n") else bytes(data).split(b"\n"), TRUSTED
        )
    except ConfigurationError:
        return
    assert read_evidence(WHOLE, TRUSTED) == found


def test_a_large_file():
    """Ten megabytes of decisions are read; nothing is read of a line that is nested too deeply."""
    (line,) = [sign_entry(None, "decisions", {"decide.csv": "a,b\n" * 2_500_000}, KEY, at=1e9, by="ann").encode()]
    assert 10_000_000 == len(read_evidence([line], TRUSTED).entries[0].files["decide.csv"])
    with pytest.raises(ConfigurationError, match="entry 1: the line "):
        read_evidence([b'{"a":' * 1_000_000], TRUSTED)
