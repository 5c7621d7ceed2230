"""Client authentication by a secret."""

from __future__ import annotations

import base64
import hashlib
import traceback
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp import ClientMethods, ClientRefused, ClientSecrets, ConfigurationError, PrivateKeyJwt
from jwt_lp.jose.client_credentials import ASSERTION_TYPE
from jwt_lp.jose.signing import SigningKey

SECRET = "7Hk2-mN4_qRs8tUvWxYz0aBc"
OTHER = "zZ9-yX8_wV7uT6sR5qP4oN3m"
CLIENTS = ClientSecrets(
    {"shop": SECRET, "web": [OTHER, SECRET], "kept": "sha256:" + hashlib.sha256(b"x" * 32).hexdigest()}
)


def basic(client: str, secret: str) -> list[str]:
    text = f"{quote_plus(client)}:{quote_plus(secret)}"
    return ["Basic " + base64.b64encode(text.encode()).decode()]


def raw(text: bytes | str) -> list[str]:
    return ["Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()]


def post(client: str, secret: str) -> dict[str, list[str]]:
    return {"client_id": [client], "client_secret": [secret]}


def refused(
    form: Mapping[str, Sequence[str]], authorization: Sequence[str] = (), clients: Any = CLIENTS
) -> tuple[str, str]:
    with pytest.raises(ClientRefused) as caught:
        clients.authenticate(form, authorization)
    assert caught.value.cause in str(caught.value)
    return caught.value.error, caught.value.cause


@pytest.mark.parametrize(
    ("form", "authorization", "client"),
    [
        pytest.param({}, basic("shop", SECRET), "shop", id="basic"),
        pytest.param({}, [basic("shop", SECRET)[0].replace("Basic", "bAsIc")], "shop", id="the scheme in any case"),
        pytest.param({"client_id": ["shop"]}, basic("shop", SECRET), "shop", id="basic and the same client_id"),
        pytest.param(post("shop", SECRET), [], "shop", id="post"),
        pytest.param(post("shop", SECRET), [""], "shop", id="post and an empty header"),
        pytest.param(post("web", OTHER), [], "web", id="the first of two secrets"),
        pytest.param(post("web", SECRET), [], "web", id="the second of two secrets"),
        pytest.param(post("kept", "x" * 32), [], "kept", id="a secret kept as its digest"),
    ],
)
def test_a_client_is_known_by_its_secret(form: Any, authorization: list[str], client: str) -> None:
    """Both ways of sending the secret give the client's id."""
    assert client == CLIENTS.authenticate(form, authorization)


@pytest.mark.parametrize(
    ("form", "authorization", "error", "cause"),
    [
        pytest.param({}, [], "invalid_client", "no_method", id="nothing"),
        pytest.param({"client_id": ["shop"]}, [], "invalid_client", "no_method", id="a client id alone"),
        pytest.param({}, basic("shop", OTHER), "invalid_client", "secret", id="another's secret"),
        pytest.param({}, basic("nobody", SECRET), "invalid_client", "secret", id="an unknown client"),
        pytest.param({}, basic("shop", ""), "invalid_client", "secret", id="an empty secret"),
        pytest.param({}, basic("", SECRET), "invalid_client", "secret", id="an empty id"),
        pytest.param({}, raw("shop"), "invalid_client", "secret", id="no colon"),
        pytest.param({}, raw(b"shop:\xff\xfe"), "invalid_client", "secret", id="not ASCII"),
        pytest.param({}, raw("shop:%zz"), "invalid_client", "secret", id="a bad escape"),
        pytest.param({}, raw("shop:%ff"), "invalid_client", "secret", id="an escape that is no UTF-8"),
        pytest.param({}, ["Basic !!!"], "invalid_client", "secret", id="no base64"),
        pytest.param({}, ["Basic " + "A" * 5000], "invalid_client", "secret", id="very long"),
        pytest.param({}, ["Bearer abc"], "invalid_client", "secret", id="another scheme"),
        pytest.param({"client_id": ["web"]}, basic("shop", SECRET), "invalid_client", "secret", id="two ids"),
        pytest.param({"client_secret": [SECRET]}, [], "invalid_client", "secret", id="a secret without an id"),
        pytest.param(post("shop", ""), [], "invalid_client", "secret", id="an empty secret in the form"),
        pytest.param(
            post("kept", "sha256:" + hashlib.sha256(b"x" * 32).hexdigest()),
            [],
            "invalid_client",
            "secret",
            id="the digest in place of the secret",
        ),
        pytest.param(post("shop", SECRET), basic("shop", SECRET), "invalid_request", "several_methods", id="both ways"),
        pytest.param(
            {"client_assertion": ["x"]},
            basic("shop", SECRET),
            "invalid_request",
            "several_methods",
            id="and an assertion",
        ),
        pytest.param(
            {}, [", ".join(basic("shop", SECRET) * 2)], "invalid_request", "several_methods", id="joined lines"
        ),
        pytest.param({}, basic("shop", SECRET) * 2, "invalid_request", "repeated", id="two lines"),
        pytest.param(
            {"client_id": ["shop", "shop"], "client_secret": [SECRET]},
            [],
            "invalid_request",
            "repeated",
            id="two client ids",
        ),
        pytest.param({"client_assertion": ["x"]}, [], "invalid_client", "method", id="a way that is not taken"),
    ],
)
def test_an_unproven_client_is_refused(form: Any, authorization: list[str], error: str, cause: str) -> None:
    """A wrong, unclear or repeated credential is refused with the right one of the two errors."""
    assert (error, cause) == refused(form, authorization)


@given(client=st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"])), secret=st.text(max_size=40))
@examples(150)
def test_no_other_pair_is_taken(client: str, secret: str) -> None:
    """Only the registered pairs of id and secret are accepted, and no other error is raised."""
    try:
        authorization = basic(client, secret)
        authenticated = CLIENTS.authenticate({}, authorization)
    except ClientRefused:
        authenticated = None
    except UnicodeEncodeError:
        return
    assert (
        client if (client, secret) in {("shop", SECRET), ("web", OTHER), ("web", SECRET)} else None
    ) == authenticated


def test_a_secret_of_other_characters_survives_both_ways() -> None:
    """Ids and secrets are form-encoded before a colon joins them (RFC 6749, section 2.3.1)."""
    odd = ClientSecrets({"a:b %": "pass:word +%&= and Zoë, twice"})
    assert "a:b %" == odd.authenticate({}, basic("a:b %", "pass:word +%&= and Zoë, twice"))
    assert "a:b %" == odd.authenticate(post("a:b %", "pass:word +%&= and Zoë, twice"), [])


@pytest.mark.parametrize("authorization", [basic("shop", OTHER), basic("nobody", OTHER), raw(f"shop:{OTHER}%")])
def test_nothing_shows_a_secret(authorization: list[str]) -> None:
    """No message, traceback or repr contains a secret that was sent or is configured."""
    with pytest.raises(ClientRefused) as caught:
        CLIENTS.authenticate({}, authorization)
    frames = list(traceback.walk_tb(caught.value.__traceback__))[1:]
    shown = [str(caught.value), repr(caught.value), repr(CLIENTS)]
    shown += [repr(value) for frame, _ in frames for name, value in frame.f_locals.items() if name != "authorization"]
    assert [] == [text for text in shown if OTHER in text or SECRET in text]


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (basic("shop", OTHER), "the client shop sent a wrong secret"),
        (basic("nobody", OTHER), "there is no client 'nobody' here: add it to ClientSecrets or PrivateKeyJwt"),
        (basic(OTHER, SECRET), "there is no client of that name here: add it to ClientSecrets or PrivateKeyJwt"),
        (basic("no\nbody", SECRET), "there is no client of that name here: add it to ClientSecrets or PrivateKeyJwt"),
        (basic("", SECRET), "the client did not send a readable id and secret"),
        (raw("shop"), "the client did not send a readable id and secret"),
    ],
)
def test_the_log_says_what_to_do(authorization: list[str], expected: str) -> None:
    """The detail says whether the client or its secret is wrong, and shows no name that could be a secret."""
    with pytest.raises(ClientRefused) as caught:
        CLIENTS.authenticate({}, authorization)
    assert expected == caught.value.detail


@pytest.mark.parametrize(
    ("secrets", "fault"),
    [
        ({"shop": "short"}, "is shorter than 22 characters"),
        ({"shop": "sha256:" + "A" * 64}, "64 lower-case hexadecimal digits"),
        ({"shop": "SHA256:" + "a" * 64}, "64 lower-case hexadecimal digits"),
        ({"shop": "sha256:" + "a" * 64 + "\n"}, "64 lower-case hexadecimal digits"),
        ({"shop": []}, "is shorter than 22 characters"),
        ({"shop": [SECRET, ""]}, "is shorter than 22 characters"),
        ({"": SECRET}, "a client id is one or more printable ASCII characters"),
        ({"Zoë": SECRET}, "a client id is one or more printable ASCII characters"),
        ({"a\nb": SECRET}, "a client id is one or more printable ASCII characters"),
        ({"a" * 257: SECRET}, "a client id is one or more printable ASCII characters"),
    ],
)
def test_faults_of_the_secrets(secrets: Any, fault: str) -> None:
    """A guessable secret and an invalid client id are errors at start that do not show the secret."""
    with pytest.raises(ConfigurationError, match=fault) as caught:
        ClientSecrets(secrets)
    assert "short'" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_request_says_by_which_method() -> None:
    """The request chooses the method; one that is not configured is refused."""
    key = SigningKey.generate(kid="k1")
    keys = PrivateKeyJwt({"shop": {"keys": [key.public_jwk()]}}, "https://issuer.test")
    both = ClientMethods(CLIENTS, keys)
    assert "shop" == both.authenticate({}, basic("shop", SECRET))
    assertion = {"client_assertion_type": [ASSERTION_TYPE], "client_assertion": ["junk"]}
    assert ("invalid_client", "malformed") == refused(assertion, [], both)
    assert ("invalid_client", "method") == refused(assertion, [], ClientMethods(CLIENTS))
    assert ("invalid_client", "method") == refused({}, basic("shop", SECRET), keys)
    assert "<ClientMethods client_secret_basic, client_secret_post, private_key_jwt>" == repr(both)
