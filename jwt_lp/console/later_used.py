"""Items of a campaign that were used since it was frozen, found in steps that read a bounded number of items each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.item_words import ShownItem, show_item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.campaigns import Campaigns

READ_AT_ONCE: Final = 300


class UsedItems(NamedTuple):
    """The items that were used, among `read` items; `next` is where the following step begins, None at the end."""

    items: tuple[ShownItem, ...]
    read: int
    next: tuple[str, int] | None


def find_used(engine: Campaigns, campaign: str, part: str | None, after: int) -> UsedItems:
    """One step: the items from a position in a part on, in this part and those that follow it."""
    day = engine.get(campaign).day
    found: list[ShownItem] = []
    read = 0
    for name in _parts_from(engine, campaign, part):
        page = engine.items(campaign, part=name, after=after, limit=READ_AT_ONCE - read)
        read += len(page.items)
        found += (show_item(each, day) for each in page.items if each.used_since)
        if page.next is not None:
            return UsedItems(tuple(found), read, (name, page.next))
        after = -1
        if read >= READ_AT_ONCE:
            following = next(_parts_from(engine, campaign, name, behind=True), None)
            return UsedItems(tuple(found), read, None if following is None else (following, -1))
    return UsedItems(tuple(found), read, None)


def _parts_from(engine: Campaigns, campaign: str, part: str | None, *, behind: bool = False) -> Iterator[str]:
    for each in engine.parts(campaign):
        if part is None or each.name > part or (each.name == part and not behind):
            yield each.name
