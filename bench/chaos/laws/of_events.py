"""Whoever follows the events sees everything that happened, once, in one order, and nothing else."""

from collections import Counter
from collections.abc import Iterator

from bench.chaos.case import Case
from bench.chaos.ledger import Document


def followers_see_everything_once(case: Case) -> Iterator[str]:
    """All of them the same, in the same order; a member's own in the order of its sequence."""
    whole = [event["id"] for event in case.ledger.events]
    for id_, count in Counter(whole).items():
        if count > 1:
            yield f"{id_} is shown {count} times"
    for follower, events in case.history.followed.items():
        seen = [event["id"] for event in events]
        if seen != whole:
            place = next((n for n, (one, other) in enumerate(zip(seen, whole, strict=False)) if one != other), None)
            place = min(len(seen), len(whole)) if place is None else place
            yield (
                f"{follower} saw {len(seen)} events and there are {len(whole)}; they part at {place}:"
                f" {events[place : place + 2]} and {case.ledger.events[place : place + 2]}"
            )
    heights: Counter[str] = Counter()
    for event in case.ledger.events:
        if event["sequence"] < heights[event["member"]]:
            yield f"{event} comes after sequence {heights[event['member']]}"
        heights[event["member"]] = event["sequence"]


def every_event_happened(case: Case) -> Iterator[str]:
    """An entry has one event and an event its entry; and so for whatever else happens to a member."""
    told: dict[str, str] = {}
    for event in case.ledger.events:
        entry = case.entries.get(event["entry"] or "")
        if event["entry"] is None:
            continue
        told[event["entry"]] = event["id"]
        shown = entry and (f"entry.{entry['kind']}", entry["member"], entry["sequence"], entry["recorded_at"])
        if shown != (event["type"], event["member"], event["sequence"], event["recorded_at"]):
            yield f"{event} tells of {entry}"
    for id_ in case.entries.keys() - told.keys():
        yield f"no event tells of {case.entries[id_]}"
    yield from _counted(case)


def _counted(case: Case) -> Iterator[str]:
    """Joining, leaving, a debt and a wait for approval are told once each; of what is unknown, at most once."""
    counts = Counter((event["type"], event["member"]) for event in case.ledger.events)
    for member, entries in case.ledger.entries.items():
        debts = sum(_is_a_debt(entry) for entry in entries)
        expected = {"member.enrolled": 1, "member.closed": int(case.closed(member)), "redemption.not_covered": debts}
        for type_, count in expected.items():
            if counts[type_, member] != count:
                yield f"{counts[type_, member]} events {type_} tell of {member}, and it happened {count} times"
    waiting = len(case.waiting)
    unknown = sum(one.verdict is None for one in case.of_verb("adjustment"))
    told = sum(count for (type_, _), count in counts.items() if type_ == "adjustment.awaiting_approval")
    if not waiting <= told <= waiting + unknown:
        yield f"{told} events tell of adjustments that wait, and {waiting} were told to"


def _is_a_debt(entry: Document) -> bool:
    """Whether it is a redemption that the points did not cover."""
    return entry["kind"] == "spend" and any(posting["debit"] == "owed" for posting in entry["postings"])
