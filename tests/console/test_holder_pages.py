"""Pages of subjects, clients, roles and permissions, and the search for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import pytest

pytest.importorskip("starlette", reason="the console is built on it")
pytest.importorskip("jinja2", reason="the pages are templates")
pytest.importorskip("sqlalchemy", reason="the store is an SQL store")
pytest.importorskip("uvicorn", reason="the console is served by it")

from console.access_history import HOSTILE, ISSUER, day, freeze_campaign, record_history
from console.serving import POLICY, Person, ServedConsole, served_console, text_of
from jwt_lp import Policy
from jwt_lp.review import Person as ListedPerson

READ = "jwt-lp:review:read"
PEOPLE = {"alice": ListedPerson("Alice Wong", "Shop", "dana.levi"), "bob": ListedPerson(HOSTILE, left="2026-01-31")}
HOSTILE_QUERY = urlencode({"issuer": ISSUER, "name": HOSTILE})


@pytest.fixture(scope="module")
def console(store: Any) -> Iterator[ServedConsole]:
    """A console over a store with a past and a campaign."""
    record_history(store)
    freeze_campaign(store)
    rules = {"orders:delete": {"ask": "anyone", "approve": "jwt-lp:elevation:approve", "longest": 1800}}
    wide = {"grants": [f"wide:g{number:03}" for number in range(70)]}
    roles = {"wide": wide, "lead": {"grants": ["orders:delete"], "includes": ["clerk"], "from": ["realm:lead"]}}
    catalogue = {"orders:purge": {"risk": "high", "description": f"Purge {HOSTILE}"}, "orders:old": {"retired": True}}
    catalogue |= {name: {} for name in wide["grants"]}
    policy = Policy.from_mapping(
        {
            **POLICY,
            "permissions": {**POLICY["permissions"], **catalogue, "orders:export": {}},
            "roles": {**POLICY["roles"], **roles},
            "elevation": rules,
        }
    )
    with served_console(store, policy=policy, people=PEOPLE, issuer_names={ISSUER: "staff"}) as served:
        yield served


@pytest.fixture(scope="module")
def auditor(console: ServedConsole) -> Person:
    """Somebody who may read, and nothing else."""
    return console.person("auditor", READ)


def _subject(name: str, **more: object) -> str:
    return f"/subject?{urlencode({'issuer': ISSUER, 'name': name, **more})}"


def _rows(answer: Any, caption: str) -> list[list[str]]:
    """The cells of the table with this caption."""
    html = answer.body.decode()
    table = re.search(rf"<caption[^>]*>{re.escape(caption)}</caption>.*?</table>", html, re.DOTALL)
    assert table is not None, re.findall(r"<caption[^>]*>(.*?)</caption>", html)
    body = table[0].partition("<tbody>")[2]
    return [
        [" ".join(unescape(re.sub(r"<[^>]+>", " ", cell)).split()) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in re.findall(r"<tr>.*?</tr>", body, re.DOTALL)
    ]


def test_a_subject_shows_what_it_holds_and_by_which_way(auditor: Person) -> None:
    """Each role and direct grant has its way, since when it is held, its last use and its uses."""
    rows = _rows(auditor.get(_subject("alice")), "Roles and direct grants")
    held = {(row[0], row[1]): row[2:6] for row in rows}
    assert [day(500), day(1), day(2), "14"] == held["all of the role", "clerk"]
    assert ["unknown", day(1), day(9), "1"] == held["orders:export", "direct"]


def test_a_subject_shows_its_use_and_where_it_was(auditor: Person) -> None:
    """Uses, refused attempts and endpoints are listed, the most recent first, and a sentence says the time line."""
    answer = auditor.get(_subject("alice"))
    used = _rows(answer, "Used permissions, the most recent first")
    assert ["orders:read", "till", "clerk", "the same", day(400), day(2), "14"] == used[0]
    refused = _rows(answer, "Refused permissions, the most recent first")
    assert [["orders:delete", "till", "refused", day(5), day(5), "3"]] == refused
    places = _rows(answer, f"Endpoints that it used since {day(365)}, the most recent first")
    assert [["shop.views.order", "shop", "orders:read", "7", day(2)], "shop.views.orders"] == [places[0], places[1][0]]
    assert "13 uses on 3 days from" in text_of(answer)


def test_a_subject_shows_who_it_is_and_what_was_decided(auditor: Person) -> None:
    """The person, the elevations, the revocations and the decisions of campaigns are on the page."""
    answer = auditor.get(_subject("alice"))
    text = text_of(answer)
    assert ["Alice Wong", "dana.levi"] == [part for part in ("Alice Wong", "dana.levi") if part in text]
    assert ["orders:delete", "requested"] == _rows(answer, "Elevations that it asked for, those in force first")[0][:2]
    assert "orders:purge" == _rows(answer, "Entries in force, the newest first")[0][0]
    decided = _rows(answer, "What campaigns asked, and what was decided, the newest campaign first")
    assert ["orders:export", "remove", "keep", "Dana Levi"] == [decided[0][0], *decided[0][2:5]]


def test_who_may_revoke_gets_a_link_to_it(console: ServedConsole, auditor: Person) -> None:
    """The link names the holder; whoever may not revoke has none."""
    link = f'href="/revocations/new?{urlencode({"of": "subject", "issuer": ISSUER, "name": "alice"})}"'
    pages = [
        console.person("ops", READ, "jwt-lp:revocation:write").get(_subject("alice")),
        auditor.get(_subject("alice")),
    ]
    assert [True, False] == [link in unescape(each.body.decode()) for each in pages]
    one = urlencode({"of": "subject", "issuer": ISSUER, "name": "alice", "pattern": "orders:export"})
    assert [True, False] == [f"/revocations/new?{one}" in unescape(each.body.decode()) for each in pages]


def test_what_a_subject_holds_is_paged(auditor: Person) -> None:
    """Sixty rows are on a page, and the links lead to the others and back."""
    first, second = auditor.get(_subject("carol")), auditor.get(_subject("carol", page=1))
    grants = [[row[0] for row in _rows(each, "Roles and direct grants")] for each in (first, second)]
    assert ([60, 10], 70) == ([len(each) for each in grants], len({*grants[0], *grants[1]}))
    links = [re.findall(r'rel="(?:next|prev)" href="[^"]*(page=\d+)"', each.body.decode()) for each in (first, second)]
    assert [["page=1"], ["page=0"]] == links


def test_a_client_shows_its_own_grants_and_use(auditor: Person) -> None:
    """A client's page has what it holds, who used it, and the revocations of its tokens."""
    answer = auditor.get(f"/client?{urlencode({'issuer': ISSUER, 'name': 'till'})}")
    assert "orders:read" in [row[0] for row in _rows(answer, "Roles and direct grants")]
    used = _rows(answer, "Used permissions, the most recent first")
    assert ["orders:read", "Alice Wong alice", "clerk"] == used[0][:3]
    assert _rows(answer, "Entries in force, the newest first")[0][0].startswith("tokens issued until ")


def test_a_role_shows_its_definition_its_members_and_their_use(auditor: Person) -> None:
    """The grants have their use by members, as the latest review counted it."""
    answer = auditor.get("/role?name=clerk")
    grants = {row[0]: row[2] for row in _rows(answer, "Grants of the role")}
    assert {"orders:read": "1 of 2", "orders:create": "0 of 2"} == grants
    members = [row[0] for row in _rows(answer, "Who holds the role")]
    assert ["Alice Wong alice"] == [name for name in members if "alice" in name]
    text = text_of(answer)
    assert ["Included by lead", "Who decides Dana Levi"] == [
        part for part in ("Included by lead", "Who decides Dana Levi") if part in text
    ]
    assert "orders:create except orders:read" == _rows(answer, "Entries in force, the newest first")[0][0]
    assert "Includes clerk" in text_of(auditor.get("/role?name=lead"))


def test_the_grants_of_a_role_are_paged(auditor: Person) -> None:
    """Seventy grants are two pages."""
    pages = [auditor.get(f"/role?name=wide&page={number}") for number in range(2)]
    names = [[row[0] for row in _rows(each, "Grants of the role")] for each in pages]
    assert [60, 10] == [len(each) for each in names]
    assert [f"wide:g{number:03}" for number in range(70)] == [name for each in names for name in each]


def test_the_members_of_a_role_are_paged(auditor: Person) -> None:
    """The next page begins behind the last member of the page before, and no member is lost."""
    first = auditor.get("/role?name=crowd")
    link = re.search(r'rel="next" href="([^"]+)"', first.body.decode())
    assert link is not None
    second = auditor.get(unescape(link[1]))
    names = [row[0] for each in (first, second) for row in _rows(each, "Who holds the role")]
    assert [f"crowd-{number:03}" for number in range(70)] == names
    assert 'rel="next"' not in second.body.decode()
    assert "does not define this role" in text_of(first)


def test_a_permission_shows_ways_users_and_what_asks_for_it(auditor: Person) -> None:
    """Roles and direct grants, users, enforcement points and endpoints are listed."""
    answer = auditor.get("/permission?name=orders:read")
    ways = {
        (row[0], row[1]): row[2]
        for row in _rows(answer, "Direct grants that somebody holds, and the roles that confer it")
    }
    assert {"2", "0"} == {ways["clerk", "orders:read"], ways["manager", "orders:*"]}
    assert ("direct", "orders:read") in ways
    assert ["Alice Wong alice", "till", "clerk"] == _rows(answer, "Users, the most recent first")[0][:3]
    assert ["shop.views.orders", "GET", "shop", "orders:read"] == _rows(answer, "Enforcement points")[0][:4]
    assert {"shop.views.order", "shop.views.orders"} == {
        row[0] for row in _rows(answer, "Endpoints, the most recent first")
    }


def test_a_permission_shows_its_risk_and_who_may_ask_for_it(auditor: Person) -> None:
    """The catalogue's text and risk, the elevation rule and refused requests are on the page."""
    purge = text_of(auditor.get("/permission?name=orders:purge"))
    assert ["Risk high", "nobody may ask for it"] == [
        part for part in ("Risk high", "nobody may ask for it") if part in purge
    ]
    answer = auditor.get("/permission?name=orders:delete")
    assert (
        "may be asked for by anyone, for 30 minutes at most; 1 approval by holders of jwt-lp:elevation:approve"
        in text_of(answer)
    )
    assert ["Alice Wong alice", "till", "refused"] == _rows(answer, "Refused requests, the most recent first")[0][:3]
    assert "It is retired" in text_of(auditor.get("/permission?name=orders:old"))
    assert "not in the catalogue" in text_of(auditor.get("/permission?name=crowd:read"))


def test_the_holders_of_a_permission_are_paged(auditor: Person) -> None:
    """Seventy direct holders are two pages."""
    first = auditor.get("/permission?name=crowd:read")
    link = re.search(r'rel="next" href="([^"]+)"', first.body.decode())
    assert link is not None
    caption = "Who holds the grant, directly or through a role that lists it"
    names = [row[0] for each in (first, auditor.get(unescape(link[1]))) for row in _rows(each, caption)]
    assert [f"crowd-{number:03}" for number in range(70)] == names


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=ALI", ["Subjects Alice Wong alice staff"]),
        ("q=wong", ["Subjects Alice Wong alice staff"]),
        ("q=purge&kind=permission", ["Permissions orders:purge"]),
        ("q=lead&kind=role", ["Roles lead"]),
        ("q=TILL&kind=client", ["Clients till staff"]),
        ("q=crowd-&kind=subject", ["There are more: type more of the name"]),
        ("q=crowd-", ["There are more: find only subjects"]),
        ("q=nothing-like-it", ["Nothing that is known has this in its name"]),
        ("q=alice&kind=other", ["Nothing that is known"]),
        ("", ["Type a part of the name"]),
    ],
)
def test_names_are_found_by_a_part(auditor: Person, query: str, found: list[str]) -> None:
    """Names of the store, of the policy and of people are found in lower or upper case."""
    text = text_of(auditor.get(f"/search?{query}"))
    assert found == [part for part in found if part in text]


PLACES = [
    f"/subject?{HOSTILE_QUERY}", f"/client?{HOSTILE_QUERY}", f"/role?{HOSTILE_QUERY}", f"/permission?{HOSTILE_QUERY}",
    f"/search?q={quote(HOSTILE)}", _subject("alice"), _subject("bob"), "/role?name=clerk", "/permission?name=orders:purge",
    f"/subject?issuer={quote(HOSTILE)}&name={quote(HOSTILE)}",
]  # fmt: skip


@pytest.mark.parametrize("path", PLACES)
def test_a_hostile_name_is_only_text(auditor: Person, path: str) -> None:
    """Wherever a name is shown, its markup is escaped, and a character that turns the direction is written out."""
    answer = auditor.get(path)
    html = answer.body.decode()
    assert answer.status in (200, 404)
    assert "alert(1)" in html
    assert ("<script>", "\u202e") == tuple(part for part in ("<script>", "\u202e") if part not in html)


@pytest.mark.parametrize(
    "path", ["/subject?issuer=i&name=nobody", "/client?issuer=i&name=no", "/role?name=no", "/permission?name=no"]
)
def test_what_is_unknown_is_not_found(auditor: Person, path: str) -> None:
    """The page says that nothing is known, with the status 404."""
    answer = auditor.get(path)
    assert (404, True) == (answer.status, "know" in text_of(answer))


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/subject?name=alice", "issuer is missing"),
        ("/subject?issuer=i", "name is missing"),
        ("/client?issuer=i&name=", "name is missing"),
        ("/role", "name is missing"),
        ("/permission?name=a&name=b", "name is given more than once"),
        (f"/role?name={'x' * 1025}", "name is too long"),
        ("/role?name=a%00b", "name has a NUL character"),
        ("/search?q=%00", "q has a NUL character"),
        (f"/search?q={'x' * 2000}", "q is too long"),
        ("/subject?issuer=i&name=a&page=-1", "page is a number"),
        ("/subject?issuer=i&name=a&page=10001", "page is a number"),
        ("/subject?issuer=i&name=a&page=99999999999999999999999", "page is a number"),
        ("/subject?issuer=i&name=a&page=%D9%A1", "page is a number"),
        ("/role?name=a&after_subject=%00", "after_subject has a NUL character"),
    ],
)
def test_a_wrong_address_is_a_clear_fault(auditor: Person, path: str, fault: str) -> None:
    """What is missing, doubled, too long or no number gets 400 and a sentence; nothing is looked up."""
    answer = auditor.get(path)
    assert (400, True) == (answer.status, fault in text_of(answer))


@pytest.mark.parametrize("name", ["\ud800", "x" * 1024, "ß\u0130", "%_\\", "a\nb", " ", "\uffff"])
def test_a_strange_name_is_looked_up_without_harm(auditor: Person, name: str) -> None:
    """Names that no token has are unknown; none of them is a pattern or a fault of the store."""
    value = quote(name.encode("utf-8", "surrogatepass"))
    for path in (f"/subject?issuer=i&name={value}", f"/role?name={value}", f"/permission?name={value}"):
        assert 404 == auditor.get(path).status
    text = text_of(auditor.get(f"/search?q={value}"))
    assert "crowd-000" not in text


@pytest.mark.parametrize(
    "path", ["/subject?issuer=i&name=a", "/client?issuer=i&name=a", "/role?name=clerk", "/permission?name=a", "/search"]
)
def test_only_who_may_read_sees_them(console: ServedConsole, path: str) -> None:
    """A reviewer without the permission to read everything gets 403."""
    assert 403 == console.person("boss", "jwt-lp:review:decide").get(path).status
