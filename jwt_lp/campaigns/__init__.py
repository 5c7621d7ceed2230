"""Campaigns: reviews with a deadline, decided about by reviewers, and the audit trail."""

from __future__ import annotations

from jwt_lp.campaigns.audit_trail import BrokenEntry, VerifiedTrail, export_audit, verify_audit, verify_audit_file
from jwt_lp.campaigns.campaigns import Campaigns
from jwt_lp.campaigns.values import (
    CampaignItemView,
    CampaignPage,
    CampaignProgress,
    CampaignWorksheet,
    DecisionPreview,
    EarlierDecision,
    GroupView,
    ItemPreview,
    ReminderResult,
)
from jwt_lp.review.trained_review import ReviewOptions

__all__ = [
    "BrokenEntry",
    "CampaignItemView",
    "CampaignPage",
    "CampaignProgress",
    "CampaignWorksheet",
    "Campaigns",
    "DecisionPreview",
    "EarlierDecision",
    "GroupView",
    "ItemPreview",
    "ReminderResult",
    "ReviewOptions",
    "VerifiedTrail",
    "export_audit",
    "verify_audit",
    "verify_audit_file",
]
