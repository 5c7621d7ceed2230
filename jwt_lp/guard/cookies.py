"""Cookies for browsers: the setting `COOKIE`, and the cookies that carry tokens."""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.errors import PolicyError, clears_locals
from jwt_lp.jose import jws

if TYPE_CHECKING:
    from collections.abc import Callable

CSRF_HEADER: Final = "X-CSRF-Token"
"""The header in which a script sends the value of the CSRF cookie."""

MAX_COOKIE: Final = 4096
"""How many bytes of name and value together a browser keeps (RFC 6265, section 6.1)."""

_CSRF_PURPOSE: Final = b"jwt-lp csrf token"
_REFRESH_PURPOSE: Final = b"jwt-lp refresh check"


class ResponseCookie(NamedTuple):
    """One cookie of a response. It never has a `Domain`, so no other host gets it; `max_age` 0 removes it."""

    name: str
    value: str
    max_age: int
    path: str
    secure: bool
    http_only: bool
    same_site: str

    @property
    def header(self) -> str:
        """The value of a `Set-Cookie` header (RFC 6265, section 4.1)."""
        parts = [f"{self.name}={self.value}", f"Max-Age={self.max_age}", f"Path={self.path}"]
        parts += ["Secure"] if self.secure else []
        parts += ["HttpOnly"] if self.http_only else []
        return "; ".join([*parts, f"SameSite={self.same_site}"])

    def __repr__(self) -> str:
        return f"<ResponseCookie {self.name}, masked>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookies:
    """The setting `COOKIE`: names and attributes of the cookies, and the origins whose pages may send them.

    `name` holds the access token, `refresh_name` the refresh token, and `csrf_name` the CSRF token, which scripts may
    read. Without `secure`, which is for development, they work over plain http.
    """

    name: str = "__Host-access"
    csrf_name: str = "__Host-csrf"
    refresh_name: str = "__Secure-refresh"
    same_site: str = "Lax"
    origins: frozenset[str] = frozenset()
    secure: bool = True

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes of origins whose pages may send the cookies."""
        return ("https",) if self.secure else ("https", "http")

    @clears_locals
    def access(
        self, token: str, *, max_age: int | None = None, csrf: bool = True, clock: Callable[[], float] = time.time
    ) -> tuple[ResponseCookie, ...]:
        """The cookie with an access token of your own issuer, and unless `csrf` is False the one with its CSRF token.

        They end after `max_age` seconds, or if that is None when the token ends. `InvalidToken` if the text is no token, `PolicyError` (`size`) if a browser would
        not keep it.
        """
        lifetime = _lifetime(token, clock()) if max_age is None else max_age
        made = [self._cookie(self.name, token, lifetime)]
        if csrf:
            made.append(self._cookie(self.csrf_name, csrf_token(token), lifetime, http_only=False))
        return tuple(made)

    @property
    def check_name(self) -> str:
        """The name of the cookie that shows that this host set the refresh token: `__Host-refresh-check`."""
        prefix = "__Host-" if self.secure else ""
        return f"{prefix}{self.refresh_name.removeprefix('__Secure-')}-check"

    @clears_locals
    def refresh(self, token: str, *, max_age: float, path: str) -> tuple[ResponseCookie, ResponseCookie]:
        """The cookie with a refresh token, and the one that shows that this host set it.

        Browsers send the first to `path` and below, and both from no other site.
        """
        return (
            self._cookie(self.refresh_name, token, int(max_age), path=path, same_site="Strict"),
            self._cookie(self.check_name, refresh_check(token), int(max_age), same_site="Strict"),
        )

    def clear(self, *, csrf: bool = True, refresh_path: str | None = None) -> tuple[ResponseCookie, ...]:
        """The cookies that remove those of `access`, and with `refresh_path` those of `refresh`."""
        made = [self._cookie(self.name, "", 0)]
        if csrf:
            made.append(self._cookie(self.csrf_name, "", 0, http_only=False))
        if refresh_path is not None:
            made.append(self._cookie(self.refresh_name, "", 0, path=refresh_path, same_site="Strict"))
            made.append(self._cookie(self.check_name, "", 0, same_site="Strict"))
        return tuple(made)

    def _cookie(
        self,
        name: str,
        value: str,
        max_age: int,
        *,
        path: str = "/",
        http_only: bool = True,
        same_site: str | None = None,
    ) -> ResponseCookie:
        size = len(name) + 1 + len(value)
        if size > MAX_COOKIE:
            raise PolicyError(
                f"the cookie {name} would have {size} bytes, and browsers keep {MAX_COOKIE} at most: "
                "issue compact permissions or roles, or send the token in the Authorization header",
                reason="size",
            )
        return ResponseCookie(name, value, max(0, max_age), path, self.secure, http_only, same_site or self.same_site)


def _lifetime(token: str, now: float) -> int:
    expires_at = jws.read_json(jws.parse_compact(token).payload, "payload").get("exp")
    return int(expires_at - now) if isinstance(expires_at, (int, float)) else 0


def csrf_token(access_token: str) -> str:
    """The CSRF token of an access token: an HMAC-SHA256 that only who knows the access token can compute."""
    return _keyed_digest(access_token, _CSRF_PURPOSE)


def refresh_check(refresh_token: str) -> str:
    """The value that goes with a refresh token in a cookie with the prefix `__Host-`.

    A host below the same domain can set a refresh token of its own, but no such cookie: so it signs nobody in.
    """
    return _keyed_digest(refresh_token, _REFRESH_PURPOSE)


def _keyed_digest(token: str, purpose: bytes) -> str:
    return base64.urlsafe_b64encode(hmac.digest(token.encode(), purpose, "sha256")).rstrip(b"=").decode()
