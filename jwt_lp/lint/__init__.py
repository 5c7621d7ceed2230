"""The linter for access tokens."""

from __future__ import annotations

from jwt_lp.lint.linter import Exemption, LintFinding, LintOptions, LintReport, lint

__all__ = ["Exemption", "LintFinding", "LintOptions", "LintReport", "lint"]
