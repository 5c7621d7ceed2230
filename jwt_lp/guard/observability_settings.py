"""Reader of the settings `AUDIT` and `OPENTELEMETRY`."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Literal

from jwt_lp.guard.setting_fields import SettingReader


class ObservabilityReader(SettingReader):
    """Reads what the guard tells about its decisions, and to whom."""

    def audit(self) -> float | None:
        """Which share of the requests that pass is in the audit log; None if there is no audit log."""
        value = self.values.get("AUDIT")
        word = value.strip().lower() if isinstance(value, str) else value
        if word in ("", "off", None) or value is False:
            return None
        share = {"refused": 0.0, "full": 1.0}.get(word) if isinstance(word, str) else None
        if share is None and isinstance(word, (str, int, float)) and not isinstance(word, bool):
            try:
                share = float(word)
            except (ValueError, OverflowError):
                share = math.nan
        if share is None or not 0 <= share <= 1:
            self.fault('AUDIT is "off", "refused", "full", or the share of the requests that pass, such as 0.01')
            return None
        return share

    def opentelemetry(self) -> bool | Literal["subject"]:
        """Whether OpenTelemetry is used, and whether spans name the subject."""
        value = self.word("OPENTELEMETRY")
        if value is None or value is False:
            return False
        if value is not True and not (isinstance(value, str) and value.lower() == "subject"):
            self.fault('OPENTELEMETRY is True, False, or "subject" to name the subject in spans')
            return False
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.metrics") is None:
            self.fault('OPENTELEMETRY needs the API of OpenTelemetry: pip install "jwt-lp[opentelemetry]"')
            return False
        return True if value is True else "subject"
