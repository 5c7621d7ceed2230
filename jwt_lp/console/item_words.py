"""Words about an item of a campaign: what a reviewer reads before deciding."""

from __future__ import annotations

from bisect import bisect_right
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.quantities import count_noun, format_percent
from jwt_lp.review.report.wording import describe_change, describe_use

if TYPE_CHECKING:
    from jwt_lp.campaigns import CampaignItemView
    from jwt_lp.review import Finding

# The words of ICD 203 for probabilities, so that a word means the same to every reader.
_BOUNDS: Final = (0.05, 0.2, 0.45, 0.55, 0.8, 0.95)
_WORDS: Final = (
    "almost no chance",
    "very unlikely",
    "unlikely",
    "roughly an even chance",
    "likely",
    "very likely",
    "almost certain",
)
_LONGEST: Final = 1096
"""The time line of an item begins at most so many days before the review."""
_WIDTH: Final = 160


class SpanPicture(NamedTuple):
    """The time line of one item, in a picture that is 160 wide: held from, used from and to, up to the review.

    `used_from` and `used_to` are None without a known day of use. `words` say the same.
    """

    held_from: int
    used_from: int | None
    used_to: int | None
    words: str


def likelihood_words(finding: Finding) -> str:
    """The likelihood of need in a word and in numbers; says so where none is known."""
    likelihood = finding.likelihood
    if likelihood is None:
        return "not known"
    bound = finding.likelihood_bound
    most = "" if bound is None else f", at most {format_percent(bound)} in 19 of 20 cases"
    return f"{_WORDS[bisect_right(_BOUNDS, likelihood)]} ({format_percent(likelihood)}{most})"


def describe_item(finding: Finding) -> str:
    """What an item is about, in one line."""
    what = finding.grant or "all grants"
    through = f" through {finding.role}" if finding.role and finding.of != "role" else ""
    return f"{finding.person_name or finding.name or 'nobody'}: {what}{through}"


def proposal_words(finding: Finding) -> str:
    """What the review proposes, in a few words."""
    if finding.proposal == "narrow":
        return f"narrow to {' '.join(finding.instead)}"
    if finding.proposal == "remove":
        return "remove"
    return "keep" if not finding.guards else "keep, because something speaks against the removal"


def way_words(finding: Finding) -> str:
    """How the holder has the grant."""
    if finding.of == "role":
        members = count_noun(finding.members, "member")
        return f"a grant of the role, which has {members}; {finding.users:,} used it"
    if finding.role:
        return f"through the role {finding.role}"
    return "granted directly"


def span_picture(finding: Finding, day: str) -> SpanPicture | None:
    """The time line of an item up to the review of `day`; None where no day of it is known."""
    held, first, last = finding.held_since, finding.first_day, finding.last_day
    known = [each for each in (held, first, last) if each]
    if not known:
        return None
    end = _ordinal(day)
    start = max(min(map(_ordinal, known)), end - _LONGEST)
    length = max(end - start, 1)

    def place(text: str) -> int:
        return round(_WIDTH * min(max(_ordinal(text) - start, 0), length) / length)

    words = [f"held since {held}" if held else f"known since {min(known)}"]
    words.append(f"last used on {last}" if last else "never used")
    return SpanPicture(
        place(held or min(known)),
        place(first or last) if last else None,
        place(last) if last else None,
        ", ".join(words),
    )


def _ordinal(day: str) -> int:
    return date.fromisoformat(day).toordinal()


class ShownItem(NamedTuple):
    """An item with the words for it.

    `refusal` says why its reader cannot decide about it, "" if they can; `no_keeping` why they may only remove it.
    """

    item: CampaignItemView
    refusal: str
    no_keeping: str
    likelihood: str
    proposal: str
    way: str
    use: str
    change: str
    span: SpanPicture | None

    @property
    def choices(self) -> tuple[tuple[str, str], ...]:
        """The decisions that are possible, each with its label."""
        back = (("undo", "Take back"),) if self.item.decision is not None else ()
        if self.no_keeping:
            return (("remove", "Remove"), *back)
        narrow = (("narrow", "Narrow"),) if self.finding.instead else ()
        return (("keep", "Keep"), ("remove", "Remove"), *narrow, ("exempt", "Exempt"), *back)

    @property
    def finding(self) -> Finding:
        """The finding that is decided about."""
        return self.item.finding


def show_item(item: CampaignItemView, day: str, *, refusal: str = "", no_keeping: str = "") -> ShownItem:
    """The item with its words; `day` is that of the review."""
    finding = item.finding
    return ShownItem(
        item,
        refusal,
        no_keeping,
        likelihood_words(finding),
        proposal_words(finding),
        way_words(finding),
        describe_use(finding),
        describe_change(finding),
        span_picture(finding, day),
    )
