"""Reader of the setting `COOKIE`."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from jwt_lp.guard.cookies import Cookies
from jwt_lp.guard.setting_fields import SettingReader

COOKIE_KEYS: Final = ("NAME", "CSRF_NAME", "REFRESH_NAME", "SAMESITE", "ORIGINS", "INSECURE")
_PREFIXES: Final = ("__Host-", "__Secure-")
_SAME_SITE: Final = {"lax": "Lax", "strict": "Strict", "none": "None"}
# A token of RFC 9110, section 5.6.2, as a cookie's name has to be.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class CookieSettingsReader(SettingReader):
    """Reads the setting, and collects its faults."""

    def cookies(self, *, development: bool) -> Cookies:
        """The cookies. Without the secure attribute only in development, and then without the prefixes that need it."""
        self.reject_unknown(COOKIE_KEYS)
        secure = not self.flag("INSECURE")
        if not secure and not development:
            self.fault("INSECURE sends tokens over plain http: it needs JWT_LP_DEV=1")
        cookies = Cookies(
            name=self._name("NAME", "__Host-access", "__Host-", secure=secure),
            csrf_name=self._name("CSRF_NAME", "__Host-csrf", "__Host-", secure=secure),
            refresh_name=self._name("REFRESH_NAME", "__Secure-refresh", "__Secure-", secure=secure),
            same_site=self._same_site(secure=secure),
            origins=frozenset(self._origins(secure=secure)),
            secure=secure,
        )
        names = (cookies.name, cookies.csrf_name, cookies.refresh_name, cookies.check_name)
        if len(set(names)) < len(names):
            self.fault(f"NAME, CSRF_NAME and REFRESH_NAME are three different names, and none is {cookies.check_name}")
        return cookies

    def _name(self, key: str, default: str, prefix: str, *, secure: bool) -> str:
        name = self.text(key) or (default if secure else default.removeprefix(prefix))
        if not _NAME.fullmatch(name):
            self.fault(f"{key} is the name of a cookie: letters, digits, - and _")
        elif secure and not name.startswith(prefix):
            self.fault(f'{key} begins with {prefix}, as in "{default}": only then does no other host set this cookie')
        elif not secure and name.lower().startswith(tuple(map(str.lower, _PREFIXES))):
            self.fault(f"{key} has a prefix that browsers accept only with https, and INSECURE is set: leave it out")
        return name

    def _same_site(self, *, secure: bool) -> str:
        value = self.text("SAMESITE") or "Lax"
        same_site = _SAME_SITE.get(value.lower())
        if same_site is None:
            self.fault('SAMESITE is "Lax", "Strict" or "None"')
        elif same_site == "None" and not secure:
            self.fault('SAMESITE "None" works only with https, and INSECURE is set')
        return same_site or "Lax"

    def _origins(self, *, secure: bool) -> list[str]:
        schemes = ("https",) if secure else ("https", "http")
        origins: list[str] = []
        for text in self.texts("ORIGINS"):
            if _is_origin(text, schemes):
                origins.append(text)
            else:
                self.fault(
                    f'ORIGINS: {text!a} is no origin such as "https://app.example.com", without a slash at the end'
                )
        return origins


def _is_origin(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether it is written as browsers write an origin: scheme and host in lower case, a port only if it is another."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme not in schemes or not host or "*" in host or not text.isascii():
        return False
    if port == {"https": 443, "http": 80}[parts.scheme]:
        return False
    shown = f"[{host}]" if ":" in host else host
    return text == f"{parts.scheme}://{shown}" + (f":{port}" if port is not None else "")
