"""Compact permissions: short texts, and one canonical form of each."""

from __future__ import annotations

import base64
import csv
import random
import string
import time
import tracemalloc
import zlib
from collections import defaultdict
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.errors import GrammarError, PolicyError
from jwt_lp.policy.compact import MAX_TEXT, CatalogueCodec
from jwt_lp.policy.entries import CatalogueEntry
from jwt_lp.policy.file import EMPTY_POLICY, Policy
from prerequisites import require

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ASSIGNMENTS = Path(__file__).parents[3] / "shared" / "data" / "assignments.csv"

MANY = examples(300)
FEW = examples(60)


def policy(names: Iterable[str], *retired: str) -> Policy:
    return Policy({name: CatalogueEntry(name, retired=name in retired) for name in names})


def numbered(size: int) -> list[str]:
    return [f"area{index % 40}:thing{index}:use" for index in range(size)]


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def digest(names: Sequence[str]) -> bytes:
    """A second implementation of the digest of a catalogue's beginning."""
    framed = b"".join(len(name.encode()).to_bytes(4, "big") + name.encode() for name in names)
    return sha256(framed).digest()[:9]


def written(tag: str, data: bytes) -> str:
    return tag + base64.urlsafe_b64encode(data).decode().rstrip("=")


def text(tag: str, names: Sequence[str], body: bytes) -> str:
    """A text that needs exactly `names`, with this body."""
    return written(tag, varint(len(names)) + digest(names) + body)


def deflated(data: bytes, **options: Any) -> bytes:
    stream = zlib.compressobj(options.pop("level", 9), wbits=-15, **options)
    return stream.compress(data) + stream.flush()


def malformed(names: Sequence[str], written: object) -> str:
    with pytest.raises(GrammarError) as caught:
        policy(names).decode(written)  # type: ignore[arg-type]
    return str(caught.value).removeprefix("compact permissions are malformed: ")


NAMES = numbered(1000)
ALL = policy(NAMES)

# A catalogue by its size, with some of its positions.
held = st.integers(1, 400).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1))))


# What is written is read again


@MANY
@given(held, st.randoms())
def test_encoded_permissions_are_decoded(chosen: tuple[int, set[int]], shuffled: Any) -> None:
    """Encoded permissions are decoded in the catalogue's order."""
    size, positions = chosen
    names = numbered(size)
    given = [names[at] for at in positions] * 2
    shuffled.shuffle(given)
    catalogue = policy(names)
    assert tuple(names[at] for at in sorted(positions)) == catalogue.decode(catalogue.encode(given))


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 127, 128, 129, 1000])
def test_empty_and_full_sets_are_decoded(size: int) -> None:
    """The empty set, the last entry alone and all entries can be encoded."""
    names = numbered(size)
    catalogue = policy(names)
    for chosen in ([], names[-1:], names):
        assert tuple(chosen) == catalogue.decode(catalogue.encode(chosen))


def test_the_form_is_stable() -> None:
    """The form of a text is the same in every release."""
    assert text("d", [], b"") == ALL.encode([])
    assert "dAOOwxEKY_BwUmg" == ALL.encode([])
    # the last position is said by the length; before it the gaps, beginning with the second
    assert text("d", NAMES[:1], b"") == ALL.encode(NAMES[:1])
    assert text("d", NAMES[:334], b"\x01\xc8\x02") == ALL.encode([NAMES[2], NAMES[4], NAMES[333]])
    assert text("z", NAMES[:997], deflated(b"\xff" * 124 + b"\x1f")) == ALL.encode(NAMES[:997])


@FEW
@given(held)
def test_the_shorter_encoding_is_used(chosen: tuple[int, set[int]]) -> None:
    """No text is longer than either of the encodings would be."""
    size, positions = chosen
    assume(positions)
    names = numbered(size)
    ordered = sorted(positions)
    gaps = b"".join(varint(after - before - 1) for before, after in pairwise(ordered))
    bitmap = sum(1 << at for at in ordered).to_bytes(ordered[-1] // 8 + 1, "little")
    shorter = min(len(gaps), len(deflated(bitmap)))
    rest = len(varint(ordered[-1] + 1)) + 9 + shorter
    assert 1 + -(-rest * 4 // 3) == len(policy(names).encode(names[at] for at in positions))


# The beginning of the catalogue that a text needs


@MANY
@given(held, st.integers(0, 40))
def test_a_longer_catalogue_reads_the_same(chosen: tuple[int, set[int]], more: int) -> None:
    """A catalogue with more entries at its end writes and reads the same texts."""
    size, positions = chosen
    names = numbered(size + more)
    given = [names[at] for at in positions]
    compact = policy(names[:size]).encode(given)
    assert compact == policy(names).encode(given)
    assert tuple(sorted(given, key=names.index)) == policy(names).decode(compact)


@MANY
@given(held, st.data())
def test_another_catalogue_refuses(chosen: tuple[int, set[int]], data: st.DataObject) -> None:
    """A catalogue that is too short, or has another name at a needed position, refuses the text."""
    size, positions = chosen
    assume(positions)
    names = numbered(size)
    compact = policy(names).encode(names[at] for at in positions)
    needed = max(positions) + 1
    shorter = data.draw(st.integers(0, needed - 1))
    with pytest.raises(
        PolicyError, match=rf"deploy the newer policy here first: .* of {needed} or more, .* has {shorter}"
    ):
        policy(names[:shorter]).decode(compact)
    changed = data.draw(st.integers(0, needed - 1))
    names[changed] = "another"
    with pytest.raises(PolicyError, match=r"written with another catalogue: .* same policy file on both sides"):
        policy(names).decode(compact)


def test_only_the_needed_entries_count() -> None:
    """A text is read by every catalogue that has the same beginning."""
    assert ("a", "b") == policy(["a", "b", "c", "d"]).decode(policy(["a", "b", "d", "c"]).encode(["b", "a"]))


def test_the_digest_separates_names() -> None:
    """Names with the same concatenation have different digests."""
    with pytest.raises(PolicyError, match="another catalogue"):
        policy(["a", "bc"]).decode(policy(["ab", "c"]).encode(["ab", "c"]))


def test_without_a_catalogue_no_position_is_decoded() -> None:
    """Without a catalogue, only the empty set is decoded."""
    assert () == EMPTY_POLICY.decode(EMPTY_POLICY.encode([]))
    with pytest.raises(PolicyError, match="of 1 or more, and the one here has 0"):
        EMPTY_POLICY.decode(ALL.encode(NAMES[:1]))
    with pytest.raises(PolicyError, match="'a' is not in the catalogue"):
        EMPTY_POLICY.encode(["a"])


# What has no position


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        pytest.param(["orders:raed"], "'orders:raed' is not in the catalogue; did you mean 'orders:read'?", id="a typo"),
        pytest.param(["stock:*"], "'stock:*' is not in the catalogue", id="a pattern"),
        pytest.param(["orders:7:pay"], "'orders:7:pay' is not in the catalogue; did you mean 'orders:read'?", id="an instance"),
        pytest.param(["orders:{id}:pay"], "'orders:{id}:pay' is a template; did you mean 'orders:read'?", id="a template"),
        pytest.param(["orders:lost"], "'orders:lost' is retired; did you mean 'orders:list'?", id="retired"),
        pytest.param(["x", "orders:read", "y"], "'x' is not in the catalogue, 'y' is not in the catalogue", id="each"),
        pytest.param(["orders:r"] * 2 + [f"orders:read{index}" for index in range(3)], "'orders:r' is not in the catalogue; did you mean 'orders:read'?, 'orders:read0' is not in the catalogue; did you mean 'orders:read'?, 'orders:read1' is not in the catalogue; did you mean 'orders:read'?, 'orders:read2' is not in the catalogue", id="few hints"),
        pytest.param(["\n\x1b[31m" + "a" * 1000], r"'\n\x1b[31m" + "a" * 250 + "'... is not in the catalogue", id="long"),
    ],
)  # fmt: skip
def test_permissions_without_a_position_are_named(permissions: list[str], expected: str) -> None:
    """The error names all permissions without a position, with the nearest names."""
    catalogue = policy(["orders:read", "orders:list", "orders:{id}:pay", "orders:lost"], "orders:lost")
    with pytest.raises(PolicyError) as caught:
        catalogue.encode(permissions)
    assert (f"cannot be written as positions: {expected}", "scope") == (str(caught.value), caught.value.reason)


@pytest.mark.parametrize(
    "permissions",
    [
        pytest.param("a", id="one string"),
        pytest.param(["a", None], id="None"),
        pytest.param([b"a"], id="bytes"),
        pytest.param([["a"]], id="a list"),
    ],
)
def test_permissions_are_a_list_of_strings(permissions: Any) -> None:
    """A single str is not read letter by letter, and only strings are accepted."""
    with pytest.raises(PolicyError, match=r"a list of strings, such as \["):
        policy(["a"]).encode(permissions)


def test_a_retired_permission_keeps_its_position() -> None:
    """A live token with a retired permission is decoded as before."""
    compact = policy(["a", "b", "c"]).encode(["a", "b", "c"])
    assert ("a", "b", "c") == policy(["a", "b", "c"], "b").decode(compact)


def test_a_template_is_never_decoded() -> None:
    """A well-formed text with the position of a template is refused."""
    names = ["a", "orders:{id}:pay"]
    assert "it holds a template" == malformed(names, text("d", names, b"\0"))
    assert ("a",) == policy(names).decode(policy(names).encode(["a"]))


# What nobody would write


@pytest.mark.parametrize(
    ("junk", "expected"),
    [
        pytest.param(None, "it is not a string but NoneType", id="None"),
        pytest.param(7, "it is not a string but int", id="a number"),
        pytest.param(b"dAOOwxEKY_BwUmg", "it is not a string but bytes", id="bytes"),
        pytest.param(["d"], "it is not a string but list", id="a list"),
        pytest.param("", "its first letter is not", id="empty"),
        pytest.param("D" + ALL.encode([])[1:], "its first letter is not", id="a tag of another version"),
        pytest.param("d\xe9", "or it is not base64url", id="beyond ASCII"),
        pytest.param("d\ud800", "or it is not base64url", id="a surrogate"),
        pytest.param("d", "it ends too early", id="a tag alone"),
        pytest.param("dA", "it is not", id="six bits"),
        pytest.param("dAA", "it ends too early", id="no digest"),
        pytest.param(ALL.encode([])[:-1], "it is not base64url", id="a digest that is cut"),
        pytest.param(ALL.encode([]) + "==", "it is not canonical", id="padding"),
        pytest.param(ALL.encode([]) + " ", "it is not canonical", id="a blank"),
        pytest.param(ALL.encode([]) + "\n", "it is not canonical", id="a line end"),
        pytest.param(ALL.encode([]).replace("_", "/"), "it is not canonical", id="the other alphabet"),
        pytest.param(ALL.encode([])[:-1] + "h", "it is not canonical", id="bits behind the end"),
        pytest.param("d" + "A" * MAX_TEXT, f"it is longer than {MAX_TEXT} characters", id="too long"),
        pytest.param(written("d", b"\x80\0" + digest([])), "not in its shortest form", id="a length of two bytes"),
        pytest.param(written("d", b"\x80\x80\x80\x80\1" + digest([])), "it ends too early", id="a huge length"),
        pytest.param(written("d", b"\xff"), "it ends too early", id="half a length"),
    ],
)
def test_junk_is_refused(junk: object, expected: str) -> None:
    """A malformed text is refused before its content is used."""
    assert expected in malformed(NAMES, junk)


@pytest.mark.parametrize(
    ("tag", "size", "body", "expected"),
    [
        pytest.param("d", 0, b"\0", "a position is beyond", id="a gap, and nothing is held"),
        pytest.param("d", 1, b"\0", "a position is beyond", id="two positions of one"),
        pytest.param("d", 300, b"\x80\3", "a position is beyond", id="gaps beyond the last position"),
        pytest.param("d", 300, b"\1\x81\0", "not in its shortest form", id="a gap with a zero before it"),
        pytest.param("d", 300, b"\1\x81", "a number is not finished", id="half a gap"),
        pytest.param("d", 300, b"\x80\x80\x80\x80\1", "a number is too large", id="a huge gap"),
        pytest.param("z", 0, b"", "does not match its length", id="nothing, not even deflated"),
        pytest.param("z", 0, deflated(b""), "the highest position does not", id="an empty bitmap"),
        pytest.param("z", 9, b"", "does not match its length", id="no bitmap"),
        pytest.param("z", 9, b"\7", "not deflated", id="no deflate stream"),
        pytest.param("z", 9, deflated(b"\1\1")[:-1], "does not match its length", id="a stream that is cut"),
        pytest.param("z", 9, deflated(b"\1\1") + b"\0", "does not match its length", id="something behind the stream"),
        pytest.param("z", 9, zlib.compress(b"\1\1"), "not deflated", id="a stream with a header"),
        pytest.param("z", 9, deflated(b"\1"), "does not match its length", id="a bitmap that is too short"),
        pytest.param("z", 9, deflated(b"\1\1\0"), "does not match its length", id="zeros behind"),
        pytest.param("z", 9, deflated(b"\1\2"), "the highest position does not", id="a bit beyond"),
        pytest.param("z", 9, deflated(b"\1\0"), "the highest position does not", id="a length beyond the last bit"),
    ],
)
def test_other_encodings_of_the_same_set_are_refused(tag: str, size: int, body: bytes, expected: str) -> None:
    """Only the canonical encoding of a set is accepted."""
    assert expected in malformed(NAMES, text(tag, NAMES[:size], body))


@MANY
@given(held, st.data())
def test_a_changed_text_is_refused_or_canonical(chosen: tuple[int, set[int]], data: st.DataObject) -> None:
    """A text with a byte changed, added or left out is refused, or is itself what would be written for what it says.

    Only deflate has several streams for the same bits.
    """
    size, positions = chosen
    names = numbered(size)
    catalogue = policy(names)
    compact = catalogue.encode(names[at] for at in positions)
    tag, raw = compact[0], bytearray(base64.urlsafe_b64decode(compact[1:] + "=="))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at : at + data.draw(st.integers(0, 1))] = data.draw(st.binary(max_size=2))
    mutated = written(tag, bytes(raw))
    try:
        read = catalogue.decode(mutated)
    except (GrammarError, PolicyError):
        return
    again = catalogue.encode(read)
    assert tag == "z" or again[0] == "z" or again == mutated
    assert read == catalogue.decode(again)


@MANY
@given(st.integers(0, 400), st.sampled_from("dz"), st.binary(max_size=40))
def test_a_body_is_canonical_or_refused(size: int, tag: str, body: bytes) -> None:
    """Two bodies of gaps never have the same meaning, and a body raises only a refusal."""
    catalogue = policy(NAMES)
    given = text(tag, NAMES[:size], body)
    try:
        read = catalogue.decode(given)
    except GrammarError:
        return
    assert [*NAMES[:size][-1:]] == [*read[-1:]]
    again = catalogue.encode(read)
    assert again == given or again[0] != tag or tag == "z"
    assert read == catalogue.decode(again)


@MANY
@given(st.text(alphabet=string.ascii_letters + string.digits + "-_=+/ \n\xe9", max_size=60))
def test_decoding_raises_no_other_errors(junk: str) -> None:
    """A malformed text raises one of the two documented errors."""
    for tag in ("", "d", "z"):
        with pytest.raises((GrammarError, PolicyError)):
            ALL.decode(tag + junk)


def test_a_deflate_bomb_is_not_unpacked() -> None:
    """A stream that unpacks to a thousand times its size is unpacked only as far as needed."""
    bomb = text("z", NAMES, deflated(b"\xff" * 20_000_000))
    assert MAX_TEXT > len(bomb)
    tracemalloc.start()
    begun = time.perf_counter()
    assert "does not match its length" in malformed_by(ALL, bomb)
    seconds = time.perf_counter() - begun
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 500_000 > peak
    assert 0.2 > seconds


def malformed_by(catalogue: Policy, junk: str) -> str:
    with pytest.raises(GrammarError) as caught:
        catalogue.decode(junk)
    return str(caught.value)


def test_a_text_that_is_too_long_is_not_written() -> None:
    """A text that is too long to be read is not written."""
    names = [f"{index}" for index in range(250_000)]
    chosen = random.Random(1).sample(names, 125_000)
    with pytest.raises(
        PolicyError, match="125000 permissions are too many for one token: grant them by a role"
    ) as caught:
        CatalogueCodec.of(names).encode(chosen)
    assert "size" == caught.value.reason


# Sizes and times


def sizes(catalogue: Policy, subjects: Iterable[Sequence[str]]) -> tuple[list[float], list[float]]:
    """The size of each subject's compact permissions, in characters and as a fraction of the plain text; both sorted."""
    lengths: list[float] = []
    parts: list[float] = []
    for subject in subjects:
        compact = catalogue.encode(subject)
        assert set(subject) == set(catalogue.decode(compact))
        lengths.append(len(compact))
        parts.append(len(compact) / len(" ".join(subject)))
    return sorted(lengths), sorted(parts)


def print_percentiles(what: str, values: list[float]) -> None:
    cuts = quantiles(values, n=100)
    print(f"{what}: median {cuts[49]:.3f}, p99 {cuts[98]:.3f}, max {values[-1]:.3f}")  # noqa: T201 - shown with -s


def test_real_assignments_become_short() -> None:
    """For 99 % of 10,021 real users, compact permissions take at most a third of the space."""
    require(ASSIGNMENTS.exists(), "the measured sizes need ../shared/data/assignments.csv beside the project")
    users: dict[str, list[str]] = defaultdict(list)
    with ASSIGNMENTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            users[row["user"]].append(f"perm:{row['permission']}:use")
    names = dict.fromkeys(
        sorted((each for held in users.values() for each in held), key=lambda name: int(name.split(":")[1]))
    )
    lengths, parts = sizes(policy(names), users.values())
    strings = sorted(float(len(" ".join(held))) for held in users.values())
    print_percentiles("strings", strings)
    print_percentiles("compact", lengths)
    print_percentiles("compact / strings", parts)
    assert 10_021 == len(users)
    assert quantiles(strings, n=100)[98] >= 3 * quantiles(lengths, n=100)[98]
    # what docs/policy.md shows; another zlib may pack a little otherwise
    assert [49, 176] == [quantiles(strings, n=100)[at] for at in (49, 98)]
    assert [20, 33] == pytest.approx([quantiles(lengths, n=100)[at] for at in (49, 98)], abs=1)


def test_large_catalogues_become_short() -> None:
    """500 random permissions of 10,000 take at most a tenth of the space, and well under a millisecond."""
    chance = random.Random(7)
    areas, things, verbs = (
        ["billing", "orders", "stock", "people", "reports"],
        range(400),
        ["read", "create", "update", "delete", "export"],
    )
    names = [f"{area}:thing{thing}:{verb}" for area in areas for thing in things for verb in verbs]
    catalogue = policy(names)
    lengths, parts = sizes(catalogue, (chance.sample(names, 500) for _ in range(40)))
    print_percentiles("compact", lengths)
    print_percentiles("compact / strings", parts)
    assert 10_000 == len(names)
    assert 0.1 >= parts[-1]
