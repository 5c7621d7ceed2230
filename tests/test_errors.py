"""Errors and their stable codes."""

from __future__ import annotations

import pytest

import jwt_lp
from jwt_lp import errors


@pytest.mark.parametrize(
    ("code", "error", "above"),
    [
        ("error", errors.JwtLpError, Exception),
        ("grammar", errors.GrammarError, ValueError),
        ("configuration", errors.ConfigurationError, errors.JwtLpError),
        ("policy", errors.PolicyError, errors.JwtLpError),
        ("template", errors.TemplateError, errors.JwtLpError),
        ("invalid_token", errors.InvalidToken, errors.JwtLpError),
        ("keys_unavailable", errors.KeysUnavailable, errors.JwtLpError),
        ("introspection_unavailable", errors.IntrospectionUnavailable, errors.KeysUnavailable),
        ("keys_pending", errors.KeysPending, errors.JwtLpError),
    ],
)
def test_codes_are_stable(code: str, error: type[errors.JwtLpError], above: type[Exception]) -> None:
    """The codes and the base class of each error are stable."""
    assert (code, True, True) == (error.code, issubclass(error, errors.JwtLpError), issubclass(error, above))


def test_no_two_errors_have_one_code() -> None:
    """Each error has its own code, and the root package exports all but the internal one."""
    ladder = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.JwtLpError)
    }
    assert len(ladder) == len({error.code for error in ladder})
    assert {"KeysPending"} == {error.__name__ for error in ladder} - set(jwt_lp.__all__)


def test_the_attributes_of_errors() -> None:
    """`faults` holds each fault, `cause` the slug, `detail` its explanation, and `configured` who is at fault."""
    configuration = errors.ConfigurationError("one", "two")
    assert (("one", "two"), "one\ntwo") == (configuration.faults, str(configuration))
    assert ((), "") == (errors.ConfigurationError().faults, str(errors.ConfigurationError()))
    token = errors.InvalidToken("expired", "an hour ago")
    assert ("expired", "an hour ago", "expired: an hour ago") == (token.cause, token.detail, str(token))
    template = errors.TemplateError("no", configured=True)
    assert (True, "no") == (template.configured, str(template))
