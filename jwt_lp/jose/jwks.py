"""Key sets (RFC 7517, section 5), and static keys from the configuration.

Any fault in a configured set is an error. In a set that an issuer publishes, only the faulty keys are left out.
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
    """An immutable set of keys. `generation` changes if, and only if, the content changes."""

    generation: int
    keys: tuple[VerificationKey, ...]
    _by_kid: Mapping[str | None, tuple[VerificationKey, ...]]
    _exact: Mapping[tuple[str | None, str], tuple[VerificationKey, ...]]

    @classmethod
    def of(cls, keys: Sequence[VerificationKey], generation: int = 1) -> KeySet:
        """Make a set of keys, in the order given."""
        by_kid: dict[str | None, tuple[VerificationKey, ...]] = {}
        for key in keys:
            by_kid[key.kid] = (*by_kid.get(key.kid, ()), key)
        # The common case, one key of that name, is found by one look-up.
        exact: dict[tuple[str | None, str], tuple[VerificationKey, ...]] = {
            (kid, name): named
            for kid, named in by_kid.items()
            if kid is not None and len(named) == 1
            for name in named[0].names
        }
        return cls(generation, tuple(keys), by_kid, exact)

    def find(self, kid: str | None, algorithm: str) -> tuple[VerificationKey, ...]:
        """Return the keys to try, at most three; none for an unknown `kid` or another algorithm.

        Without a `kid`, exactly one key must fit; if several do, none is returned (RFC 7515, section 4.1.4 leaves the
        choice open, and this library does not guess). A set of one key without `kid` serves any `kid`.
        """
        # INVARIANT: a key is never returned for an algorithm other than its own.
        exact = self._exact.get((kid, algorithm))
        if exact is not None:
            return exact
        fitting = tuple(key for key in self._candidates(kid) if key.supports(algorithm))
        if kid is None:
            return fitting if len(fitting) == 1 else ()
        return fitting[:MAX_CANDIDATES]

    def knows(self, kid: str | None) -> bool:
        """Return whether this set has a key for `kid`, so that fetching it again cannot add an unknown one."""
        return kid is None or bool(self._candidates(kid))

    @property
    def content(self) -> frozenset[tuple[str | None, str, str]]:
        """The names, algorithms and digests of the keys; two sets are the same if these are equal."""
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
    """The state of a key source, for readiness checks.

    `loaded` is False before the first good set, and again when the last good set is too old to be used.
    """

    loaded: bool
    keys: int
    age_seconds: float | None
    last_error: str | None


class KeySource(Protocol):
    """A source of verification keys."""

    @property
    def generation(self) -> int:
        """A number that changes if, and only if, the keys change."""
        ...

    def find(
        self, kid: str | None, algorithm: str, *, wait: bool = True, age: float = 0.0
    ) -> tuple[VerificationKey, ...]:
        """Return the keys to try, or none for an unknown `kid`; raise `KeysUnavailable` if that cannot be decided.

        `age` is the number of seconds since the token was signed, by its own `iat`. A `kid` that is missing from a set
        fetched later than that is unknown; an older set may not have the key yet. With `wait=False` it raises
        `KeysPending` where it would have waited.
        """
        ...

    def usable_for(self) -> float:
        """Return for how many more seconds the current keys may be used without another fetch."""
        ...

    def start(self, worker: Worker) -> None:
        """Schedule the background work, if there is any, on `worker`."""
        ...

    def status(self) -> KeysStatus:
        """Return the state of the source."""
        ...


@final
class StaticKeys:
    """Keys from the configuration. Any fault is an error at start."""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys
        self.generation: int = keys.generation
        """A constant, because the keys never change."""

    @classmethod
    @clears_locals
    def from_jwks(cls, jwks: Mapping[str, object], algorithms: Collection[str] | None = None) -> StaticKeys:
        """Read a JWK Set or a single JWK; raise `ConfigurationError` with every fault."""
        return cls(read_configured_jwks(jwks, algorithms))

    def find(
        self,
        kid: str | None,
        algorithm: str,
        *,
        wait: bool = True,  # noqa: ARG002
        age: float = 0.0,  # noqa: ARG002
    ) -> tuple[VerificationKey, ...]:
        """Return the keys to try, or none; never wait and never raise."""
        return self._keys.find(kid, algorithm)

    def usable_for(self) -> float:
        """Return infinity, because the keys do not expire."""
        return math.inf

    def start(self, worker: Worker) -> None:
        """Do nothing: there is no background work."""

    def status(self) -> KeysStatus:
        """Return that the keys are loaded; their age does not matter."""
        return KeysStatus(loaded=True, keys=len(self._keys.keys), age_seconds=None, last_error=None)

    @property
    def thumbprints(self) -> frozenset[str]:
        """The digests of the keys, by which two sets with the same key are found."""
        return frozenset(key.thumbprint for key in self._keys.keys)

    def __repr__(self) -> str:
        return f"StaticKeys({self._keys!r})"


def algorithm_faults(algorithms: Collection[str]) -> list[str]:
    """Return the faults of a list of configured algorithms: not a list, empty, or with unknown names."""
    if isinstance(algorithms, str):
        return ["algorithms is one string: write a list"]
    if not algorithms:
        return ["algorithms is empty: name those that the issuer signs with"]
    supported = ", ".join(sorted(ALGORITHMS))
    return [f"algorithm {name!r} is unknown: one of {supported}" for name in algorithms if name not in ALGORITHMS]


def read_configured_jwks(jwks: Mapping[str, object], algorithms: Collection[str] | None) -> KeySet:
    """Read a set, or a single JWK, from the configuration.

    Raises `ConfigurationError` with every fault: an unusable key, a `kid` used twice, shared secrets together with
    public keys, or no key to verify with. Keys for encryption (`use`, `key_ops`) are skipped.
    """
    faults = [] if algorithms is None else algorithm_faults(algorithms)
    keys = _load_keys(_members(jwks, faults), algorithms, faults, trusted=True)
    faults += _set_faults(keys)
    if not keys and not faults:
        faults.append("the key set has no key to verify signatures with")
    if faults:
        raise ConfigurationError(*faults)
    return KeySet.of(keys)


def read_published_jwks(
    document: Mapping[str, object], algorithms: Collection[str]
) -> tuple[list[VerificationKey], tuple[str, ...]]:
    """Read a set that an issuer published; return the usable keys, and what is wrong with the others."""
    faults: list[str] = []
    keys = _load_keys(_members(document, faults, single=False), algorithms, faults, trusted=False)
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


def _load_keys(
    members: Sequence[object], algorithms: Collection[str] | None, faults: list[str], *, trusted: bool
) -> list[VerificationKey]:
    keys: list[VerificationKey] = []
    for index, member in enumerate(members):
        try:
            keys.append(load_jwk(member, algorithms, trusted=trusted))
        except UnusableKey as error:
            if not error.skippable:
                faults.append(f"{_label(index, member)} {error.reason}")
    return keys


def _set_faults(keys: Sequence[VerificationKey]) -> list[str]:
    faults: list[str] = []
    names = [key.kid for key in keys if key.kid is not None]
    faults += [f"kid {name!r} is used twice" for name in sorted(set(names)) if names.count(name) > 1]
    # INVARIANT: no issuer has both kinds. Otherwise a public key could be used as a shared secret (RFC 8725, 2.1).
    if len({key.symmetric for key in keys}) > 1:
        faults.append("the key set mixes shared secrets with public keys: give them to two issuers")
    return faults


def _label(index: int, member: object) -> str:
    kid = member.get("kid") if is_json_object(member) else None
    return f"key {index}" + (f" (kid {kid[:64]!r})" if isinstance(kid, str) else "")
