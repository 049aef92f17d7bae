"""What other rules would change, added up over members, and as it is told."""

from datetime import date, timedelta
from typing import Any, Final, NamedTuple

from loyalty.domain.ladder import POINTS, Pending
from loyalty.domain.programme import Programme
from loyalty.domain.rules import RuleSet


class Question(NamedTuple):
    """By which rules, and over which business days."""

    rules: RuleSet
    begins: date
    ends: date
    """The first day after the last."""


class Tally:
    """What was given, and what would have been. Tallies of different members add up."""

    def __init__(self) -> None:
        self.members = 0
        self.purchases = 0
        self.wallets: dict[str, dict[str, int]] = {}
        self.rules: dict[str, dict[str, int]] = {}
        self.tiers: dict[str, int] = {}
        """Members by the tier they are of and the one they would be of."""
        self.unknown: dict[str, int] = {}
        """Purchases of which nobody knows any more what a variable was: none, or false, as far as this goes."""

    def add(self, other: "Tally") -> None:
        """Take over what another tally counted."""
        self.members += other.members
        self.purchases += other.purchases
        for mine, theirs in ((self.wallets, other.wallets), (self.rules, other.rules)):
            for name, figures in theirs.items():
                known = mine.setdefault(name, {})
                for figure, value in figures.items():
                    pick = {"largest_gain": max, "largest_loss": min}.get(figure, _sum)
                    known[figure] = pick(known.get(figure, 0), value)
        for counts, more in ((self.tiers, other.tiers), (self.unknown, other.unknown)):
            for name, number in more.items():
                counts[name] = counts.get(name, 0) + number

    def count(self, wallet: str, **figures: int) -> None:
        """Add to a wallet's figures."""
        known = self.wallets.setdefault(wallet, {})
        for figure, value in figures.items():
            known[figure] = known.get(figure, 0) + value


def _sum(one: int, other: int) -> int:
    return one + other


def report(programme: Programme, question: Question, tally: Tally) -> dict[str, Any]:
    """The answer, as it is kept and shown."""
    wallets = {}
    for name, figures in sorted(tally.wallets.items()):
        wallet = programme.wallets.get(name)
        difference = figures["now"] - figures["then"]
        wallets[name] = {
            "given": figures["then"],
            "would_be_given": figures["now"],
            "difference": difference,
            "liability": None if wallet is None else difference * wallet.point_value,
            **{figure: figures.get(figure, 0) for figure in _FIGURES},
        }
    return {
        "from": question.begins,
        "to": question.ends - timedelta(days=1),
        "members": tally.members,
        "purchases": tally.purchases,
        "wallets": wallets,
        "rules": [{"rule": id_, **figures} for id_, figures in sorted(tally.rules.items())],
        "unknown": [{"variable": name, "purchases": number} for name, number in sorted(tally.unknown.items())],
        "tiers_follow_rules": follows_rules(programme),
        "tiers": [
            {"is": move.split("\x1f")[0], "would_be": move.split("\x1f")[1], "members": members}
            for move, members in sorted(tally.tiers.items())
        ],
        "currency": programme.currency,
    }


def follows_rules(programme: Programme) -> bool:
    """Whether other rules would have made other tiers: the ladder goes by points as they are earned."""
    ladder = programme.ladder
    return any(name.startswith(POINTS) for name, _ in ladder.metric) and ladder.pending == Pending.EARNING


_FIGURES: Final = ("purchases_more", "purchases_less", "members_more", "members_less", "largest_gain", "largest_loss")
