"""The page of an evidence file in a real browser: it verifies itself, and shows every change as a change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from chromium import chromium
from jwt_lp.jose.jwk import public_thumbprint
from jwt_lp.jose.signing import SigningKey
from jwt_lp.review.evidence_file import STEPS, read_evidence, sign_entry
from jwt_lp.review.report.evidence_page import render_evidence

pytestmark = pytest.mark.browser

KEY = SigningKey.generate()
PLAN = json.dumps(
    {
        "items": [
            {"action": "deny", "of": "subject", "name": "<img src=x onerror=alert(1)>", "grant": "orders:export", "role": "clerk",
             "instead": ["orders:list"], "until": "", "reviewer": "mia", "comment": "not her job"},
            {"action": "exempt", "of": "client", "name": "web", "grant": "", "role": "", "instead": [], "until": "2027-01-31",
             "reviewer": "", "comment": ""},
            *({"action": "deny", "of": "subject", "name": name, "grant": "orders:export", "role": "", "instead": [],
               "until": "", "reviewer": "mia", "comment": "", "group": "b1946ac92492d234"} for name in ("eve", "fay")),
        ]
    }
)  # fmt: skip


STAGED = json.dumps(
    {
        "stages": [{"name": "notice", "days": 14}, {"name": "trial", "days": 1}],
        "items": [{"id": "i1", "action": "deny", "of": "subject", "name": "ann", "grant": "a:read", "reviewer": "mia"}],
    }
)
JOURNAL = "\n".join(
    [
        *(
            json.dumps({"at": 1e9, "by": "eve", **line})
            for line in (
                {"what": "notice", "items": ["i1", "i2"]},
                {"what": "intent", "stage": "trial", "items": ["i1"], "dropped": [["i2", "used since"]]},
                {"what": "done"},
                {"what": "restored", "item": "i1", "reason": "<b>year's end</b>"},
                {"what": "intent", "stage": "final", "items": [], "dropped": []},
                {"what": "undoing"},
                {"what": "undone"},
            )
        ),
        '{"what": "don',
    ]
)


def make_lines(key=KEY, steps=STEPS, plan=PLAN, journal="</script>é\u2028 'x'"):
    """The lines of an evidence file with a plan."""
    texts = {"plan": plan, "journal": journal}
    lines: list[bytes] = []
    for number, step in enumerate(steps):
        before = read_evidence(lines, None) if lines else None
        files = {} if step == "closing" else {"</script><script>x": texts.get(step, "</script>é\u2028 'x'")}
        lines.append(sign_entry(before, step, files, key, at=1e9 + number, by="ann").encode())
    return lines


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with chromium() as opened:
        yield opened.new_context(viewport={"width": 390, "height": 800})


@pytest.fixture
def show(context, tmp_path) -> Iterator[Any]:
    """`show(lines, edit)`: an open page of these lines, after `edit` of its text, that asked for nothing."""
    pages = []

    def show(lines, edit=lambda text: text):
        (tmp_path / "page.html").write_text(edit(render_evidence(lines)), encoding="utf-8")
        page = context.new_page()
        pages.append(page)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_function("!document.getElementById('verdict').textContent.startsWith('This page verifies')")
        assert 1 == len(page.asked)
        return page

    yield show
    for page in pages:
        page.close()


def _verdict(page):
    return page.inner_text("#verdict")


def test_a_whole_file_is_shown_in_plain_words(show):
    """The decisions are sentences, nothing of the file becomes markup, and the page has no sideways scrolling."""
    page = show(make_lines())
    assert "Unchanged since it was signed, and complete. Compare the thumbprint to know by whom." == _verdict(page)
    denied = (
        "Deny: subject <img src=x onerror=alert(1)>, orders:export through the role clerk, except orders:list. Decided by "
        "mia: not her job"
    )
    members = [f"Deny: subject {name}, orders:export. Decided by mia" for name in ("eve", "fay")]
    first, second, group, *rest = page.locator("main section").nth(1).locator("li").all_inner_texts()
    assert (denied, "Exempt: client web, all grants until 2027-01-31. Decided by nobody") == (first, second)
    assert ["One decision about a group (b1946ac92492d234):", *members] == group.split("\n")
    assert members == rest
    assert (5, 0) == (page.locator("main section").count(), page.locator("img").count())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_characters_that_are_not_seen_change_no_sentence(show):
    """Neither a direction mark nor a line end in a name makes a decision look like another one."""
    plan = PLAN.replace("her job", "her\\u202ejob\\nKeep: all\\u00a0of it")
    lines = make_lines(steps=("plan", "closing"))
    lines[0] = sign_entry(None, "plan", {"p\u202ep": plan}, KEY, at=1e9, by="ann\u200b").encode()
    lines[1] = sign_entry(read_evidence(lines[:1], None), "closing", {}, KEY, at=1e9, by="ann").encode()
    page = show(lines)
    assert page.locator("main li").first.inner_text().endswith(r"not her\u{202e}job\u{a}Keep: all\u{a0}of it")
    assert r"by ann\u{200b}" in page.inner_text("main")
    assert r"p\u{202e}p" == page.locator("summary").first.inner_text()


def test_stages_and_restorations_in_plain_words(show):
    """The plan says its stages, and the journal what was done, restored and undone; nothing becomes markup."""
    page = show(make_lines(plan=STAGED, journal=JOURNAL))
    assert "In stages: notice for 14 days, then trial for 1 day, then final." in page.inner_text("main")
    when = "2001-09-09T01:46:40.000Z by eve: "
    assert [
        f"{when}Notice was given of 2 items.",
        f"{when}The trial began: denied 1 item, left out 1.",
        "Left out: i2: used since",
        f"{when}This was completed.",
        f"{when}Restored during the trial, a regret: subject ann, a:read: <b>year's end</b>",
        f"{when}The final stage began: taken out 0 items, left out 0.",
        f"{when}Undoing the whole plan began.",
        f"{when}The whole plan was undone.",
        "A line that was not completed: its step was never started.",
    ] == page.locator("main section").nth(2).locator("li").all_inner_texts()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_key_that_the_auditor_knows(show):
    """Only with the thumbprint that is known from elsewhere does the page say who signed it."""
    thumbprint = public_thumbprint(KEY.public_jwk())
    page = show(make_lines())
    assert "Whoever makes a page of their own signs it with a key of their own" in page.inner_text("#trust")
    page.fill("#known", thumbprint)
    assert ("Unchanged and complete, and signed by the key that you know.", "good") == (
        _verdict(page), page.get_attribute("#verdict", "class"),
    )  # fmt: skip
    page.fill("#known", "")
    assert "Compare the thumbprint" in _verdict(page)
    page = show(make_lines(SigningKey.generate()))
    page.fill("#known", thumbprint)
    assert ("Signed by another key than the one that you know.", "bad") == (
        _verdict(page), page.get_attribute("#verdict", "class"),
    )  # fmt: skip


def test_a_file_that_is_not_closed(show):
    """Its last entries may have been dropped, and the page says so, whoever signed it."""
    page = show(make_lines()[:-1])
    assert "not closed: later entries may have been dropped" in _verdict(page)
    page.fill("#known", public_thumbprint(KEY.public_jwk()))
    assert ("bad", True) == (page.get_attribute("#verdict", "class"), "not closed" in _verdict(page))


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "RS256", "PS384"])
def test_the_algorithms_of_the_browser(show, algorithm):
    """WebCrypto verifies what the command line signs."""
    assert "Unchanged since it was signed, and complete" in _verdict(show(make_lines(SigningKey.generate(algorithm))))


def test_an_algorithm_that_browsers_lack(show):
    """It is not called changed without saying what to do."""
    page = show(make_lines(SigningKey.generate("Ed448")))
    assert "this browser cannot verify Ed448: run jwt-lp evidence verify" in _verdict(page)


def _change(number, find, replace):
    lines = make_lines()
    text = lines[number].decode()
    assert find in text
    lines[number] = text.replace(find, replace, 1).encode()
    return lines


WHOLE = make_lines()


@pytest.mark.parametrize(
    ("lines", "number", "why"),
    [
        (_change(1, "mia", "eve"), 2, "its signature is wrong: it was changed after it was signed"),
        (_change(0, "ann", "bob"), 1, "its signature is wrong"),
        (_change(4, "ann", "bob"), 5, "its signature is wrong"),
        ([WHOLE[0], WHOLE[2], *WHOLE[3:]], 2, "an entry was dropped, added or moved"),
        ([WHOLE[1], WHOLE[0], *WHOLE[2:]], 1, "an entry was dropped, added or moved"),
        ([*WHOLE, WHOLE[0]], 6, "it comes after the entry that closes the file"),
        ([WHOLE[0], make_lines(steps=("plan", "plan"))[1]], 2, "it does not follow the entry before it"),
        ([b"{}"], 1, "it cannot be read"),
        ([b"{"], 1, "it cannot be read"),
        ([b'{"payload":"{}","signature":"a.b.c"}'], 1, "it is not an entry"),
    ],
)
def test_what_was_changed_is_shown_as_changed(show, lines, number, why):
    """The verdict names the first wrong entry, and nothing of it or after it is shown."""
    page = show(lines)
    assert _verdict(page).startswith(f"Changed: entry {number} cannot be trusted, because {why}")
    assert ("bad", number - 1) == (page.get_attribute("#verdict", "class"), page.locator("main section").count())


def test_an_empty_file(show):
    """It proves nothing."""
    assert "Empty: there is no entry." == _verdict(show([]))


def test_a_byte_of_the_page_that_was_changed(show):
    """A changed byte in the page's evidence is seen; a changed script does not run, by the page's own policy."""
    assert "Changed: entry 2" in _verdict(show(WHOLE, lambda text: text.replace("mia", "eve")))
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', render_evidence(WHOLE))
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
