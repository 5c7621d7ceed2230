"""How is a whole include declared?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from django.urls import URLPattern, URLResolver

from jwt_lp import ConfigurationError, Requirement
from jwt_lp_django.marks import requirement_of
from jwt_lp_django.wrapping import enforcing


def guarded(included: Any, declaration: Any) -> tuple[list[URLPattern | URLResolver], str | None, str | None]:
    """Declare `declaration` for every route of `include(...)` (or of `admin.site.urls`) that has none of its own.

    `declaration` is a permission, a requirement, or one of our decorators. Names and namespaces stay; the patterns
    that were included stay as they are, for whoever else includes them. `ConfigurationError` where `declaration` is
    nothing of the kind, or says something else than the `guarded` that it stands around.
    """
    requirement = requirement_of(declaration)
    module, app_name, namespace = _parts(included)
    if isinstance(module, _Guarded) and module.requirement != requirement:
        raise ConfigurationError(f"two rules for one include: guarded with {module.requirement} and {requirement}")
    patterns: Any = getattr(module, "urlpatterns", module)
    rebuilt = _Guarded(_rebuilt(patterns, lambda view: enforcing(view, include=requirement)))
    rebuilt.requirement = requirement
    return rebuilt, app_name, namespace


class _Guarded(list[URLPattern | URLResolver]):
    """The patterns that `guarded` gives, with what it declared for them."""

    requirement: Requirement


def _parts(included: Any) -> tuple[Any, str | None, str | None]:
    # What `include` gives, and `admin.site.urls`; a bare list or module is taken too.
    return (
        cast("tuple[Any, str | None, str | None]", included) if isinstance(included, tuple) else (included, None, None)
    )


def _rebuilt(
    patterns: Sequence[Any], wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> list[URLPattern | URLResolver]:
    return [
        # Made anew and not copied: both keep private caches of what they lead to.
        type(each)(each.pattern, _rebuilt(each.url_patterns, wrap), each.default_kwargs, each.app_name, each.namespace)
        if isinstance(each, URLResolver)
        else type(each)(each.pattern, wrap(each.callback), each.default_args, each.name)
        for each in patterns
    ]
