"""What a guard adds to a request in each host: the guarded route less the bare one, in process and without a network.

The token was seen before, and usage and revocations are on. The peers check the same things, except that they record
nothing and know no revocation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import peers
from benchmarks.apps.handlers import PATH, small
from benchmarks.figures import Figure
from benchmarks.requests import AsgiClient, Client, WsgiClient, event_loop
from benchmarks.rounds import Rounds, Work, measure
from benchmarks.scale import Scale
from benchmarks.workbench import SCOPES, logging_off, store_url
from jwt_lp.guard.hosts import find_host
from jwt_lp.testing.authority import AUDIENCE, ISSUER, Authority

REQUESTS = 100
ROUTES = (10, 100, 1000)

NOTHING = "nothing"
"""A side whose guard does nothing: what it adds is what the framework itself takes for a guard of this kind."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What the applications of every host need: the authority, and settings with a store."""

    authority: Authority
    settings: Mapping[str, object]
    header: str
    """The Authorization header of a caller who may."""
    refused: tuple[str | None, ...]
    """Headers that every guarded application has to refuse."""
    closing: ExitStack

    def close_guard_of(self, app: Any) -> Any:
        """Close the application's guard at the end; returns the application."""
        self.closing.callback(find_host(app).guard(app).close)
        return app


def run(scale: Scale) -> list[Figure]:
    """The figures of each host."""
    with logging_off(), opened() as bench, event_loop() as loop:
        clients: dict[str, dict[str, Client]] = {
            "Flask": _flask(bench),
            "Starlette": _starlette(bench, lambda app: AsgiClient(app, PATH, loop)),
            "FastAPI": _fastapi(bench, lambda app: AsgiClient(app, PATH, loop)),
            **_django(bench),
        }
        figures: list[Figure] = []
        for host, sides in clients.items():
            for side, client in sides.items():
                _check(bench, client, guarded=not (side.startswith("bare") or side == NOTHING))
            rounds = measure(_works(bench, sides, scale), scale.rounds)
            figures += _routes(rounds) if host == "routes" else _host(host, rounds)
        return figures


@contextmanager
def opened() -> Iterator[Bench]:
    """A bench with a store, which exists as long as the context."""
    authority = Authority(algorithm="RS256")
    with store_url() as url, ExitStack() as closing:
        header, *refused = (headers["Authorization"] for headers in _headers(authority))
        yield Bench(authority, authority.settings(STORE=url), header, (None, *refused), closing)


def _headers(authority: Authority) -> Iterator[dict[str, str]]:
    """The headers of a caller who may, and then those of others: no permission, too late, not for us, not signed."""
    yield authority.headers("alice", SCOPES, lifetime=3600)
    yield authority.headers("bob", ["orders:4:read"])
    yield authority.headers("alice", SCOPES, lifetime=-60)
    yield authority.headers("alice", SCOPES, claims={"aud": "https://other.test"})
    yield authority.headers("alice", SCOPES, claims={"iss": "https://other.test"})
    yield Authority(algorithm="RS256").headers("alice", SCOPES)


def _check(bench: Bench, client: Client, *, guarded: bool) -> None:
    """Every guarded application gives the same answers, so all do what they are measured for."""
    assert client.status(bench.header) == 200  # noqa: PLR2004 - the status OK
    for header in bench.refused:
        status = client.status(header)
        assert 400 <= status < 500 if guarded else status == 200, (header, status)  # noqa: PLR2004


def _works(bench: Bench, clients: Mapping[str, Client], scale: Scale) -> dict[str, Work]:
    header, number = bench.header, scale.of(REQUESTS)

    def requests(client: Client) -> Work:
        return lambda _: client.repeat(header, number)

    return {side: requests(client) for side, client in clients.items()}


def _host(host: str, rounds: Rounds) -> list[Figure]:
    """The added cost as a share of each peer's, and in microseconds."""
    bases = {side: "bare" for side in rounds.costs if side != "bare"}
    added, quiet = rounds.added(bases), rounds.quiet_half().added(bases)
    peers = [side for side in bases if side not in {"ours", NOTHING}]
    return [
        *(Figure.of_share(added, host, "ours", side, quiet=quiet) for side in peers),
        Figure.of_extra(rounds, f"{host}, added", "ours", "bare"),
        *(
            [Figure.of_extra(rounds, f"{host}, added by a guard that does nothing", NOTHING, "bare")]
            if NOTHING in bases
            else []
        ),
    ]


def _routes(rounds: Rounds) -> list[Figure]:
    """How the added cost grows with the number of routes."""
    bases = {f"{number} routes": f"bare, {number}" for number in ROUTES}
    added, quiet = rounds.added(bases), rounds.quiet_half().added(bases)
    few, *more = bases
    return [
        Figure.of_share(added, f"Django, {number:,} routes", side, few, quiet=quiet)
        for number, side in zip(ROUTES[1:], more, strict=True)
    ]


def _flask(bench: Bench) -> dict[str, Client]:
    from benchmarks.apps import flask_apps

    key = peers.public_key(bench.authority)
    apps = {
        "bare": flask_apps.bare(small),
        "ours": bench.close_guard_of(flask_apps.guarded(small, bench.settings)),
        "Flask-JWT-Extended": flask_apps.jwt_extended(small, key, ISSUER, AUDIENCE),
        "Flask-JWT-Extended, key as PEM": flask_apps.jwt_extended(small, peers.pem(bench.authority), ISSUER, AUDIENCE),
    }
    return {side: WsgiClient(app, PATH) for side, app in apps.items()}


def _starlette(bench: Bench, client: Callable[[Any], Client]) -> dict[str, Client]:
    from benchmarks.apps import starlette_apps

    return {
        "bare": client(starlette_apps.bare(small)),
        "ours": client(bench.close_guard_of(starlette_apps.guarded(small, bench.settings))),
        "AuthenticationMiddleware + PyJWT": client(
            starlette_apps.with_pyjwt(small, peers.decode_with_pyjwt(bench.authority))
        ),
    }


def _fastapi(bench: Bench, client: Callable[[Any], Client]) -> dict[str, Client]:
    from benchmarks.apps import fastapi_apps

    return {
        "bare": client(fastapi_apps.bare(small)),
        "ours": client(bench.close_guard_of(fastapi_apps.guarded(small, bench.settings))),
        NOTHING: client(fastapi_apps.with_nothing(small)),
        "OAuth2PasswordBearer + PyJWT": client(
            fastapi_apps.with_pyjwt(small, peers.decode_with_pyjwt(bench.authority))
        ),
        "SecurityScopes + PyJWT": client(fastapi_apps.with_scopes(small, peers.decode_with_pyjwt(bench.authority))),
    }


def _django(bench: Bench) -> dict[str, dict[str, Client]]:
    from benchmarks.apps import django_apps
    from benchmarks.apps.django_apps import Site

    django_apps.configure(bench.settings, key=peers.pem(bench.authority), issuer=ISSUER, audience=AUDIENCE)
    bench.close_guard_of(None)

    def client(site: Site) -> Client:
        return WsgiClient(site.wsgi, site.path, site.use)

    return {
        "DRF": {
            "bare": client(django_apps.drf_bare(small)),
            "ours": client(django_apps.drf_guarded(small)),
            "Simple JWT": client(django_apps.drf_simplejwt(small)),
            NOTHING: client(django_apps.drf_nothing(small)),
        },
        "Django": {"bare": client(django_apps.bare(small)), "ours": client(django_apps.guarded(small))},
        "routes": {
            name: client(site)
            for number in ROUTES
            for name, site in (
                (f"bare, {number}", django_apps.bare(small, routes=number)),
                (f"{number} routes", django_apps.guarded(small, routes=number)),
            )
        },
    }
