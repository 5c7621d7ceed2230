"""Discovery of an issuer's key set address.

It is part of the authorization server's metadata (OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jwt_lp.jose.http_fetch import FetchError, check_url

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from jwt_lp.jose.http_fetch import FetchedDocument


def metadata_urls(issuer: str, *, discovery: bool | str | None) -> tuple[str, ...]:
    """Return the metadata addresses to try, in order: the configured one, or the two derived from the issuer.

    OpenID Connect appends its well-known path to the issuer. RFC 8414 inserts its own between host and path.
    """
    if isinstance(discovery, str):
        return (discovery,)
    base = issuer.removesuffix("/")
    parts = urlsplit(base)
    return (
        f"{base}/.well-known/openid-configuration",
        f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{parts.path}",
    )


def discover(
    urls: Sequence[str], issuer: str, fetch: Callable[[str], FetchedDocument], allow_http_hosts: Collection[str]
) -> str:
    """Return the `jwks_uri` of the first document that can be fetched and names this issuer, or raise `FetchError`.

    Refused are a document whose `issuer` differs in any code point (RFC 8414, section 3.3), a `jwks_uri` that
    `check_url` refuses, and one that leads from https to http.
    """
    problems: list[str] = []
    for url in urls:
        try:
            return _jwks_uri(url, fetch(url).document, issuer, allow_http_hosts)
        except FetchError as error:
            problems.append(f"{urlsplit(url).path or '/'}: {error}")
    raise FetchError("no metadata: " + "; ".join(problems))


def _jwks_uri(url: str, document: dict[str, object], issuer: str, allow_http_hosts: Collection[str]) -> str:
    # INVARIANT: metadata that names another issuer is refused. Otherwise one host could set the keys of any issuer.
    if document.get("issuer") != issuer:
        raise FetchError("its issuer is not exactly the configured one")
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise FetchError("it has no jwks_uri")
    fault = check_url(jwks_uri, allow_http_hosts)
    if fault is None and url.startswith("https:") and not jwks_uri.startswith("https:"):
        fault = "leads from https to http"
    if fault is not None:
        raise FetchError(f"its jwks_uri {fault}")
    return jwks_uri
