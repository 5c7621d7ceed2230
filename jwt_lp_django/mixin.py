"""The mixin for view classes of Django and REST framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from jwt_lp_django.enforcement import wrap_view
from jwt_lp_django.marks import INHERITED


class LeastPrivilegeMixin:
    """Declares what a view class requires, in `required_permissions`. For classes of Django and of REST framework.

    `required_permissions` is a mapping from a method (`"GET"`) or, in a viewset, an action (`"list"`) to a permission,
    a requirement or a declaration; a method that the mapping omits is refused. Or it is one of these three alone, for
    all methods of the class. The mixin must come first among the bases. It enforces without the middleware too.
    """

    required_permissions: ClassVar[Any] = INHERITED
    __jwt_lp_mixin__: ClassVar[bool] = True

    # A type checker keeps the signature of the view class, which differs between Django and REST framework.
    if not TYPE_CHECKING:

        @classmethod
        def as_view(cls, *args: Any, **initkwargs: Any) -> Callable[..., Any]:
            """The view function. It asks the guard before it creates an instance of the class."""
            return wrap_view(super().as_view(*args, **initkwargs))
