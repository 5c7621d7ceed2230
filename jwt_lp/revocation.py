"""Was it taken back?

An immutable view of what was taken back, kept by this process and polled from a source. Nothing on the way of a
request asks the source.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, TypeAlias

from jwt_lp.errors import StoreError
from jwt_lp.standing import Builder, Ledger, let_go

if TYPE_CHECKING:
    from jwt_lp.claims import AccessToken
    from jwt_lp.standing import Standing

PAUSE: Final = 5.0
STALE_AFTER: Final = 60.0
REFUSE_AFTER: Final = 3600.0

Of: TypeAlias = Literal["token", "subject", "client", "role", "issuer"]
"""What an entry is about."""


class Key(NamedTuple):
    """Whom an entry is about: what it is, the exact `iss`, and its name, "" for an issuer as a whole."""

    of: Of
    issuer: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was taken back, for one token, subject, client, role or issuer.

    For a token (by its `jti`) that token and all that were narrowed from it. With a `pattern`, a deny entry: it
    refuses every permission that the pattern covers and none of `keep` does; for a role, what that role confers.
    Without one, a not-before entry: it refuses tokens issued at `before` or earlier, or every token where that is
    None. Times are seconds since the epoch; `until` is None for what stands until it is lifted, or, for a token and
    a not-before entry, until no token that it refuses can be alive. `id` is unique; `at` is when the store took it.
    """

    id: str
    of: Of
    issuer: str
    name: str
    pattern: str = ""
    keep: tuple[str, ...] = ()
    before: float | None = None
    until: float | None = None
    reason: str = ""
    at: float = 0.0

    @property
    def key(self) -> Key:
        """Whom it is about."""
        return Key(self.of, self.issuer, self.name)

    @property
    def kind(self) -> Literal["token", "deny", "not_before"]:
        """Which of the three it is."""
        return "token" if self.of == "token" else "deny" if self.pattern else "not_before"


class Changes(NamedTuple):
    """What changed after a sequence number, as far as one page goes.

    To apply: forget everything about each of `touched`, then add `entries`, ignoring those that are known by `id`.
    `sequence` is that of the last change in the page; `more` says that there are later ones to ask for at once.
    """

    sequence: int
    touched: tuple[Key, ...] = ()
    entries: tuple[Entry, ...] = ()
    more: bool = False


class Source(Protocol):
    """Where entries come from."""

    def changes(self, since: int) -> Changes:
        """What changed after `since`, in the order of the commits; 0 gives all that stands."""
        ...


class Freshness(Enum):
    """Whether what is known may be relied on."""

    FRESH = "fresh"
    STALE = "stale"
    NONE = "none"


class View(NamedTuple):
    """What is known: the last change, what stands, and when that was last confirmed, by the monotonic clock."""

    sequence: int
    ledger: Ledger
    at: float | None


class Revocations:
    """What was taken back, as this process knows it.

    `source` is asked in the background, every `pause` seconds and at once when woken; the picture it gives is
    immutable, and its sequence never goes back. `span` is how long a token can live here, `MAX_LIFETIME` and
    `LEEWAY`, in seconds: until then what was taken back stays taken back. A picture older than `stale_after` is
    stale, one older than `refuse_after` is none. `start` is `open` where everything passes until there is a first
    one. `clock` is monotonic; `wall` gives seconds since the epoch.
    """

    def __init__(
        self,
        source: Source,
        *,
        span: float,
        pause: float = PAUSE,
        stale_after: float = STALE_AFTER,
        refuse_after: float = REFUSE_AFTER,
        start: Literal["closed", "open"] = "closed",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._span = span
        self._pause = pause
        self._stale_after = stale_after
        self._refuse_after = refuse_after
        self._open = start == "open"
        self.clock: Callable[[], float] = clock
        self._wall = wall
        self.view: View = View(0, Ledger(), None)
        self._rebuilt = self._asked = wall()

    @property
    def sequence(self) -> int:
        """The last change that is known."""
        return self.view.sequence

    @property
    def generation(self) -> int:
        """A number that changes when, and only when, what is known changes."""
        return self.view.ledger.generation

    def __len__(self) -> int:
        return len(self.view.ledger)

    def age(self) -> float:
        """For how many seconds nothing was heard; infinite before the first time."""
        at = self.view.at
        return math.inf if at is None else self.clock() - at

    def freshness(self) -> Freshness:
        """Whether what is known may be relied on, asked of the clock now."""
        at = self.view.at
        if at is None:
            return Freshness.FRESH if self._open else Freshness.NONE
        age = self.clock() - at
        if age <= self._stale_after:
            return Freshness.FRESH
        return Freshness.STALE if age <= self._refuse_after else Freshness.NONE

    def standing(self, token: AccessToken) -> Standing:
        """What of a token was taken back."""
        return self.view.ledger.standing(token, self._wall())

    def fresh_standing(self, token: AccessToken) -> Standing:
        """What of a token was taken back; `StoreError` where that is not known well enough to sign by it."""
        if self.freshness() is not Freshness.FRESH:
            raise StoreError("what was taken back is not known well enough: the store was not heard of for too long")
        return self.standing(token)

    def poll(self) -> float:
        """Ask the source for what changed; gives the seconds until the next time. Raises what the source raises."""
        # INVARIANT: counted from before the question, so that an answer is never taken for newer than it is.
        asked_at = self.clock()
        view, now = self.view, self._wall()
        if now < self._asked:
            # The clock was put back: what it took for ended may stand again. Until an answer comes, that is so.
            self._rebuilt = -math.inf
        self._asked = now
        # Once in a while from the start, so that what has ended does not stay for ever.
        again = now - self._rebuilt > self._span
        since, builder = (
            (0, Builder(Ledger(view.ledger.generation), now, self._span))
            if again
            else (
                view.sequence,
                Builder(view.ledger, now, self._span),
            )
        )
        while True:
            page = self._source.changes(since)
            builder.forget(page.touched)
            for entry in page.entries:
                builder.add(entry)
            if page.sequence < since:
                raise StoreError(
                    f"the store's sequence went back from {since} to {page.sequence}: was an older copy restored? "
                    "What is known stays in force; restart the service to take the copy as it is"
                )
            since = page.sequence
            if not page.more:
                break
        if since < view.sequence:
            raise StoreError(f"the store's sequence went back from {view.sequence} to {since}")
        if again:
            self._rebuilt = now
        old, new = view.ledger, builder.done()
        self.view = View(since, new, asked_at)
        replaced = old.replaced(new)
        # From here on nothing but `replaced` holds what is not needed any more.
        del view, builder, old
        let_go(replaced)
        return self._pause
