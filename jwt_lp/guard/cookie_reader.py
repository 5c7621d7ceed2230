"""Reader of the Cookie header: one parser, so that all hosts find the same cookie (RFC 6265, section 5.4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from jwt_lp.guard.bearer import MALFORMED, NONE, TOKEN
from jwt_lp.jose.jws import MAX_TOKEN

MAX_COOKIES: Final = 65536
"""How many characters of cookies are searched; browsers keep cookies of 4096 bytes each, and servers limit headers."""

# What a value may consist of (RFC 6265, section 4.1.1); a quoted value is none of them.
_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]+")


class CookieReader:
    """Finds the value of the cookie `name` in the lines of a Cookie header."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._text = f"{name}="
        # INVARIANT: only spaces and tabs are removed before a name. Other white space belongs to the name of another
        # cookie, which any site below the same domain may set.
        self._pattern = re.compile(rf"(?:^|;)[ \t]*{re.escape(name)}=([^;]*)")

    def read(self, lines: Sequence[str]) -> tuple[str, str]:
        """`(TOKEN, the value)`, `(NONE, "")` or `(MALFORMED, the reason)`.

        Two cookies of that name are malformed, because a browser does not say which one this host has set.
        """
        if not any(self._text in line for line in lines):
            return NONE, ""
        if sum(map(len, lines)) > MAX_COOKIES:
            return MALFORMED, f"the Cookie header has more than {MAX_COOKIES} characters"
        values = [value for line in lines for value in self._pattern.findall(line)]
        if len(values) > 1:
            return MALFORMED, f"the cookie {self.name} was sent more than once"
        value = values[0].strip(" \t") if values else ""
        # Clients of Python's that do not remove a cookie, as Django's test client, send an empty value in quotes.
        if value in ("", '""'):
            return NONE, ""
        if len(value) > MAX_TOKEN:
            return MALFORMED, f"the cookie {self.name} has more than {MAX_TOKEN} characters"
        if not _VALUE.fullmatch(value):
            return MALFORMED, f"the cookie {self.name} is quoted, or has characters that no cookie has"
        return TOKEN, value
