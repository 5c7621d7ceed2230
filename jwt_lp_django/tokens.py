"""The token endpoint for token exchange (RFC 8693) as URL patterns."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt

from jwt_lp import Answer, TokenExchange
from jwt_lp_django.decorators import external, public


def token_endpoint(
    exchange: TokenExchange, url: str = "/oauth/token", keys_url: str | None = "/.well-known/jwks.json"
) -> list[URLPattern]:
    """The endpoint at `url` and its key set at `keys_url`, for `urlpatterns = [*token_endpoint(exchange)]`.

    Both have declarations. The endpoint is `external`, because it authenticates its clients itself, and exempt from
    CSRF, because it reads no cookie. The key set is `public`; with `keys_url=None` there is none.
    """

    @csrf_exempt
    @external("OAuth client authentication", methods=("POST",))
    def token(request: HttpRequest) -> HttpResponse:
        # INVARIANT: no local variable holds the request's content, because tools render tracebacks with locals.
        return _response(
            exchange.post(
                request.META.get("CONTENT_TYPE"),
                request.read(exchange.max_body + 1),
                _lines(request, "HTTP_AUTHORIZATION"),
            )
        )

    @public
    def keys(request: HttpRequest) -> HttpResponse:
        return _response(exchange.jwks(_lines(request, "HTTP_IF_NONE_MATCH")))

    patterns = [path(url.removeprefix("/"), token, name="jwt_lp_token")]
    if keys_url is None:
        return patterns
    return [*patterns, path(keys_url.removeprefix("/"), keys, name="jwt_lp_keys")]


def _lines(request: HttpRequest, name: str) -> list[str]:
    # Django joins several lines with commas.
    return [request.META[name]] if name in request.META else []


def _response(answer: Answer) -> HttpResponse:
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
