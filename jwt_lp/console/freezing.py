"""Freezing of campaigns: reviews that run in the background while a page shows how far they are."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import JwtLpError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.stores.campaigns import Campaign

_KEPT: Final = 20
_logger: Final = logging.getLogger("jwt_lp.console")


@dataclass(slots=True)
class Freeze:
    """One campaign that is being made: its last step, and its result: the id of the campaign, or a fault."""

    id: str
    name: str
    step: str = "review begun"
    number: int = 0
    campaign: str = ""
    fault: str = ""

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return bool(self.campaign or self.fault)

    def on_step(self, step: str, number: int) -> None:
        """Note a step of the review."""
        self.step, self.number = step, number


@dataclass(slots=True)
class Freezes:
    """The campaigns that this process makes or has made, one at a time, because each reads the whole store."""

    _freezes: dict[str, Freeze] = field(default_factory=dict[str, Freeze])
    _lock: Lock = field(default_factory=Lock)

    def begin(self, name: str) -> Freeze | None:
        """A new one; None while another one runs."""
        with self._lock:
            if any(not each.done for each in self._freezes.values()):
                return None
            made = Freeze(secrets.token_hex(16), name)
            self._freezes[made.id] = made
            while len(self._freezes) > _KEPT:
                del self._freezes[next(iter(self._freezes))]
            return made

    def find(self, freeze_id: str) -> Freeze | None:
        """The one with this id; None if another process makes it, or it is long past."""
        return self._freezes.get(freeze_id)


def run_freeze(freeze: Freeze, make: Callable[[Callable[[str, int], object]], Campaign]) -> None:
    """Make the campaign, and keep what became of it; `make` gets the function that takes the steps."""
    try:
        freeze.campaign = make(freeze.on_step).id
    except StoreError as error:
        # INVARIANT: what a store says may name hosts, so nobody is told.
        _logger.error("a campaign could not be made: %s", error)  # noqa: TRY400 - the message says where, as elsewhere
        freeze.fault = "the store does not answer: the log of the service says more"
    except JwtLpError as error:
        freeze.fault = str(error)
    except Exception:
        # Nobody waits for this function, so nobody else would tell.
        _logger.exception("a campaign could not be made")
        freeze.fault = "something unexpected went wrong: the log of the service says more"
