"""Which keys does this document give us?

A JWK Set (RFC 7517, section 5) becomes an immutable `KeySet`. What the operator wrote down is refused whole
for any fault; what an issuer published loses the faulty members and keeps the rest.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, final

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import ConfigurationError, clears_locals
from jwt_lp.jose.jwk import ALGORITHMS, UnusableKey, VerificationKey, load_jwk

if TYPE_CHECKING:
    from jwt_lp._support.worker import Worker

MAX_KEYS: Final = 100
MAX_CANDIDATES: Final = 3


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KeySet:
    """Keys under their names. `generation` changes when, and only when, the content does."""

    generation: int
    keys: tuple[VerificationKey, ...]
    _by_kid: Mapping[str | None, tuple[VerificationKey, ...]]

    @classmethod
    def of(cls, keys: Sequence[VerificationKey], generation: int = 1) -> KeySet:
        """Arrange keys in the order given."""
        named: dict[str | None, tuple[VerificationKey, ...]] = {}
        for key in keys:
            named[key.kid] = (*named.get(key.kid, ()), key)
        return cls(generation, tuple(keys), named)

    def find(self, kid: str | None, algorithm: str) -> tuple[VerificationKey, ...]:
        """Give the keys to try, three at most; none when the name is unknown or the algorithm another.

        Without a `kid` only the one key that fits is given, and none when there are several (RFC 7515,
        section 4.1.4 leaves the choice open; guessing is refused). A set of one unnamed key serves any name.
        """
        # INVARIANT: a key is never given for an algorithm other than its own.
        named = self._by_kid.get(kid) if kid is not None else None
        if named is not None and len(named) == 1 and named[0].supports(algorithm):
            return named
        fitting = tuple(key for key in self._candidates(kid) if key.supports(algorithm))
        if kid is None:
            return fitting if len(fitting) == 1 else ()
        return fitting[:MAX_CANDIDATES]

    def knows(self, kid: str | None) -> bool:
        """Tell whether asking the issuer again could not bring a key of this name that is not here."""
        return kid is None or bool(self._candidates(kid))

    @property
    def content(self) -> frozenset[tuple[str | None, str, str]]:
        """What makes two sets the same: names, algorithms and the keys' own digests."""
        return frozenset((key.kid, key.algorithm, key.thumbprint) for key in self.keys)

    def _candidates(self, kid: str | None) -> tuple[VerificationKey, ...]:
        if kid is None:
            return self.keys
        named = self._by_kid.get(kid)
        if named is not None:
            return named
        return self.keys if len(self.keys) == 1 and self.keys[0].kid is None else ()

    def __repr__(self) -> str:
        return f"KeySet(generation={self.generation}, keys={len(self.keys)})"


@dataclass(frozen=True, slots=True)
class KeysStatus:
    """How a source stands: for readiness. `loaded` is False again when the last good set is too old to be used."""

    loaded: bool
    keys: int
    age_seconds: float | None
    last_error: str | None


class KeySource(Protocol):
    """What the verifier asks for keys."""

    @property
    def generation(self) -> int:
        """A number that changes when, and only when, the keys do."""
        ...

    def find(
        self, kid: str | None, algorithm: str, *, wait: bool = True, age: float = 0.0
    ) -> tuple[VerificationKey, ...]:
        """Give the keys to try, or none for an unknown name; `KeysUnavailable` when that cannot be said.

        `age` is the seconds since the token was signed, as far as it says so itself. A key that is not in a set which
        was fetched after that is unknown; in an older set it may be missing. With `wait=False` it raises `KeysPending` where it would have waited.
        """
        ...

    def usable_for(self) -> float:
        """For how many more seconds the keys held now may be used if none are fetched."""
        ...

    def start(self, worker: Worker) -> None:
        """Hand over whatever has to be done in the background."""
        ...

    def status(self) -> KeysStatus:
        """Say how the source stands."""
        ...


@final
class StaticKeys:
    """Keys that the operator wrote down: complete, fit and of one kind, or refused at start."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    @classmethod
    @clears_locals
    def from_jwks(cls, jwks: Mapping[str, object], algorithms: Collection[str] | None = None) -> StaticKeys:
        """Read a JWK Set or a single JWK; `ConfigurationError` lists every fault."""
        return cls(read_configured_jwks(jwks, algorithms))

    @property
    def generation(self) -> int:
        """Always the same."""
        return self._keys.generation

    def find(
        self,
        kid: str | None,
        algorithm: str,
        *,
        wait: bool = True,  # noqa: ARG002
        age: float = 0.0,  # noqa: ARG002
    ) -> tuple[VerificationKey, ...]:
        """Give the keys to try, or none; never waits and never raises."""
        return self._keys.find(kid, algorithm)

    def usable_for(self) -> float:
        """For ever."""
        return math.inf

    def start(self, worker: Worker) -> None:
        """Nothing has to be done in the background."""

    def status(self) -> KeysStatus:
        """Loaded, and of no age that would matter."""
        return KeysStatus(loaded=True, keys=len(self._keys.keys), age_seconds=None, last_error=None)

    def __repr__(self) -> str:
        return f"StaticKeys({self._keys!r})"


def algorithm_faults(algorithms: Collection[str]) -> list[str]:
    """Say which configured algorithms are none of ours, and whether there are any at all."""
    if isinstance(algorithms, str):
        return ["algorithms is one string: write a list"]
    if not algorithms:
        return ["algorithms is empty: name those that the issuer signs with"]
    known = ", ".join(sorted(ALGORITHMS))
    return [f"algorithm {name!r} is unknown: one of {known}" for name in algorithms if name not in ALGORITHMS]


def read_configured_jwks(jwks: Mapping[str, object], algorithms: Collection[str] | None) -> KeySet:
    """Read a set, or a single JWK, that the operator wrote down.

    Raises `ConfigurationError` with every fault: any unfit key, a `kid` used twice, shared secrets beside
    public keys, or no key to verify with. Keys for encryption (`use`, `key_ops`) are passed over.
    """
    faults = [] if algorithms is None else algorithm_faults(algorithms)
    keys: list[VerificationKey] = []
    for place, member in enumerate(_members(jwks, faults)):
        try:
            keys.append(load_jwk(member, algorithms, trusted=True))
        except UnusableKey as unfit:
            if not unfit.skippable:
                faults.append(f"{_label(place, member)} {unfit.reason}")
    faults += _set_faults(keys)
    if not keys and not faults:
        faults.append("the key set has no key to verify signatures with")
    if faults:
        raise ConfigurationError(*faults)
    return KeySet.of(keys)


def read_published_jwks(
    document: Mapping[str, object], algorithms: Collection[str]
) -> tuple[list[VerificationKey], tuple[str, ...]]:
    """Read a set that an issuer published: the keys that are fit, and what is wrong with the others."""
    faults: list[str] = []
    keys: list[VerificationKey] = []
    for place, member in enumerate(_members(document, faults, single=False)):
        try:
            keys.append(load_jwk(member, algorithms, trusted=False))
        except UnusableKey as unfit:
            if not unfit.skippable:
                faults.append(f"{_label(place, member)} {unfit.reason}")
    return keys, tuple(faults)


def _members(jwks: object, faults: list[str], *, single: bool = True) -> Sequence[object]:
    if not is_json_object(jwks):
        faults.append("the key set is not a mapping")
        return ()
    if single and "keys" not in jwks and "kty" in jwks:
        return (jwks,)
    members = jwks.get("keys")
    if not is_json_array(members):
        faults.append('the key set has no list named "keys"')
        return ()
    if len(members) > MAX_KEYS:
        faults.append(f"the key set has more than {MAX_KEYS} keys")
        return ()
    return members


def _set_faults(keys: Sequence[VerificationKey]) -> list[str]:
    faults: list[str] = []
    names = [key.kid for key in keys if key.kid is not None]
    faults += [f"kid {name!r} is used twice" for name in sorted(set(names)) if names.count(name) > 1]
    # INVARIANT: no issuer has both kinds, or a public key could be offered as the secret (RFC 8725, 2.1).
    if len({key.symmetric for key in keys}) > 1:
        faults.append("the key set mixes shared secrets with public keys: give them to two issuers")
    return faults


def _label(place: int, member: object) -> str:
    kid = member.get("kid") if is_json_object(member) else None
    return f"key {place}" + (f" (kid {kid[:64]!r})" if isinstance(kid, str) else "")
