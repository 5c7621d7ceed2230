"""Authentication where `COOKIE` and `DPOP` are set."""

from __future__ import annotations

from jwt_lp.guard.cookie_authentication import CookieAuthenticator
from jwt_lp.guard.dpop_authentication import DpopAuthenticator


class CookieDpopAuthenticator(CookieAuthenticator, DpopAuthenticator):
    """A `CookieAuthenticator` whose tokens are those of a `DpopAuthenticator`: none that is bound, in a cookie."""
