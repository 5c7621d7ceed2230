"""The policy file: catalogue, roles, audiences, clients, compact form and differences."""

from __future__ import annotations

from jwt_lp.policy.file import Policy

__all__ = ["Policy"]
