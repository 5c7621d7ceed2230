"""Slowing of failed attempts to sign in, per account and per address.

Every attempt counts as failed until it has succeeded, so that many attempts at once get no more tries than one after the
other. Names and addresses are kept as digests.
"""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from jwt_lp.signin.attempts import Attempt, LocalCounts

if TYPE_CHECKING:
    from jwt_lp.signin.attempts import AttemptCounts

_PERSON: Final = b"jwt_lp.signin"
_MAX_ADDRESS: Final = 64
# A household or a customer gets a network of this size, so its owner has all of its addresses.
_NETWORK_BITS: Final = 64


class Throttle:
    """Slows failed attempts of this process, and with `push` those of all processes.

    `push` is the URL of a Redis server, as in the setting `PUSH`. If that server fails, each process counts by itself.

    One account from one address has 5 attempts that cost nothing, one address 20 over all accounts; each later failure
    doubles the delay, from a second up to 15 minutes. One account has 20 over all addresses, and then delays of at most a
    minute, which an address from which it has signed in before does not feel. Failures are forgotten after an hour.
    """

    def __init__(self, push: str | None = None, *, local: LocalCounts | None = None) -> None:
        # Not `or`: counts without an entry have the length 0.
        self._local = LocalCounts() if local is None else local
        self._shared: AttemptCounts | None = None
        if push is not None:
            from jwt_lp.signin.shared_attempts import SharedCounts

            self._shared = SharedCounts(push)

    def reserve(self, attempt: Attempt) -> float:
        """Count the attempt as failed and return 0; or count nothing, and return the seconds to wait."""
        wait = self._local.reserve(attempt)
        if wait == 0 and self._shared is not None:
            wait = self._shared.reserve(attempt)
            if wait > 0:
                self._local.withdraw(attempt)
        return wait

    def succeed(self, attempt: Attempt) -> None:
        """Forget the failures of the account; those of the address stay, without this attempt."""
        self._local.succeed(attempt)
        if self._shared is not None:
            self._shared.succeed(attempt)

    def withdraw(self, attempt: Attempt) -> None:
        """Take back an attempt that came to no result."""
        self._local.withdraw(attempt)
        if self._shared is not None:
            self._shared.withdraw(attempt)


def read_attempt(account: str, address: str | None) -> Attempt:
    """The attempt to sign in to an account from an address, which is None if the host knows none."""
    # Many user tables find a name in any case, and MySQL with any accents: each spelling would have its own attempts.
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", account).casefold())
    name = "".join(letter for letter in letters if not unicodedata.combining(letter)).strip()
    network = _network(address)
    return Attempt(
        _digest("pair", network, name), _digest("account", name), _digest("address", network) if network else None
    )


def account_label(account: str) -> str:
    """A short digest that names an account in the log: people type passwords into the field for the name, too."""
    return read_attempt(account, None).account[:6].hex()


def _network(address: str | None) -> str:
    """The network of an IPv6 address, another address or text as it is; "" for none."""
    if not address:
        return ""
    with suppress(ValueError):
        parsed = ip_address(address)
        if not isinstance(parsed, IPv6Address):
            return str(parsed)
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{int(parsed) >> _NETWORK_BITS:x}::"
    return address[:_MAX_ADDRESS]


def _digest(kind: str, *parts: str) -> bytes:
    text = "\0".join((kind, *parts)).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16, person=_PERSON).digest()
