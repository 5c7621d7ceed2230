"""Attacks on the console: by whoever has few permissions, or none, and by pages of other origins."""

from __future__ import annotations

import time

import pytest

from console.serving import ServedConsole


@pytest.mark.parametrize("charset", ["punycode", "undefined", "unicode_escape", "utf-16", "UTF-8"])
@pytest.mark.parametrize("signed_in", [True, False])
def test_a_form_does_not_choose_its_encoding(console: ServedConsole, charset: str, signed_in: bool) -> None:
    """Some encodings of Python take minutes for a megabyte, fail in ways of their own, or make what no store keeps."""
    headers = console.person("mallory").headers() if signed_in else [("Sec-Fetch-Site", "same-origin")]
    headers.append(("Content-Type", f"multipart/form-data; boundary=x; ChARset={charset}"))
    head = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
    began = time.process_time()
    answer = console.client.request("POST", "/campaigns/new", headers, head + b"-\\ud800" * 20_000 + b"\r\n--x--\r\n")
    assert 400 == answer.status
    assert "<main" in answer.body.decode()
    assert time.process_time() - began < 1
