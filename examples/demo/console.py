"""A console over a made-up company, with a campaign to decide about: `make demo-console`, and the end of `make demo`."""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

import urllib3

from jwt_lp import Elevation
from jwt_lp.campaigns import Campaigns
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import Actor, Campaign, Store, WantedDecision, open_store

from .company import ISSUER, POLICY, Company, import_held, record_company, write_people

_DAY: Final = 86_400
_WEEKS: Final = 14 * _DAY
_EARLIER: Final = 182
"""How many days ago the campaign before was frozen."""
_PATIENCE: Final = 30
_LINK: Final = re.compile(r"http://127\.0\.0\.1:\d+(/\S+)")


class ConsoleFailed(Exception):
    """The console did not answer as it should."""


def main() -> int:
    """Make the company, freeze the campaign, and run the console until Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="jwt-lp-demo-") as folder:
        print(prepare(Path(folder)), flush=True)
        return _run(Path(folder))


def show() -> None:
    """The end of the demo: on a terminal the console, until Ctrl-C; else it has to answer, or `ConsoleFailed`."""
    with tempfile.TemporaryDirectory(prefix="jwt-lp-demo-") as folder:
        print(prepare(Path(folder)), flush=True)
        if sys.stdout.isatty() and sys.stdin.isatty():
            _run(Path(folder))
        else:
            print(_try(Path(folder)))


def prepare(folder: Path) -> str:
    """Fill a store in the folder, and freeze a campaign; returns what is there."""
    now = time.time()
    company = Company.made(datetime.fromtimestamp(now, UTC).date())
    shutil.copy(POLICY, folder / "company.toml")
    write_people(company, folder / "people.csv")
    with closing(open_store(_url(folder))) as store:
        store.migrate()
        record_company(store, company)
        _ask_and_revoke(store, company, now)
        import_held(store, company, _EARLIER)
        _freeze(store, folder, company, "Spring", now - _EARLIER * _DAY, close=True)
        import_held(store, company, 0)
        campaign = _freeze(store, folder, company, "Autumn", now)
        parts = len(store.campaign_parts(campaign.id))
    return (
        f"A company of {len(company.people)} people has used its permissions for two and a half years. A campaign asks about "
        f"{campaign.items} of what they hold, in {parts} parts: open the console to see why, and to decide."
    )


def _freeze(store: Store, folder: Path, company: Company, name: str, at: float, *, close: bool = False) -> Campaign:
    """Freeze a campaign at that time; with `close` its reviewers keep three items each, and its deadline comes."""
    day = [at]
    engine = Campaigns(store, folder / "company.toml", people=company.people, clock=lambda: day[0])
    demo = Actor(issuer="", subject="demo", name="demo")
    campaign = engine.freeze(demo, name=name, deadline=at + _WEEKS, reviewer_issuer=ISSUER)
    if not close:
        return campaign
    for part in engine.parts(campaign.id):
        if part.reviewer is not None:
            wanted = [
                WantedDecision(item=item.id, decision="keep", comment="needed at the end of the year", version=0)
                for item in engine.items(campaign.id, part=part.name, limit=3, details=False).items
            ]
            engine.decide(part.reviewer, campaign.id, wanted, part=part.name)
    day[0] += _WEEKS + _DAY
    return engine.close(demo, campaign.id)


def _ask_and_revoke(store: Store, company: Company, now: float) -> None:
    """Somebody asks for an elevation, and somebody has lost a laptop."""
    engineer, seller = (
        next(subject for subject, person in company.people.items() if person.team == team and person.manager)
        for team in ("Engineering", "Sales")
    )
    store.ask(
        Elevation(
            id=secrets.token_hex(16), issuer=ISSUER, subject=engineer, client=None, permission="databases:update",
            reason="an order was stored twice", asked_at=now - 60, answer_by=now + _DAY, seconds=1800,
        )
    )  # fmt: skip
    lost = RevocationEntry(
        id=secrets.token_hex(8), of="subject", issuer=ISSUER, name=seller, before=now - 3600, reason="a laptop was lost"
    )
    store.revoke([lost], at=now - 3600, by="demo")


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / 'company.db'}"


def _command(folder: Path, *more: str) -> list[str]:
    program = "import sys; from jwt_lp.cli import main; main()"
    files = ["--policy", str(folder / "company.toml"), "--people", str(folder / "people.csv")]
    given = ["--store", _url(folder), *files, "--issuer", ISSUER, "--plans", str(folder / "plans")]
    return [sys.executable, "-c", program, "console", *given, *more]


def _run(folder: Path) -> int:
    process = subprocess.Popen(_command(folder, "--no-open"))  # noqa: S603 - our own
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The console has had it, too, and is ending.
            continue


def _try(folder: Path) -> str:
    """Start the console, sign in by its link, open its pages, and stop it; `ConsoleFailed` if one does not answer."""
    process = subprocess.Popen(_command(folder, "--no-open"), stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    try:
        link = next((found[0] for line in process.stdout or () if (found := _LINK.search(line))), "")
        if not link:
            raise ConsoleFailed("the console has not printed a link")
        seconds = _open(link)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(_PATIENCE)
    return f"The console signed in by its link and showed the campaign in {seconds:.1f} s. Keep one with: make demo-console"


def _open(link: str) -> float:
    """Sign in and follow a reviewer's way; returns how long that took."""
    base = link.partition("/local/")[0]
    start = time.monotonic()
    with urllib3.PoolManager(retries=False, timeout=_PATIENCE) as pool:
        headers = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
        answer = pool.request("GET", link, headers=headers, redirect=False)
        cookies = "; ".join(line.partition(";")[0] for line in answer.headers.getlist("Set-Cookie"))
        path = "/"
        for pattern in (r'href="([^"]*/campaigns/[0-9a-f]{32})"', r'href="([^"]*/decide\?part=[^"]*)"', ""):
            page = pool.request("GET", f"{base}{path}", headers=headers | {"Cookie": cookies}, redirect=False)
            if page.status != HTTPStatus.OK:
                raise ConsoleFailed(f"the console answers {path} with {page.status}")
            found = re.search(pattern, page.data.decode())
            if found is None:
                raise ConsoleFailed(f"{path} has no link to the campaign")
            path = found[1].replace("&amp;", "&").removeprefix(base) if pattern else ""
    return time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main())
