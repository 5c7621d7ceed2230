"""Webhooks: signatures, deliveries and retries."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.errors import ConfigurationError
from jwt_lp.webhooks import MAX_DELAY, Webhook, WebhookError, WebhookEvent, retry_delay
from webhook_receiver import SECRET, WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = "whsec_" + "QUJD" * 10
EVENT = WebhookEvent(id="msg_1", type="review.notice", at=1_700_000_000.5, data={"manager": "Žofie", "items": [1]})


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as receiver:
        yield receiver


def failure(receiver: WebhookReceiver, status: int, **headers: str) -> WebhookError:
    receiver.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}))
    with pytest.raises(WebhookError) as caught:
        Webhook(receiver.url, SECRET).send(EVENT, now=0)
    return caught.value


def test_the_signature_is_that_of_the_reference_vector() -> None:
    """The published vector of Standard Webhooks gives the published signature."""
    signature = Webhook("https://example.com/", SECRET).sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" == signature


def test_the_library_of_standard_webhooks_accepts_an_event(receiver: WebhookReceiver) -> None:
    """A receiver verifies headers and body with either secret while one is replaced, and refuses a changed body."""
    library = pytest.importorskip("standardwebhooks", reason="needs standardwebhooks")
    Webhook(receiver.url, f"{SECRET} {OTHER}").deliver(EVENT)
    (received,) = receiver.received
    for secret in (SECRET, OTHER):
        content = library.Webhook(secret).verify(received.body, received.headers)
        assert {"type": "review.notice", "timestamp": "2023-11-14T22:13:20Z", "data": dict(EVENT.data)} == content
    with pytest.raises(library.WebhookVerificationError):
        library.Webhook(SECRET).verify(received.body.replace(b"1", b"2"), received.headers)


def test_a_request_is_json_with_its_three_headers(receiver: WebhookReceiver) -> None:
    """The request names its content type, the event and the time of the attempt."""
    Webhook(receiver.url, SECRET).send(EVENT, now=1_700_000_900.9)
    (received,) = receiver.received
    names = ("content-type", "webhook-id", "webhook-timestamp")
    assert ("application/json", "msg_1", "1700000900") == tuple(received.headers[name] for name in names)
    assert "Žofie".encode() in received.body


@pytest.mark.parametrize(
    ("status", "temporary"),
    [
        *((status, False) for status in (302, 400, 404, 410)),
        *((status, True) for status in (408, 409, 425, 429, 500, 503)),
    ],
)
def test_a_refusal_says_whether_to_try_again(receiver: WebhookReceiver, status: int, temporary: bool) -> None:
    """Only overload and conflicts are temporary; a redirect is not followed."""
    error = failure(receiver, status, Location="http://127.0.0.1:1/")
    assert (temporary, 1, True) == (error.temporary, len(receiver.received), str(status) in str(error))


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7.0), ("nonsense", None), ("Fri, 01 Jan 2010 00:00:00 GMT", 0.0), ("-1", None)]
)
def test_retry_after_is_read(receiver: WebhookReceiver, value: str, seconds: float | None) -> None:
    """Retry-After in seconds or as a date; another value counts as none."""
    assert seconds == failure(receiver, 503, Retry_After=value).retry_after


def test_an_event_is_sent_until_it_is_received(receiver: WebhookReceiver) -> None:
    """The same event is sent again after 1, 2 and 4 seconds, or when the receiver asks for it, with one id."""
    receiver.answers += [(500, {}), (429, {"Retry-After": "9"}), (503, {})]
    slept: list[float] = []
    Webhook(receiver.url, SECRET).deliver(EVENT, sleep=slept.append, spread=lambda: 1.0)
    assert [1.0, 9.0, 4.0] == slept
    assert [b"msg_1"] * 4 == [each.headers["webhook-id"].encode() for each in receiver.received]
    assert 1 == len({each.body for each in receiver.received})


def test_a_receiver_that_asks_for_too_long_a_wait(receiver: WebhookReceiver) -> None:
    """Nobody waits longer than `longest`: the error says so at once, and the wait that was asked for."""
    receiver.answers += [(503, {"Retry-After": "60"}), (503, {"Retry-After": "61"})]
    slept: list[float] = []
    with pytest.raises(WebhookError) as failure:
        Webhook(receiver.url, SECRET).deliver(EVENT, longest=60.0, sleep=slept.append)
    assert ([60.0], 61.0, 2) == (slept, failure.value.retry_after, len(receiver.received))


def test_attempts_are_bounded(receiver: WebhookReceiver) -> None:
    """The last attempt's error is raised; after a permanent refusal there is no second attempt."""
    receiver.answers += [(500, {})] * 2 + [(404, {})]
    slept: list[float] = []
    for expected in ("500", "404"):
        with pytest.raises(WebhookError, match=expected):
            Webhook(receiver.url, SECRET).deliver(EVENT, attempts=2, sleep=slept.append)
    assert (3, 1) == (len(receiver.received), len(slept))


def test_a_receiver_that_is_not_there_is_temporary() -> None:
    """A refused connection may succeed later, and the message shows no path, because it may be a secret."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/services/T0/secret"
    with pytest.raises(WebhookError) as caught:
        Webhook(url, SECRET).send(EVENT, now=0)
    assert (True, None, False) == (caught.value.temporary, caught.value.retry_after, "secret" in str(caught.value))


@pytest.mark.parametrize("secret", ["", " ", "hunter2", "whsec_", "whsec_QUJD", "whsec_!!", "whsec_" + "QUJD" * 22])
def test_a_bad_secret_is_refused_and_not_shown(secret: str) -> None:
    """A secret has its prefix and 24 to 64 bytes; the error and the repr show nothing of it."""
    with pytest.raises(ConfigurationError) as caught:
        Webhook("http://example.com/private", secret)
    message = str(caught.value)
    assert (2, True, True) == (len(caught.value.faults), "address is an http" in message, "openssl rand" in message)
    assert "hunter2" not in message
    assert "private" not in message
    assert "private" not in repr(Webhook("https://example.com/private", SECRET))
    assert SECRET not in repr(Webhook("https://example.com/private", SECRET))


@pytest.mark.parametrize("id_", ["", "a.b", "a b", "a\n", "a" * 101])
def test_an_id_that_would_blur_the_signature_is_refused(id_: str) -> None:
    """An id with a dot could move bytes between the signed parts."""
    with pytest.raises(ValueError, match="an id of an event"):
        WebhookEvent(id=id_, type="x", at=0, data={})


@given(
    failures=st.integers(0, 10_000),
    retry_after=st.none() | st.floats(0, 1e12),
    spread=st.floats(0, 1),
)
def test_a_delay_is_bounded(failures: int, retry_after: float | None, spread: float) -> None:
    """A delay is between half a second and an hour, never shorter than asked within the hour, and never falls."""
    delay = retry_delay(failures, retry_after, spread=spread)
    assert 0.5 <= delay <= MAX_DELAY
    assert delay >= min(retry_after or 0.0, MAX_DELAY)
    assert delay <= retry_delay(failures + 1, retry_after, spread=spread)
