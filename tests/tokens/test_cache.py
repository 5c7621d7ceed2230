"""The cache of verified tokens and its bounds."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.tokens.cache import MAX_ENTRIES, TokenCache


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_an_entry_is_found_again() -> None:
    """Each key has the entry that was put last; an unknown key has none."""
    cache: TokenCache[str] = TokenCache()
    cache.put(key(1), "a")
    cache.put(key(1), "b")
    assert ("b", None, 1) == (cache.get(key(1)), cache.get(key(2)), len(cache))


def test_entries_are_removed() -> None:
    """One entry or all are removed, from both generations; an unknown key is ignored."""
    cache: TokenCache[int] = TokenCache(4)
    for number in range(3):
        cache.put(key(number), number)
    cache.drop(key(0))
    cache.drop(key(2))
    cache.drop(key(9))
    assert [None, 1, None] == [cache.get(key(number)) for number in range(3)]
    cache.clear()
    assert ([None] * 3, 0) == ([cache.get(key(number)) for number in range(3)], len(cache))


@pytest.mark.parametrize("entries", [2, 3, 10, 512])
def test_the_cache_is_bounded(entries: int) -> None:
    """However many tokens there are, at most `entries` are kept."""
    cache: TokenCache[int] = TokenCache(entries)
    most = 0
    for number in range(3 * entries + 3):
        cache.put(key(number), number)
        most = max(most, len(cache))
    assert most <= entries <= MAX_ENTRIES
    assert cache.get(key(3 * entries + 2)) == 3 * entries + 2


def test_an_entry_in_use_stays() -> None:
    """An entry that is used outlives any number of unused ones."""
    cache: TokenCache[str] = TokenCache(10)
    cache.put(key(0), "used")
    for number in range(1, 200):
        cache.put(key(number), "once")
        assert "used" == cache.get(key(0))


@examples(100)
@given(
    st.integers(2, 8),
    st.lists(st.tuples(st.sampled_from(["put", "get", "drop", "clear"]), st.integers(0, 12)), max_size=60),
)
def test_only_entries_that_were_put_are_found(entries: int, steps: list[tuple[str, int]]) -> None:
    """The entry that is found is the one that was put last and not dropped since."""
    cache: TokenCache[tuple[int, int]] = TokenCache(entries)
    truth: dict[int, tuple[int, int]] = {}
    for time, (step, number) in enumerate(steps):
        if step == "put":
            truth[number] = (number, time)
            cache.put(key(number), (number, time))
        elif step == "drop":
            truth.pop(number, None)
            cache.drop(key(number))
        elif step == "clear":
            truth.clear()
            cache.clear()
        assert cache.get(key(number)) in (None, truth.get(number))
        assert len(cache) <= entries


def test_threads_never_see_each_others_entries() -> None:
    """Threads that put and get at once get the entry of their own key or none, and each exceeds the bound by one."""
    cache: TokenCache[int] = TokenCache(16)
    wrong: list[tuple[int, int | None]] = []

    def work(start: int) -> None:
        for number in range(2000):
            mine = start + number % 40
            cache.put(key(mine), mine)
            if cache.get(key(mine)) not in (None, mine):
                wrong.append((mine, cache.get(key(mine))))
            if number % 7 == 0:
                cache.drop(key(mine))

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 20, 40, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ([], True) == (wrong, len(cache) <= 16 + 2 * len(threads))
