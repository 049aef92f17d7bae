"""What is in the members' histories: all that was acknowledged, once, as it was told, in order."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from bench.chaos.case import Case, claimed, credited, origin_of, without_zeros
from bench.chaos.history import Dossier
from bench.chaos.ledger import Document
from bench.chaos.verbs import VERBS
from loyalty.domain.books import DEBIT_NORMAL

OWN = ("pending", "available", "held", "owed")


def nothing_acknowledged_is_lost(case: Case) -> Iterator[str]:
    for one in case.real:
        for entry in case.answers.get(one.ask.id, {}).get("entries", ()):
            kept = case.entries.get(entry["id"])
            if kept is None:
                yield f"{one.name} was acknowledged with {entry['id']}, which is not in the ledger"
            elif kept != entry:
                yield f"{one.name} was acknowledged with {entry}, and the ledger shows {kept}"
    for id_, shown in case.ledger.by_id.items():
        if id_.startswith("ent_") and (shown is None or shown != case.entries.get(id_, shown)):
            yield f"GET /v1/entries/{id_} shows {shown}, and the member's list {case.entries.get(id_)}"


def nothing_happens_twice(case: Case) -> Iterator[str]:
    """Each entry with a reference is the only one, and goes back to a request that was not refused."""
    open_ = {claimed(one) for one in case.real if one.verdict is None or one.promised is not None}
    counts = Counter(origin for entry in case.entries.values() if (origin := origin_of(entry)) is not None)
    for origin, count in counts.items():
        if count > 1:
            yield f"the reference {origin} stands in {count} entries"
    for entry in case.entries.values():
        origin = origin_of(entry)
        if origin is not None and entry["id"] not in case.told and origin not in open_:
            yield f"{entry['id']} of {origin} was acknowledged to nobody who sent it: {entry}"
    for id_, count in case.told.items():
        if count > 1:
            yield f"{id_} was given as the answer to {count} requests"


def entries_say_what_was_asked(case: Case) -> Iterator[str]:
    """The points of an entry are those of the request and of its answer; its member is the one it was for."""
    for one in case.real:
        entry, answer = case.entry(one), case.answers.get(one.ask.id)
        if entry is None:
            continue
        verb, member = VERBS[one.ask.verb], entry["member"]
        name = one.ask.body.get("member") or one.ask.body.get("from") or {"id": member}
        if case.member(name) not in (member, None):
            yield f"{one.name} asked {one.ask.body} and the entry is {entry}"
        wanted = verb.moved(one.ask.body, answer)
        entries = answer["entries"] if answer else [entry]
        moved = credited((part for part in entries if part["member"] == member), verb.account)
        if wanted is not None and moved != without_zeros(Counter(wanted)):
            yield f"{one.name} asked {one.ask.body} and moved {dict(moved)}: {entries}"


def histories_are_chains(case: Case) -> Iterator[str]:
    """Sequences 1 ... n without gaps; each entry's balances follow from those before; times never run backwards."""
    for member, entries in case.ledger.entries.items():
        before: dict[str, dict[str, int]] = {}
        for place, entry in enumerate(entries, start=1):
            if entry["sequence"] != place:
                yield f"{member} has the sequence {entry['sequence']} at place {place}"
                break
            if entry["member"] != member:
                yield f"{entry['id']} is shown for {member} and belongs to {entry['member']}"
            before = {wallet: dict(points) for wallet, points in before.items()}
            for posting in entry["postings"]:
                move(before.setdefault(posting["wallet"], dict.fromkeys(OWN, 0)), posting)
            stored = entry["balances"]
            for wallet in stored:
                before.setdefault(wallet, dict.fromkeys(OWN, 0))
            if before != stored:
                yield f"{member}: after {entry['id']} (sequence {place}) {stored} is stored, and it follows {before}"
                break
            if min(points for balance in stored.values() for points in balance.values()) < 0:
                yield f"{member}: a negative balance in {entry}"
        yield from _times_run_on(member, entries)


def later_requests_come_later(case: Case) -> Iterator[str]:
    """What was sent after another had been acknowledged stands behind it in the member's history."""
    times = {
        entry["id"]: (min(one.sent), _told_at(one))
        for one in case.real
        for entry in case.answers.get(one.ask.id, {}).get("entries", ())
    }
    for member, entries in case.ledger.entries.items():
        latest, holder = 0.0, ""
        for entry in entries:
            if entry["id"] not in times:
                continue
            sent, acknowledged = times[entry["id"]]
            if acknowledged < latest:
                yield f"{member}: {entry['id']} was acknowledged before {holder} was sent, and stands behind it"
            if sent > latest:
                latest, holder = sent, entry["id"]


def readers_see_what_was_acknowledged(case: Case) -> Iterator[str]:
    """Whoever looks sees every entry that had been acknowledged by then, as it is kept."""
    acknowledged: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for one in case.real:
        for entry in case.answers.get(one.ask.id, {}).get("entries", ()):
            acknowledged[entry["member"]].append((_told_at(one), entry["sequence"]))
    for told in acknowledged.values():
        told.sort()
    heights: dict[str, tuple[int, int]] = {}
    for look in sorted(case.history.looks, key=lambda look: look.sent):
        place, highest = heights.get(look.member, (0, 0))
        told = acknowledged[look.member]
        while place < len(told) and told[place][0] < look.sent:
            highest = max(highest, told[place][1])
            place += 1
        heights[look.member] = place, highest
        seen = look.entry["sequence"] if look.entry else 0
        if seen < highest:
            yield f"{look.member} was shown with {seen} entries after sequence {highest} had been acknowledged"
        if look.entry and look.entry != case.entries.get(look.entry["id"]):
            yield f"{look.member} was shown {look.entry}, and the ledger has {case.entries.get(look.entry['id'])}"


def move(balance: dict[str, int], posting: Document) -> None:
    """The member's own accounts after a posting."""
    for side, sign in (("debit", -1), ("credit", 1)):
        account = posting[side]
        if account in balance:
            balance[account] += posting["points"] * (-sign if account in DEBIT_NORMAL else sign)


def _times_run_on(member: str, entries: list[Document]) -> Iterator[str]:
    for earlier, later in pairwise(entries):
        for time_ in ("effective_at", "recorded_at"):
            if datetime.fromisoformat(earlier[time_]) > datetime.fromisoformat(later[time_]):
                yield f"{member}: {time_} runs backwards at sequence {later['sequence']}"


def _told_at(one: Dossier) -> float:
    """When somebody was first told that it had happened."""
    return min(heard.at for heard in one.answers if heard.status in (200, 201))
