"""Members of a large JSON object, read piece by piece."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp._support import json_stream
from jwt_lp._support.json_stream import iter_members

VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def _read(text: str) -> list[tuple[str, Any]]:
    return list(iter_members(io.StringIO(text), ("list",)))


@given(VALUES, st.lists(VALUES, max_size=4), st.sampled_from([None, 1, 3]), st.integers(1, 9))
def test_any_layout_is_read(value: Any, elements: list[Any], indent: int | None, chunk: int) -> None:
    """Every value is read as it was written, whatever the layout and wherever a piece ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        text = json.dumps({"list": elements, "other": value}, indent=indent)
        assert [*(("list", element) for element in elements), ("other", value)] == _read(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "ends too early"),
        ("[]", "no '{'"),
        ("{", "Expecting value"),
        ('{"a"', "ends too early"),
        ('{"a": 1', "ends too early"),
        ('{"a": 1 "b": 2}', "no ','"),
        ('{"list": {}}', "no '\\['"),
        ('{"list": [1', "ends too early"),
        ('{"list": [1 2]}', "no ','"),
        ('{"list": [1, ]}', "Expecting value"),
        ('{"a": tru}', "Expecting value"),
        ('{"a": ' + "[" * 200_000, "nested too deeply"),
    ],
)
def test_anything_else_is_refused(text: str, fault: str) -> None:
    """What is not such an object, or ends too early, is a ValueError."""
    with pytest.raises(ValueError, match=fault):
        _read(text)


def test_an_empty_object_has_no_members() -> None:
    """An object without members, and a list without elements, give nothing."""
    assert [] == _read(" { } ")
    assert [] == _read('{"list": [ ]}')


def test_a_value_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that does not end is not read into memory for ever."""
    monkeypatch.setattr(json_stream, "_CHUNK", 8)
    monkeypatch.setattr(json_stream, "_MAX_VALUE", 64)
    with pytest.raises(ValueError, match="a value is too long"):
        _read('{"a": "' + "x" * 1000)
