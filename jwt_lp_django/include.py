"""Declarations for a whole include."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from django.urls import URLPattern, URLResolver

from jwt_lp import ConfigurationError, Requirement
from jwt_lp_django.enforcement import wrap_view
from jwt_lp_django.marks import to_requirement


def guarded(included: Any, declaration: Any) -> tuple[list[URLPattern | URLResolver], str | None, str | None]:
    """Declare `declaration` for every route of `include(...)` (or of `admin.site.urls`) that has none of its own.

    `declaration` is a permission, a requirement, or a decorator of this package. Names and namespaces stay the same,
    and the included patterns are not changed, so that other URLconfs can include them too. `ConfigurationError` if
    `declaration` is none of these, or if `included` is already `guarded` with another requirement.
    """
    requirement = to_requirement(declaration)
    module, app_name, namespace = _split_include(included)
    if isinstance(module, _GuardedPatterns) and module.requirement != requirement:
        raise ConfigurationError(f"two rules for one include: guarded with {module.requirement} and {requirement}")
    patterns: Any = getattr(module, "urlpatterns", module)
    rebuilt = _GuardedPatterns(_rebuild(patterns, lambda view: wrap_view(view, include=requirement)))
    rebuilt.requirement = requirement
    return rebuilt, app_name, namespace


class _GuardedPatterns(list[URLPattern | URLResolver]):
    """The patterns that `guarded` returns, with the requirement that it declared for them."""

    requirement: Requirement


def _split_include(included: Any) -> tuple[Any, str | None, str | None]:
    # `include` returns a tuple, and `admin.site.urls` is one; a list or a module alone is accepted too.
    return (
        cast("tuple[Any, str | None, str | None]", included) if isinstance(included, tuple) else (included, None, None)
    )


def _rebuild(
    patterns: Sequence[Any], wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> list[URLPattern | URLResolver]:
    return [
        # New objects, not copies: both classes keep private caches of the patterns and views below them.
        type(entry)(
            entry.pattern, _rebuild(entry.url_patterns, wrap), entry.default_kwargs, entry.app_name, entry.namespace
        )
        if isinstance(entry, URLResolver)
        else type(entry)(entry.pattern, wrap(entry.callback), entry.default_args, entry.name)
        for entry in patterns
    ]
