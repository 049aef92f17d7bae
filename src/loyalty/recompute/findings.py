"""What a verification found: each row that is not what the journal says it must be."""

from dataclasses import dataclass, field
from typing import NamedTuple

from loyalty.domain.books import ACCOUNTS

SHOWN = 1_000
"""Findings that are kept; all are counted."""
CHECKED = (
    "member",
    "entry",
    "posting",
    "draw",
    "lot",
    "book",
    "hold",
    "reversal",
    "net_spend",
    "tier_count",
    "tier_grant",
    "merge",
    "cap_use",
    "tier_step",
    "adjustment",
    "reference",
    "parked_event",
    "review",
    "event",
    "difference",
    "slide",
    "tag_change",
    "identity",
    "person",
    "consent",
    "rule_version",
)
"""The tables that are compared."""


class Finding(NamedTuple):
    """A row that is not what the journal says it must be, and the invariant (docs) that it breaks."""

    table: str
    row: str
    invariant: int
    problem: str


@dataclass
class Report:
    """What was checked and what was found."""

    programme: str
    checked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHECKED, 0))
    """Rows by table."""
    accounts: dict[str, tuple[int, int]] = field(default_factory=lambda: dict.fromkeys(ACCOUNTS, (0, 0)))
    """Debits and credits by account, summed from the postings: the trial balance."""
    findings: list[Finding] = field(default_factory=list)
    """The first of them."""
    found: int = 0
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        return not self.found

    def add(self, table: str, row: str, invariant: int, problem: str) -> None:
        self.found += 1
        if len(self.findings) < SHOWN:
            self.findings.append(Finding(table, row, invariant, problem))
