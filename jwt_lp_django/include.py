"""How is a whole include declared?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from django.urls import URLPattern, URLResolver

from jwt_lp import ConfigurationError, Requirement
from jwt_lp_django.enforcement import wrap_view
from jwt_lp_django.marks import to_requirement


def guarded(included: Any, declaration: Any) -> tuple[list[URLPattern | URLResolver], str | None, str | None]:
    """Declare `declaration` for every route of `include(...)` (or of `admin.site.urls`) that has none of its own.

    `declaration` is a permission, a requirement, or one of our decorators. Names and namespaces stay; the patterns
    that were included stay as they are, for whoever else includes them. `ConfigurationError` where `declaration` is
    nothing of the kind, or says something else than the `guarded` that it stands around.
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
    """The patterns that `guarded` gives, with what it declared for them."""

    requirement: Requirement


def _split_include(included: Any) -> tuple[Any, str | None, str | None]:
    # What `include` gives, and `admin.site.urls`; a bare list or module is taken too.
    return (
        cast("tuple[Any, str | None, str | None]", included) if isinstance(included, tuple) else (included, None, None)
    )


def _rebuild(
    patterns: Sequence[Any], wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> list[URLPattern | URLResolver]:
    return [
        # Made anew and not copied: both keep private caches of what they lead to.
        type(each)(each.pattern, _rebuild(each.url_patterns, wrap), each.default_kwargs, each.app_name, each.namespace)
        if isinstance(each, URLResolver)
        else type(each)(each.pattern, wrap(each.callback), each.default_args, each.name)
        for each in patterns
    ]
