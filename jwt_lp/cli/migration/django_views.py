"""Rewrites for views and URLs that rely on simplejwt or django-oauth-toolkit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import libcst as cst
import libcst.matchers as m

from jwt_lp.cli.migration.fastapi_setup import assigned, scopes_argument, scopes_of
from jwt_lp.cli.migration.rewriter import Rewriter, call, elements, keywords, replace_element, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcst.codemod import CodemodContext

    from jwt_lp.cli.migration.rewriter import Project

_DRF: Final = "rest_framework.permissions"
_TOOLKIT: Final = "oauth2_provider.contrib.rest_framework"
_AUTHENTICATED: Final = f"{_DRF}.IsAuthenticated"
_HAS_SCOPE: Final = frozenset({f"{_TOOLKIT}.TokenHasScope", f"{_TOOLKIT}.permissions.TokenHasScope"})
_OURS: Final = "jwt_lp_django.drf.HasPermissions.of"
_PROTECTED: Final = "oauth2_provider.decorators.protected_resource"
# Permission classes with another rule than "a valid token" or "these scopes".
_OTHER: Final[Mapping[str, str]] = {
    f"{_DRF}.AllowAny": "AllowAny opens nothing any more: write @public if everybody may call it",
    f"{_DRF}.IsAdminUser": "IsAdminUser: name the permission that the callers need",
    f"{_DRF}.IsAuthenticatedOrReadOnly": "IsAuthenticatedOrReadOnly: declare the methods, @public for those that read",
    f"{_DRF}.DjangoModelPermissions": "DjangoModelPermissions: crud(...) declares a permission for each action",
    f"{_TOOLKIT}.TokenHasReadWriteScope": 'TokenHasReadWriteScope: required_permissions = {"GET": ..., "POST": ...}',
    f"{_TOOLKIT}.TokenHasResourceScope": 'TokenHasResourceScope: required_permissions = {"GET": ..., "POST": ...}',
    f"{_TOOLKIT}.TokenMatchesOASRequirements": "TokenMatchesOASRequirements: required_permissions with any_of(...)",
    f"{_TOOLKIT}.IsAuthenticatedOrTokenHasScope": "IsAuthenticatedOrTokenHasScope: declare what tokens need",
    "oauth2_provider.decorators.rw_protected_resource": "rw_protected_resource: two @requires with methods=...",
}
_SIGN_IN: Final = "rest_framework_simplejwt.views.Token"
_TOOLKIT_VIEWS: Final = "oauth2_provider.views."
_METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "require_GET": ("GET",),
    "require_POST": ("POST",),
    "require_safe": ("GET", "HEAD"),
}
_RESOURCE_VIEWS: Final = frozenset({"oauth2_provider.views.generic", "oauth2_provider.views"})


class DjangoViews(Rewriter):
    """Rewrites permission classes, `protected_resource`, and the URLs of the libraries' own views.

    Checks of django-oauth-toolkit stay beside ours: they refuse tokens that were revoked in its database, where its
    authentication class only finds no user.
    """

    def __init__(self, context: CodemodContext, project: Project) -> None:
        super().__init__(context, project)
        self._keep = project.mentions("oauth2_provider")

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        names = [self.name_of(base.value) for base in original_node.bases]
        if any(name.startswith(_SIGN_IN) for name in names):
            self.decide(
                original_node, 'a view that gives tokens: route it as external("who checks it")(... .as_view())'
            )
        for name in names:
            module, _, last = name.rpartition(".")
            if module in _RESOURCE_VIEWS and last in {"ProtectedResourceView", "ScopedProtectedResourceView"}:
                return self._resource_view(original_node, updated_node, scoped=last.startswith("Scoped"))
            if module in _RESOURCE_VIEWS and last.endswith("ProtectedResourceView"):
                self.decide(original_node, f"{last}: required_permissions with a permission for each method")
        return self._drf_class(original_node, updated_node)

    def _drf_class(self, before: cst.ClassDef, after: cst.ClassDef) -> cst.ClassDef:
        values = _attributes(before)
        classes = values.get("permission_classes")
        scopes = scopes_of(values.get("required_scopes")) if "required_scopes" in values else None
        replaced = self._classes(classes, scopes) if classes is not None else None
        return after if replaced is None else _with_attribute(after, "permission_classes", replaced)

    def _classes(
        self, classes: cst.BaseExpression, scopes: Sequence[cst.BaseExpression] | None
    ) -> cst.BaseExpression | None:
        """The list of permission classes with ours in it; None if it stays."""
        items = elements(classes) or ()
        if any(self.name_of(found.func) == _OURS for item in items for found in _calls(item)):
            return None
        value: Any = classes
        for index, item in reversed(list(enumerate(items))):
            ours = self._permission_class(item, scopes)
            if ours is not None:
                value = replace_element(value, index, *([item, ours] if self._keep else [ours]))
        return None if value is classes else cast("cst.BaseExpression", value)

    def _permission_class(
        self, item: cst.BaseExpression, scopes: Sequence[cst.BaseExpression] | None
    ) -> cst.BaseExpression | None:
        """Our class for one of theirs; None if there is none."""
        name = self.name_of(item)
        if name == _AUTHENTICATED:
            self.add_import("jwt_lp", "AUTHENTICATED")
            return self._has_permissions([cst.Name("AUTHENTICATED")], _AUTHENTICATED)
        if name in _HAS_SCOPE:
            if scopes:
                return self._has_permissions(scopes, name)
            self.decide(item, "TokenHasScope without required_scopes in the class: name the permissions")
        elif isinstance(item, cst.BinaryOperation) and isinstance(item.operator, cst.BitAnd):
            left, right = self._permission_class(item.left, scopes), self._permission_class(item.right, scopes)
            if self._keep:
                return left or right
            if left is not None or right is not None:
                return item.with_changes(left=left or item.left, right=right or item.right)
        elif name in _OTHER:
            self.decide(item, _OTHER[name])
        elif isinstance(item, (cst.BinaryOperation, cst.UnaryOperation)):
            self.decide(item, "| and ~ of permission classes: declare with any_of(...) what tokens need")
        return None

    def _has_permissions(self, permissions: Sequence[cst.BaseExpression], replaced: str) -> cst.Call:
        self.add_import("jwt_lp_django.drf", "HasPermissions")
        module, _, last = replaced.rpartition(".")
        if not self._keep:
            self.may_remove_import(module, last)
        return call("HasPermissions.of", permissions)

    def leave_Decorator(self, original_node: cst.Decorator, updated_node: cst.Decorator) -> cst.Decorator:
        target = original_node.decorator
        if isinstance(target, cst.Call) and self.name_of(target.func) == "rest_framework.decorators.permission_classes":
            value = target.args[0].value if len(target.args) == 1 else None
            replaced = self._classes(value, None) if value is not None else None
            if replaced is not None:
                return updated_node.with_changes(
                    decorator=target.with_changes(args=[target.args[0].with_changes(value=replaced)])
                )
        name = self.name_of(target.func if isinstance(target, cst.Call) else target)
        if name in _OTHER:
            self.decide(original_node, _OTHER[name])
        return updated_node

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        if original_node.name.value == "get_permissions" and m.findall(original_node, m.Name("AllowAny")):
            self.decide(
                original_node, "get_permissions opens nothing: declare required_permissions by action, or @public"
            )
        decorators = list(updated_node.decorators)
        declared = any(self._is_ours(decorator.decorator) for decorator in original_node.decorators)
        for index, decorator in enumerate(original_node.decorators):
            target = decorator.decorator
            if not isinstance(target, cst.Call) or self.name_of(target.func) != _PROTECTED:
                continue
            scopes = scopes_of(scopes_argument(target, 0))
            if scopes is None or not keywords(target) <= {"scopes", "*"}:
                self.decide(decorator, "protected_resource with these arguments: write @requires(...) by hand")
                continue
            if not declared:
                new = cst.Decorator(self._requires(original_node, decorator, scopes))
                kept = decorators[index]
                ours = new.with_changes(leading_lines=kept.leading_lines)
                decorators[index : index + 1] = [ours, kept.with_changes(leading_lines=[])]
        return updated_node.with_changes(decorators=decorators)

    def _requires(
        self, node: cst.FunctionDef, decorator: cst.Decorator, scopes: Sequence[cst.BaseExpression]
    ) -> cst.BaseExpression:
        name = "requires" if scopes else "authenticated"
        self.add_import("jwt_lp_django", name)
        methods = self._methods(node)
        if methods is None:
            self.decide(decorator, f"@{name} lets GET and HEAD through: add methods=(...) if the view answers others")
        if methods is None or set(methods) <= {"GET", "HEAD"}:
            return call(name, scopes) if scopes else cst.Name(name)
        tight = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
        value = cst.parse_expression(repr(methods).replace("'", '"'))
        result = call(name, scopes)
        return result.with_changes(args=[*result.args, cst.Arg(value, cst.Name("methods"), tight)])

    def _methods(self, node: cst.FunctionDef) -> tuple[str, ...] | None:
        for decorator in node.decorators:
            target = decorator.decorator
            name = self.name_of(target.func if isinstance(target, cst.Call) else target).rpartition(".")[2]
            if name in _METHODS:
                return _METHODS[name]
            if name == "require_http_methods" and isinstance(target, cst.Call) and target.args:
                texts = [text_of(item) for item in elements(target.args[0].value) or ()]
                return tuple(filter(None, texts)) if texts and all(texts) else None
        return None

    def _is_ours(self, node: cst.BaseExpression) -> bool:
        return self.name_of(node.func if isinstance(node, cst.Call) else node).startswith("jwt_lp_django.")

    def _resource_view(self, before: cst.ClassDef, after: cst.ClassDef, *, scoped: bool) -> cst.ClassDef:
        values = _attributes(before)
        if "required_permissions" in values:
            return after
        scopes = scopes_of(values.get("required_scopes")) if scoped else []
        if scopes is None or (scoped and not scopes):
            self.decide(before, "required_scopes cannot be read here: write required_permissions")
            return after
        if scoped:
            required = scopes[0] if len(scopes) == 1 else call("all_of", scopes)
            if len(scopes) > 1:
                self.add_import("jwt_lp", "all_of")
        else:
            required = cst.Name("AUTHENTICATED")
            self.add_import("jwt_lp", "AUTHENTICATED")
        self.add_import("jwt_lp_django", "LeastPrivilegeMixin")
        comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
        after = after.with_changes(bases=[cst.Arg(cst.Name("LeastPrivilegeMixin"), comma=comma), *after.bases])
        statement = cst.SimpleStatementLine(
            [cst.Assign([cst.AssignTarget(cst.Name("required_permissions"))], required)]
        )
        return after.with_changes(body=after.body.with_changes(body=[statement, *after.body.body]))

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        """Sign-in and token views of the libraries check their own credentials: declare them external."""
        if self._declared(original_node):
            return updated_node
        func = original_node.func
        if isinstance(func, cst.Attribute) and func.attr.value == "as_view":
            name = self.name_of(func.value)
            if name.startswith(_SIGN_IN):
                return self._external(updated_node, "simplejwt checks the password or the refresh token")
            if name.startswith(_TOOLKIT_VIEWS) and "ProtectedResource" not in name:
                return self._external(updated_node, "django-oauth-toolkit checks clients and sessions")
        if self.name_of(func) == "django.urls.include" and original_node.args and self._is_toolkit(original_node):
            self.add_import("jwt_lp_django", "external")
            self.add_import("jwt_lp_django", "guarded")
            reason = cst.parse_expression('external("django-oauth-toolkit checks clients and sessions")')
            return call("guarded", [updated_node, reason])
        return updated_node

    def _external(self, view: cst.Call, reason: str) -> cst.Call:
        self.add_import("jwt_lp_django", "external")
        return cst.Call(cst.parse_expression(f'external("{reason}")'), [cst.Arg(view)])

    def _is_toolkit(self, node: cst.Call) -> bool:
        first = node.args[0].value
        if isinstance(first, cst.Tuple) and first.elements:
            first = first.elements[0].value
        text = text_of(first) or self.name_of(first)
        return text == "oauth2_provider.urls"

    def visit_Call(self, node: cst.Call) -> None:
        if self.name_of(node.func.func if isinstance(node.func, cst.Call) else node.func).startswith("jwt_lp_django."):
            self._inner.update(id(arg.value) for arg in node.args)

    def _declared(self, node: cst.Call) -> bool:
        return id(node) in self._inner

    def visit_Module(self, node: cst.Module) -> None:
        # The arguments of our own calls, such as `external("...")(view)`.
        self._inner: set[int] = set()


def _attributes(node: cst.ClassDef) -> dict[str, cst.BaseExpression]:
    """What the class's own statements assign."""
    values: dict[str, cst.BaseExpression] = {}
    for line in node.body.body:
        name, value = assigned(line) if isinstance(line, cst.SimpleStatementLine) else ("", None)
        if name and value is not None:
            values[name] = value
    return values


def _with_attribute(node: cst.ClassDef, name: str, value: cst.BaseExpression) -> cst.ClassDef:
    body: list[Any] = []
    for line in node.body.body:
        if isinstance(line, cst.SimpleStatementLine) and assigned(line)[0] == name:
            statement: Any = line.body[0]
            body.append(line.with_changes(body=[statement.with_changes(value=value)]))
        else:
            body.append(line)
    return node.with_changes(body=node.body.with_changes(body=body))


def _calls(node: cst.CSTNode) -> list[cst.Call]:
    return [cst.ensure_type(found, cst.Call) for found in m.findall(node, m.Call())]
