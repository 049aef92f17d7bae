"""Finds what contradicts itself in a recorded history and what the API shows afterwards. It looks at nothing else."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from bench.chaos.case import ENROLMENTS, Case, claimed
from bench.chaos.history import Dossier, History
from bench.chaos.laws import of_answers, of_entries, of_events, of_promises, of_sums
from bench.chaos.laws.of_answers import is_frozen
from bench.chaos.ledger import Ledger

Law = Callable[[Case], Iterator[str]]
"""Says, in sentences, what contradicts it."""

LAWS: Mapping[str, Law] = {
    "every answer is a documented one": of_answers.only_documented_answers,
    "a key has one answer": of_answers.one_answer_for_a_key,
    "a refusal has its reason": of_answers.refusals_have_their_reason,
    "a phone joins once": of_answers.a_phone_joins_once,
    "a dry run leaves nothing": of_answers.dry_runs_leave_nothing,
    "nothing acknowledged is lost": of_entries.nothing_acknowledged_is_lost,
    "nothing happens twice": of_entries.nothing_happens_twice,
    "an entry says what was asked": of_entries.entries_say_what_was_asked,
    "a member's history is a chain": of_entries.histories_are_chains,
    "what comes later stands later": of_entries.later_requests_come_later,
    "readers see what was acknowledged": of_entries.readers_see_what_was_acknowledged,
    "a balance is the sum of its entries": of_sums.balances_are_sums,
    "the trial balance is the sum of all entries": of_sums.trial_balance_is_the_sum,
    "what moved is what was asked for": of_sums.what_moved_was_asked_for,
    "transfers sum to zero": of_sums.transfers_sum_to_zero,
    "a hold is resolved once": of_promises.holds_are_resolved_once,
    "a reservation is resolved once": of_promises.reservations_are_resolved_once,
    "what is held is open": of_promises.what_is_held_is_open,
    "a redemption is refunded once": of_promises.redemptions_are_refunded_once,
    "a purchase is reassigned once": of_promises.purchases_are_reassigned_once,
    "returns take back what was earned": of_promises.returns_take_what_was_earned,
    "an adjustment is decided once": of_promises.adjustments_are_decided_once,
    "what was parked is cured": of_promises.what_was_parked_is_cured,
    "a review item is resolved once": of_promises.reviews_are_resolved_once,
    "a status is the last one given": of_promises.statuses_are_the_last_given,
    "followers see everything once": of_events.followers_see_everything_once,
    "every event happened": of_events.every_event_happened,
}

QUIET_LAWS = frozenset(
    {
        "a balance is the sum of its entries",
        "the trial balance is the sum of all entries",
        "a hold is resolved once",
        "a reservation is resolved once",
        "what is held is open",
        "what was parked is cured",
        "followers see everything once",
        "every event happened",
    }
)
"""They compare what was read at several moments, or wait for the worker: read again before they are believed."""


class Violation(NamedTuple):
    """A law that did not hold, and the evidence."""

    law: str
    evidence: str


class Figures(NamedTuple):
    """What a history amounts to."""

    requests: int
    dry_runs: int
    attempts: int
    acknowledged: int
    """Requests that were told that they had happened."""
    waiting: int
    """Told that they wait: for their sale, for their member, or for approval."""
    refused: int
    """Answered with a refusal."""
    unknown: int
    """Given up without an answer, and how many of them happened all the same, as far as a reference tells."""
    unknown_happened: int
    lost: int
    """Attempts without an answer."""
    put_off: int
    """Answers 503."""
    members: int
    entries: int
    events: int


def check(history: History, ledger: Ledger) -> list[Violation]:
    """Everything that is wrong, law by law."""
    case = Case(history, ledger)
    return [Violation(law, evidence) for law, found in LAWS.items() for evidence in found(case)]


def figures(history: History, ledger: Ledger) -> Figures:
    """How much of everything there was."""
    case = Case(history, ledger)
    unknown = [one for one in case.real if one.verdict is None]
    untold = {origin for origin, entry in case.by_origin.items() if entry["id"] not in case.told}
    return Figures(
        requests=len(case.real),
        dry_runs=len(case.dry),
        attempts=sum(len(one.sent) for one in history.dossiers.values()),
        acknowledged=len(case.answers),
        waiting=sum(one.promised is not None for one in case.real),
        refused=sum(one.refused for one in case.real),
        unknown=len(unknown),
        unknown_happened=sum(claimed(one) in untold for one in unknown),
        lost=history.lost,
        put_off=sum(heard.status == 503 for one in history.dossiers.values() for heard in one.answers),
        members=len(ledger.entries),
        entries=len(case.entries),
        events=len(ledger.events),
    )


def by_verb(history: History) -> dict[str, tuple[int, int]]:
    """How many requests of each verb said yes, and how many were refused."""
    counts: dict[str, tuple[int, int]] = {}
    for one in history.dossiers.values():
        yes, no = counts.get(one.ask.verb, (0, 0))
        happened = one.verdict is not None and not one.refused
        counts[one.ask.verb] = yes + happened, no + one.refused
    return counts


def members_of(history: History) -> list[str]:
    """Everybody who was told of having joined."""
    return sorted({document["id"] for one, document in _said(history, dry=False) if one.ask.verb in ENROLMENTS})


def entries_of(history: History) -> list[str]:
    """The id of every entry that was acknowledged."""
    return [entry["id"] for _, document in _said(history, dry=False) for entry in document.get("entries", ())]


def left_open(history: History) -> list[str]:
    """The id of every hold, reservation, review item and parked event that somebody was told of.

    Of parked events, those of dry runs too.
    """
    told = [document for _, document in _said(history, dry=False)]
    tried = [document for _, document in _said(history, dry=True)]
    parked = {document["parked"] for document in (*told, *tried) if document.get("status") == "waiting"}
    held = {document[name]["id"] for document in told for name in ("hold", "reservation") if name in document}
    reviews = {document["review"] for document in told if "review" in document}
    return sorted(parked | held | reviews)


def replayable(history: History) -> list[Dossier]:
    """The requests whose answer is frozen under their key: it can be asked for again."""
    real = (one for one in history.dossiers.values() if not one.ask.dry)
    return [one for one in real if any(is_frozen(heard) for heard in one.answers)]


def _said(history: History, *, dry: bool) -> Iterator[tuple[Dossier, dict[str, Any]]]:
    """The requests that were told yes, and what they were told."""
    for one in history.dossiers.values():
        heard = one.acknowledged or one.promised
        if heard is not None and one.ask.dry == dry:
            yield one, heard.document
