"""The console's application: what it serves, and to whom."""

from __future__ import annotations

from console.serving import ServedConsole, text_of


def test_the_overview_is_served_to_who_may_read(console: ServedConsole) -> None:
    """Somebody with the permission sees the page, with their name and the pages that they may open."""
    answer = console.person("alice", "jwt-lp:review:read").get("/")
    assert 200 == answer.status
    assert "alice" in text_of(answer)
    assert "Overview" in text_of(answer)
