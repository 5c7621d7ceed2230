"""Styles, scripts and templates of the pages, and their hashes for a content security policy."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files


def read_asset(name: str) -> str:
    """The text of a file of this package."""
    return files("jwt_lp.review.report").joinpath(name).read_text("utf-8")


def csp_hash(text: str) -> str:
    """The hash source of an inline style or script in a content security policy."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
