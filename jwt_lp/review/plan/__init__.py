"""Plans: worksheets, previews, application, verification and undo."""

from __future__ import annotations

from jwt_lp.review.plan.application import (
    ApplyResult,
    PolicyFileChanged,
    UndoResult,
    apply,
    check_preview,
    in_trial,
    prepare_undo,
    undo,
)
from jwt_lp.review.plan.frozen_plan import Plan, from_review, from_worksheet
from jwt_lp.review.plan.handoffs import Handoff, handoffs_of, write_handoffs
from jwt_lp.review.plan.notice import NOTICE_COLUMNS, Notice, give_notice, send_notice, write_notice
from jwt_lp.review.plan.plan_journal import ApplyIntent, journal_path, read_status
from jwt_lp.review.plan.plan_preview import OverCap, PlanPreview, preview
from jwt_lp.review.plan.plan_stages import PlanStage, parse_stages
from jwt_lp.review.plan.policy_editor import read_bytes, write_atomically
from jwt_lp.review.plan.restoration import RestoreResult, restore
from jwt_lp.review.plan.verification import ItemOutcome, verify
from jwt_lp.review.plan.worksheet import (
    Worksheet,
    join_worksheets,
    read_worksheet,
    split_findings,
    write_worksheet,
)

__all__ = [
    "NOTICE_COLUMNS",
    "ApplyIntent",
    "ApplyResult",
    "Handoff",
    "ItemOutcome",
    "Notice",
    "OverCap",
    "Plan",
    "PlanPreview",
    "PlanStage",
    "PolicyFileChanged",
    "RestoreResult",
    "UndoResult",
    "Worksheet",
    "apply",
    "check_preview",
    "from_review",
    "from_worksheet",
    "give_notice",
    "handoffs_of",
    "in_trial",
    "join_worksheets",
    "journal_path",
    "parse_stages",
    "prepare_undo",
    "preview",
    "read_bytes",
    "read_status",
    "read_worksheet",
    "restore",
    "send_notice",
    "split_findings",
    "undo",
    "verify",
    "write_atomically",
    "write_handoffs",
    "write_notice",
    "write_worksheet",
]
