"""Declarations that were read before, and what each was read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any, NamedTuple, TypeAlias, cast
from weakref import WeakKeyDictionary

from jwt_lp_django.marks import INCLUDE_ATTRIBUTE, INHERITED, MARKS_ATTRIBUTE, rule_method
from jwt_lp_django.views import PERMISSION_CLASSES, REQUIRED, MethodDeclaration, ViewInfo, declaration_of


class DeclarationCache:
    """The declarations of callbacks by method. One is given again only while all that it was read from is the same.

    So a view may be declared or changed late, as tests do. An entry ends with its callback. What the guard answers
    itself is not kept: a client may invent methods.
    """

    def __init__(self) -> None:
        self._by_callback: WeakKeyDictionary[Callable[..., Any], dict[str, _Entry]] = WeakKeyDictionary()

    def find(self, callback: Callable[..., Any], method: str) -> MethodDeclaration:
        """The declaration for a callback and a method, as `declaration_of` reads it."""
        try:
            entries = self._by_callback.get(callback)
            if entries is None:
                entries = self._by_callback[callback] = {}
        except TypeError:
            # The callback has no hash, or no place for weak references.
            return declaration_of(callback, method)
        entry = entries.get(method)
        if entry is not None:
            sources, values, declaration = entry
            if sources.read(callback) == values:
                return declaration
        view = ViewInfo.of(callback)
        sources = sources_of(view, method)
        # Copies, because lists and mappings may be changed in place. Before the declaration, which may change meanwhile.
        values = [_copy(value) for value in sources.read(callback)]
        declaration = view.declaration_for(method)
        if declaration.allowed is None and method != "OPTIONS":
            entries[method] = (sources, values, declaration)
        return declaration


class DeclarationSources(NamedTuple):
    """The names of attributes of the callback, and the names and owners of other attributes."""

    on_callback: tuple[str, ...]
    owners: tuple[object, ...]
    names: tuple[str, ...]

    def read(self, callback: Callable[..., Any]) -> list[object]:
        """The values; None for an attribute that is not there."""
        # No loop in Python, because every request takes this path.
        on_callback, owners, names = self
        values: list[object] = [*map(getattr, repeat(callback), on_callback, repeat(None))]
        return [*values, *map(getattr, owners, names, repeat(None))] if owners else values


_Entry: TypeAlias = tuple[DeclarationSources, list[object], MethodDeclaration]


def sources_of(view: ViewInfo, method: str) -> DeclarationSources:
    """All attributes that the declaration of `method` is read from, if the view answers it and it is not OPTIONS."""
    # INVARIANT: while these attributes have the same values, the declaration is the same.
    on_callback = (MARKS_ATTRIBUTE, INCLUDE_ATTRIBUTE, "cls", "view_class")
    if view.operations is not None:
        owner, entries = view.operations
        read = [
            (owner, "operations"),
            *((each, name) for each, _, _ in entries for name in ("methods", "view_func")),
        ]
        read += [(function, MARKS_ATTRIBUTE) for _, _, function in entries]
        return DeclarationSources(on_callback, *map(tuple, zip(*read, strict=True)))
    if view.cls is None:
        return DeclarationSources(on_callback, (), ())
    function = view.action(method) or rule_method(method).lower()
    bases = view.cls.__mro__ if getattr(view.cls, REQUIRED, None) is INHERITED else (view.cls,)
    others: list[tuple[object, str]] = [
        *((base, REQUIRED) for base in bases),
        *((view.cls, name) for name in (PERMISSION_CLASSES, "http_method_names", "dispatch", method.lower(), function)),
        (getattr(view.cls, function, None), MARKS_ATTRIBUTE),
    ]
    owners, names = zip(*others, strict=True)
    return DeclarationSources((*on_callback, "initkwargs", "view_initkwargs", "actions"), owners, names)


def _copy(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    return list(cast("list[object]", value)) if isinstance(value, list) else value
