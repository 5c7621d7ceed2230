"""Client authentication by signed assertions."""

from __future__ import annotations

import os
import signal
import traceback
from typing import Any

import pytest

from jwks_server import KeyServer
from jwt_lp import ClientRefused, ConfigurationError, JwksKeys, KeysUnavailable, PrivateKeyJwt, StaticKeys
from jwt_lp.jose.client_credentials import ASSERTION_TYPE
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.oauth import private_key_jwt as assertions

NOW = 1_800_000_000.0
ISSUER = "https://issuer.test"
ENDPOINT = "https://issuer.test/oauth/token"
KEY = SigningKey.generate("ES256", kid="k1")
OTHER = SigningKey.generate("ES256", kid="k1")
SECRET = SigningKey.generate("HS256", kid="s1")
GOOD: dict[str, Any] = {"iss": "shop", "sub": "shop", "aud": ISSUER, "exp": NOW + 60, "iat": NOW, "jti": "j1"}


def make_assertion(key: SigningKey = KEY, typ: str | None = "JWT", **changes: Any) -> str:
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return sign(claims, key, typ=typ)


def form(assertion: str, **more: str) -> dict[str, list[str]]:
    parameters = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion, **more}
    return {name: [value] for name, value in parameters.items()}


def method(now: Any = lambda: NOW, **more: Any) -> PrivateKeyJwt:
    keys: dict[str, Any] = {
        "shop": {"keys": [KEY.public_jwk()]},
        "web": StaticKeys.from_jwks({"keys": [KEY.public_jwk()]}),
    }
    return PrivateKeyJwt({**keys, "old": {"keys": [SECRET.public_jwk()]}}, [ISSUER, ENDPOINT], clock=now, **more)


@pytest.mark.parametrize(
    "assertion",
    [
        pytest.param(make_assertion(), id="the issuer as its audience"),
        pytest.param(make_assertion(aud=ENDPOINT), id="the endpoint as its audience"),
        pytest.param(make_assertion(typ=None), id="no typ"),
        pytest.param(make_assertion(typ="client-authentication+jwt"), id="the typ of RFC 7523bis"),
        pytest.param(make_assertion(typ="application/JWT"), id="the typ with its prefix"),
        pytest.param(make_assertion(iat=...), id="no iat"),
        pytest.param(make_assertion(exp=NOW + 309), id="five minutes and a little"),
        pytest.param(make_assertion(iat=NOW + 9, nbf=NOW + 9), id="a clock that is a little ahead"),
    ],
)
def test_a_client_is_known_by_its_assertion(assertion: str) -> None:
    """A valid assertion proves the client, with and without `client_id`."""
    assert "shop" == method().authenticate(form(assertion), [])
    assert "shop" == method().authenticate(form(assertion, client_id="shop"), [])


@pytest.mark.parametrize(
    ("assertion", "cause"),
    [
        pytest.param("", "malformed", id="empty"),
        pytest.param("junk", "malformed", id="junk"),
        pytest.param(make_assertion(OTHER), "signature", id="another key"),
        pytest.param(make_assertion(iss="web", sub="shop"), "subject", id="another subject"),
        pytest.param(make_assertion(sub=...), "subject", id="no subject"),
        pytest.param(make_assertion(iss="nobody", sub="nobody"), "issuer", id="an unknown client"),
        pytest.param(make_assertion(iss=["shop"]), "issuer", id="a list of issuers"),
        pytest.param(make_assertion(iss=...), "issuer", id="no issuer"),
        pytest.param(make_assertion(aud=...), "audience", id="no audience"),
        pytest.param(make_assertion(aud="https://other.test"), "audience", id="another audience"),
        pytest.param(make_assertion(aud=ISSUER + "/"), "audience", id="nearly our audience"),
        pytest.param(make_assertion(aud=[ISSUER]), "audience", id="a list"),
        pytest.param(make_assertion(aud=[ISSUER, "https://other.test"]), "audience", id="ours and another"),
        pytest.param(make_assertion(exp=...), "date", id="no end"),
        pytest.param(make_assertion(exp="soon"), "date", id="an end that is no date"),
        pytest.param(make_assertion(exp=True), "date", id="an end that is no number"),
        pytest.param(make_assertion(exp=1e300), "date", id="an end beyond all dates"),
        pytest.param(make_assertion(exp=NOW), "expired", id="expired"),
        pytest.param(make_assertion(exp=NOW + 311), "lifetime", id="too long"),
        pytest.param(make_assertion(iat=NOW + 11), "not_yet_valid", id="issued in the future"),
        pytest.param(make_assertion(nbf=NOW + 11), "not_yet_valid", id="not yet valid"),
        pytest.param(make_assertion(nbf="now"), "date", id="a date that is none"),
        pytest.param(make_assertion(jti=...), "jti", id="no jti"),
        pytest.param(make_assertion(jti=""), "jti", id="an empty jti"),
        pytest.param(make_assertion(jti=7), "jti", id="a jti that is no string"),
        pytest.param(make_assertion(jti="j" * 257), "jti", id="a long jti"),
        pytest.param(make_assertion(typ="at+jwt"), "typ", id="an access token"),
        pytest.param(make_assertion(SECRET, iss="old", sub="old"), "algorithm", id="a shared secret"),
        pytest.param(make_assertion(SigningKey.generate("ES256", kid="k2")), "unknown_key", id="an unknown key"),
    ],
)
def test_invalid_assertions_are_refused(assertion: str, cause: str) -> None:
    """Each rule of RFC 7523, section 3, and of 7523bis has its own cause in the log, and one error for the client."""
    with pytest.raises(ClientRefused) as caught:
        method().authenticate(form(assertion), [])
    assert ("invalid_client", cause) == (caught.value.error, caught.value.cause)
    frames = list(traceback.walk_tb(caught.value.__traceback__))[1:]
    shown = [repr(value) for frame, _ in frames for name, value in frame.f_locals.items() if name != "form"]
    assert assertion == "" or [] == [text for text in shown if assertion in text]
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("changes", "cause"),
    [({"client_id": "web"}, "client_id"), ({"client_assertion_type": "jwt"}, "assertion_type")],
)
def test_the_form_agrees_with_the_assertion(changes: dict[str, str], cause: str) -> None:
    """Another client's id or another assertion type with a valid assertion is refused."""
    with pytest.raises(ClientRefused) as caught:
        method().authenticate(form(make_assertion(), **changes), [])
    assert ("invalid_client", cause) == (caught.value.error, caught.value.cause)


def test_an_assertion_is_accepted_once() -> None:
    """A second use is refused as long as the assertion lives; another client may use the same jti."""
    now = [NOW]
    ours = method(lambda: now[0])
    assert "shop" == ours.authenticate(form(make_assertion()), [])
    assert "web" == ours.authenticate(form(make_assertion(iss="web", sub="web")), [])
    for now[0] in (NOW, NOW + 59):
        with pytest.raises(ClientRefused, match="replayed"):
            ours.authenticate(form(make_assertion()), [])
    now[0] = NOW + 60
    with pytest.raises(ClientRefused, match="expired"):
        ours.authenticate(form(make_assertion()), [])
    assert "shop" == ours.authenticate(form(make_assertion(exp=NOW + 90)), [])


@pytest.mark.parametrize("back", [0.5, 1, 59, 3600])
def test_no_replay_after_the_clock_is_set_back(back: float) -> None:
    """A forgotten assertion is refused when the clock is set back; one that expires later is accepted."""
    now = [NOW]
    ours = method(lambda: now[0])
    assert "shop" == ours.authenticate(form(make_assertion()), [])
    now[0] = NOW + 60
    assert "shop" == ours.authenticate(form(make_assertion(jti="j2", exp=NOW + 90)), [])
    now[0] = NOW + 60 - back
    for jti, end in (("j1", 60), ("j2", 90)):
        with pytest.raises(ClientRefused, match=r"replayed|lifetime|not_yet_valid"):
            ours.authenticate(form(make_assertion(jti=jti, exp=NOW + end)), [])
    now[0] = NOW + 59
    assert "shop" == ours.authenticate(form(make_assertion(jti="j3", exp=NOW + 61)), [])
    assert "web" == ours.authenticate(form(make_assertion(iss="web", sub="web", exp=NOW + 60)), [])


def test_no_replay_after_the_clock_jumps_ahead() -> None:
    """No assertion is accepted twice while the clock is ahead or after it is corrected; new ones then pass."""
    now = [NOW]
    ours = method(lambda: now[0])
    assert "shop" == ours.authenticate(form(make_assertion()), [])
    now[0] = NOW + 86400
    ahead = make_assertion(jti="j2", iat=now[0], exp=now[0] + 60)
    assert "shop" == ours.authenticate(form(ahead), [])
    with pytest.raises(ClientRefused, match="replayed"):
        ours.authenticate(form(ahead), [])
    now[0] = NOW + 30
    with pytest.raises(ClientRefused, match="replayed"):
        ours.authenticate(form(make_assertion()), [])
    assert "shop" == ours.authenticate(form(make_assertion(jti="j3", exp=NOW + 90)), [])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_something_is_remembered_blocks_no_child() -> None:
    """A lock that the parent held at the fork does not block the child, which remembers the parent's assertions."""
    ours = method()
    ours.authenticate(form(make_assertion()), [])
    with ours._replay_caches["shop"]._lock.get():
        pid = os.fork()
        if pid == 0:
            signal.alarm(10)
            try:
                ours.authenticate(form(make_assertion(jti="j2")), [])
                ours.authenticate(form(make_assertion()), [])
            except ClientRefused as error:
                os._exit(0 if error.cause == "replayed" else 1)
            finally:
                os._exit(2)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_refused_assertion_is_not_remembered() -> None:
    """A forged assertion does not use up another client's jti, because only genuine ones are remembered."""
    ours = method()
    for assertion in (make_assertion(OTHER), make_assertion(aud="https://other.test")):
        with pytest.raises(ClientRefused):
            ours.authenticate(form(assertion), [])
    assert "shop" == ours.authenticate(form(make_assertion()), [])


def test_a_full_replay_cache_refuses_and_never_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client with too many assertions must wait, other clients need not, and no assertion is forgotten early."""
    monkeypatch.setattr(assertions, "MAX_REMEMBERED", 2)
    now = [NOW]
    ours = method(lambda: now[0])
    ours.authenticate(form(make_assertion(jti="a")), [])
    ours.authenticate(form(make_assertion(jti="b", exp=NOW + 30)), [])
    with pytest.raises(ClientRefused) as caught:
        ours.authenticate(form(make_assertion(jti="c")), [])
    assert ("temporarily_unavailable", "assertions_full") == (caught.value.error, caught.value.cause)
    assert "web" == ours.authenticate(form(make_assertion(iss="web", sub="web")), [])
    now[0] = NOW + 30
    assert "shop" == ours.authenticate(form(make_assertion(jti="c")), [])
    with pytest.raises(ClientRefused, match="replayed"):
        ours.authenticate(form(make_assertion(jti="a")), [])


def test_once_replaces_the_replay_cache() -> None:
    """`once` receives a key for each client's jti and the time until which it matters, and its answer decides.

    That time is an hour after the assertion expires, so no replay succeeds if the clock is set back by an hour.
    """
    calls: list[tuple[str, float]] = []

    def once(key: str, until: float) -> bool:
        calls.append((key, until))
        return len(calls) == 1

    ours = method(once=once)
    assert "shop" == ours.authenticate(form(make_assertion()), [])
    with pytest.raises(ClientRefused, match="replayed"):
        ours.authenticate(form(make_assertion(iss="web", sub="web")), [])
    assert [NOW + 60 + 3600] * 2 == [until for _, until in calls]
    assert 2 == len({key for key, _ in calls})
    assert all(len(key) == 64 for key, _ in calls)


def test_a_clients_keys_are_fetched() -> None:
    """A client's published keys are fetched when they are needed; if they cannot be, `KeysUnavailable` is raised."""
    with KeyServer(KEY.public_jwk()) as server:
        keys = JwksKeys(server.url, algorithms=["ES256"])
        ours = PrivateKeyJwt({"shop": keys}, ISSUER, clock=lambda: NOW)
        assert "shop" == ours.authenticate(form(make_assertion()), [])
    gone = PrivateKeyJwt({"shop": JwksKeys(server.url, algorithms=["ES256"])}, ISSUER, clock=lambda: NOW)
    with pytest.raises(KeysUnavailable):
        gone.authenticate(form(make_assertion()), [])


@pytest.mark.parametrize(
    ("keys", "audience", "fault"),
    [
        ({"": {"keys": []}}, ISSUER, "a client id is"),
        ({"shop": {"keys": []}}, ISSUER, "the client 'shop': the key set has no key"),
        ({"shop": {"keys": [KEY.public_jwk()]}}, [], "an assertion needs an audience"),
        ({"shop": {"keys": [KEY.public_jwk()]}}, "", "an assertion needs an audience"),
    ],
)
def test_faults_of_keys_and_audience(keys: Any, audience: Any, fault: str) -> None:
    """Missing keys, invalid client ids and a missing audience are errors at start."""
    with pytest.raises(ConfigurationError, match=fault):
        PrivateKeyJwt(keys, audience)


def test_the_repr_shows_only_a_number() -> None:
    """The repr shows only the number of clients."""
    assert "<PrivateKeyJwt of 3 clients>" == repr(method())
