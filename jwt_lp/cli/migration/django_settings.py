"""Rewrites for Django's settings, where simplejwt or django-oauth-toolkit is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import libcst as cst

from jwt_lp.cli.migration.fastapi_setup import assigned
from jwt_lp.cli.migration.rewriter import Rewriter, line_break, separator, text_of

if TYPE_CHECKING:
    from libcst.codemod import CodemodContext

    from jwt_lp.cli.migration.rewriter import Project

_APP: Final = "jwt_lp_django"
_MIDDLEWARE: Final = "jwt_lp_django.middleware.LeastPrivilegeMiddleware"
_SETTINGS: Final = """\
JWT_LP = {{
    "ISSUER": {issuer},
    "AUDIENCE": {audience},
    "ALGORITHMS": [{algorithm}],
    "JWKS": {{"kty": "oct", "alg": {algorithm}, "k": urlsafe_b64encode({key}.encode()).rstrip(b"=").decode()}},
    "PROFILE": "simplejwt",
{absent}}}
"""


class DjangoSettings(Rewriter):
    """Adds the guard to a settings module: the application, the middleware, `JWT_LP` from `SIMPLE_JWT`."""

    def __init__(self, context: CodemodContext, project: Project) -> None:
        super().__init__(context, project)
        self._depth = 0
        self._has_settings = project.mentions("JWT_LP")
        self._guarded = project.mentions(_MIDDLEWARE)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._depth += 1

    def leave_FunctionDef(self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef) -> cst.FunctionDef:
        self._depth -= 1
        return updated_node

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._depth += 1

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        self._depth -= 1
        return updated_node

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> Any:
        name, value = assigned(original_node) if self._depth == 0 else ("", None)
        if name == "INSTALLED_APPS":
            return self._with_member(original_node, updated_node, _APP, first=False)
        if name == "MIDDLEWARE":
            return self._with_member(original_node, updated_node, _MIDDLEWARE, first=True)
        if name == "REST_FRAMEWORK" and not self._guarded and "DEFAULT_PERMISSION_CLASSES" in _entries(value):
            self.decide(original_node, "views that rely on DEFAULT_PERMISSION_CLASSES need a declaration each")
        if name == "OAUTH2_PROVIDER" and not self._has_settings:
            self.decide(
                original_node,
                "tokens of django-oauth-toolkit are opaque: let ACCESS_TOKEN_GENERATOR make JWTs, and write JWT_LP "
                "(see the guide)",
            )
        if name == "SIMPLE_JWT" and not self._has_settings:
            return self._with_settings(original_node, updated_node, value)
        return updated_node

    def _with_member(self, line: cst.SimpleStatementLine, updated: Any, member: str, *, first: bool) -> Any:
        """The statement with one more member of its list or tuple."""
        value = assigned(updated)[1]
        if not isinstance(value, (cst.List, cst.Tuple)):
            if self._is_of_django(line):
                self.decide(line, f"it is no plain list: add {member!r}{', as the first' if first else ''}")
            return updated
        members = [text_of(item.value) for item in value.elements]
        if member in members or not self._is_of_django(line):
            return updated
        new = cst.Element(cst.SimpleString(f'"{member}"'))
        return updated.deep_replace(value, _joined(value, new, first=first))

    def _is_of_django(self, line: cst.SimpleStatementLine) -> bool:
        text = cst.Module([]).code_for_node(line)
        return "django." in text or "rest_framework" in text or "oauth2_provider" in text or "MIDDLEWARE" in text

    def _with_settings(self, line: cst.SimpleStatementLine, updated: Any, value: cst.BaseExpression | None) -> Any:
        given = _entries(value)
        algorithm = given.get("ALGORITHM", '"HS256"')
        if given is _UNREADABLE or (text_of(cst.parse_expression(algorithm)) or "HS").upper()[:2] != "HS":
            self.decide(line, "write JWT_LP with the issuer, the audience and the public key of these tokens")
            return updated
        absent = [claim for claim, key in (("iss", "ISSUER"), ("aud", "AUDIENCE")) if key not in given]
        text = _SETTINGS.format(
            issuer=given.get("ISSUER", '"simplejwt"'),
            audience=given.get("AUDIENCE", '"simplejwt"'),
            algorithm=algorithm,
            key=given.get("SIGNING_KEY", "SECRET_KEY"),
            absent="".join(['    "ABSENT_CLAIMS": [', ", ".join(f'"{claim}"' for claim in absent), "],\n"])
            if absent
            else "",
        )
        self._has_settings = True
        self.add_import("base64", "urlsafe_b64encode")
        self.decide(line, "check JWT_LP: its issuer, keys and profile are those of the tokens that are in use")
        return cst.FlattenSentinel([updated, *cst.parse_module(text).body])


_UNREADABLE: Final[dict[str, str]] = {"": ""}


def _entries(value: cst.BaseExpression | None) -> dict[str, str]:
    """The entries of a dictionary as source text."""
    if not isinstance(value, cst.Dict):
        return _UNREADABLE
    module = cst.Module([])
    entries: dict[str, str] = {}
    for element in value.elements:
        key = text_of(element.key) if isinstance(element, cst.DictElement) else None
        if key is None:
            return _UNREADABLE
        entries[key] = module.code_for_node(element.value)
    return entries


def _joined(value: cst.List | cst.Tuple, new: cst.Element, *, first: bool) -> cst.List | cst.Tuple:
    """The list with one more element, on a line of its own if the others are. Comments stay with their elements."""
    items: list[cst.BaseElement] = list(value.elements)
    if not items:
        return value.with_changes(elements=[new])
    if first:
        return value.with_changes(elements=[new.with_changes(comma=separator(value)), *items])
    before, last = items[:-1], items[-1]
    closing: cst.RightSquareBracket | cst.RightParen | None
    closing = value.rbracket if isinstance(value, cst.List) else value.rpar[0] if value.rpar else None
    ending = closing.whitespace_before if closing is not None else None
    between = separator(value)
    indented = between.whitespace_after
    if closing is None or not (
        isinstance(ending, cst.ParenthesizedWhitespace) and isinstance(indented, cst.ParenthesizedWhitespace)
    ):
        return value.with_changes(
            elements=[*before, last.with_changes(comma=between), new.with_changes(comma=last.comma)]
        )
    comma = cst.Comma(whitespace_after=ending.with_changes(last_line=indented.last_line))
    trailing = cst.Comma() if isinstance(last.comma, cst.Comma) else cst.MaybeSentinel.DEFAULT
    elements = [*before, last.with_changes(comma=comma), new.with_changes(comma=trailing)]
    closing = closing.with_changes(whitespace_before=line_break(ending))
    if isinstance(value, cst.List):
        return value.with_changes(elements=elements, rbracket=closing)
    return value.with_changes(elements=elements, rpar=[closing, *value.rpar[1:]])
