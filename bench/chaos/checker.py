"""Finds what contradicts itself in a recorded history and what the API shows afterwards. It looks at nothing else."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from bench.chaos.history import Dossier, Heard, History
from bench.chaos.ledger import Document, Ledger
from bench.chaos.verbs import DRY_RUN, TOO_EARLY, VERBS
from loyalty.domain.books import ACCOUNTS, DEBIT_NORMAL
from loyalty.domain.programme import CLOCK_TOLERANCE
from loyalty.domain.refusals import vocabulary

CURABLE = frozenset(kind.code for kind in vocabulary() if kind.curable)
"""Refusals that are not frozen: the same request may succeed later."""
KEY_REUSED = "idempotency_key_reused"
PASSING = frozenset({"overloaded", "unavailable"})
"""The codes of a 503."""
OWN = ("pending", "available", "held", "owed")


class Violation(NamedTuple):
    """A law that did not hold, and the evidence."""

    law: str
    evidence: str


class Figures(NamedTuple):
    """What a history amounts to."""

    requests: int
    attempts: int
    acknowledged: int
    """Requests that were answered 201."""
    refused: int
    """Answered with a refusal."""
    unknown: int
    """Given up without an answer, and how many of them happened all the same."""
    unknown_happened: int
    lost: int
    """Attempts without an answer."""
    put_off: int
    """Answers 503."""
    entries: int


def check(history: History, ledger: Ledger) -> list[Violation]:
    """Everything that is wrong, law by law."""
    return [Violation(law, evidence) for law, found in LAWS.items() for evidence in found(history, ledger)]


def figures(history: History, ledger: Ledger) -> Figures:
    """How much of everything there was."""
    dossiers = history.dossiers.values()
    told = set(entries_of(history))
    happened = {_origin(entry) for id_, entry in _by_id(ledger).items() if id_ not in told} - {None}
    unknown = [one for one in dossiers if _verdict(one) is None]
    return Figures(
        requests=len(history.dossiers),
        attempts=sum(len(one.sent) for one in dossiers),
        acknowledged=sum(_acknowledged(one) is not None for one in dossiers),
        refused=sum((verdict := _verdict(one)) is not None and verdict.status >= 400 for one in dossiers),
        unknown=len(unknown),
        unknown_happened=sum(_claimed(one) in happened for one in unknown),
        lost=history.lost,
        put_off=sum(heard.status == 503 for one in dossiers for heard in one.answers),
        entries=sum(map(len, ledger.entries.values())),
    )


def members_of(history: History) -> list[str]:
    """Everybody who was told of having joined."""
    heard = (_acknowledged(one) for one in history.dossiers.values() if one.ask.verb == "enrolment")
    return sorted({one.document["id"] for one in heard if one is not None})


def entries_of(history: History) -> list[str]:
    """The id of every entry that was acknowledged."""
    heard = (_acknowledged(one) for one in history.dossiers.values())
    return [entry["id"] for one in heard if one is not None for entry in one.document["entries"]]


def replayable(history: History) -> list[Dossier]:
    """The requests whose answer is frozen under their key: it can be asked for again."""
    return [one for one in history.dossiers.values() if any(_is_frozen(heard) for heard in one.answers)]


Found = Iterator[str]


def _only_documented_answers(history: History, ledger: Ledger) -> Found:
    shared = _shared_keys(history)
    for one in history.dossiers.values():
        verb = VERBS[one.ask.verb]
        allowed = verb.refusals | ({KEY_REUSED} if one.ask.key in shared else frozenset())
        for heard in one.answers:
            fine = heard.code in (PASSING if heard.status == 503 else allowed) if heard.status >= 400 else True
            if not fine or (heard.status not in (201, 503) and heard.status < 400):
                yield f"{_name(one)} was answered {heard.status} {heard.body[:300]}"


def _one_answer_for_a_key(history: History, ledger: Ledger) -> Found:
    decided: dict[str, set[int]] = defaultdict(set)
    for one in history.dossiers.values():
        frozen = [heard for heard in one.answers if _is_frozen(heard)]
        if frozen:
            decided[one.ask.key].add(one.ask.id)
        for first, other in pairwise(frozen):
            if (first.status, first.body) != (other.status, other.body):
                yield f"{_name(one)} was answered {first.status} {first.body} and then {other.status} {other.body}"
                break
        if sum(heard.replayed is False for heard in frozen) > 1:
            yield f"{_name(one)} was decided more than once: two answers are not marked as replayed"
    for key, asks in decided.items():
        if len(asks) > 1:
            yield f"the key {key} was taken for several requests: {sorted(asks)}"


def _nothing_acknowledged_is_lost(history: History, ledger: Ledger) -> Found:
    known = _by_id(ledger)
    for one in history.dossiers.values():
        heard = _acknowledged(one)
        for entry in heard.document["entries"] if heard else ():
            kept = known.get(entry["id"])
            if kept is None:
                yield f"{_name(one)} was acknowledged with {entry['id']}, which is not in the ledger"
            elif kept != entry:
                yield f"{_name(one)} was acknowledged with {entry}, and the ledger shows {kept}"
    for id_, shown in ledger.by_id.items():
        if shown is None or shown != known.get(id_, shown):
            yield f"GET /v1/entries/{id_} shows {shown}, and the member's list {known.get(id_)}"


def _nothing_happens_twice(history: History, ledger: Ledger) -> Found:
    """Each entry with a reference is the only one, and goes back to a request that was not refused."""
    acknowledged = set(entries_of(history))
    open_ = {_claimed(one) for one in history.dossiers.values() if _verdict(one) is None}
    counts = Counter(origin for entry in _by_id(ledger).values() if (origin := _origin(entry)) is not None)
    for origin, count in counts.items():
        if count > 1:
            yield f"the reference {origin} stands in {count} entries"
    for entry in _by_id(ledger).values():
        origin = _origin(entry)
        if origin is not None and entry["id"] not in acknowledged and origin not in open_:
            yield f"{entry['id']} of {origin} was acknowledged to nobody who sent it: {entry}"
        if entry["source"] == DRY_RUN:
            yield f"a dry run left an entry: {entry}"
    told = Counter(entries_of(history))
    for id_, count in told.items():
        if count > 1:
            yield f"{id_} was given as the answer to {count} requests"


def _entries_say_what_was_asked(history: History, ledger: Ledger) -> Found:
    """The points of an entry are those of the request; its member is the one it was for."""
    by_origin = {origin: entry for entry in _by_id(ledger).values() if (origin := _origin(entry)) is not None}
    for one in history.dossiers.values():
        verb, entry = VERBS[one.ask.verb], by_origin.get(_claimed(one) or "")
        verdict = _verdict(one)
        if verb.kind is None or entry is None or (verdict is not None and verdict.status >= 400):
            continue
        moved: Counter[str] = Counter()
        for posting in entry["postings"]:
            if posting["debit"] == verb.debit and posting["credit"] != "owed":
                moved[posting["wallet"]] += posting["points"]
        wanted = verb.moved(one.ask.body)
        member = one.ask.body.get("member", {}).get("id", entry["member"])
        if dict(moved) != dict(wanted) or member != entry["member"]:
            yield f"{_name(one)} asked {one.ask.body} and the entry is {entry}"


def _refusals_have_their_reason(history: History, ledger: Ledger) -> Found:
    """`reference_taken` names the entry that has it; a shortage is one; clocks are refused as documented."""
    known = _by_id(ledger)
    for one in history.dossiers.values():
        for heard in one.answers:
            match heard.code:
                case "reference_taken":
                    earlier = known.get(heard.document["entry"])
                    if earlier is None or _origin(earlier) != _claimed(one):
                        yield f"{_name(one)} was refused for {heard.document['entry']}, which is {earlier}"
                case "insufficient_points":
                    if heard.document["available"] >= heard.document["required"]:
                        yield f"{_name(one)} was refused with points enough: {heard.body}"
            ahead = _ahead(one, heard)
            tolerance = CLOCK_TOLERANCE.total_seconds()
            if heard.code == TOO_EARLY and ahead < tolerance - 30:
                yield f"{_name(one)} was {ahead:.0f} s ahead and refused: {heard.body}"
            if heard.status == 201 and ahead > tolerance + 30:
                yield f"{_name(one)} was {ahead:.0f} s ahead and accepted"


def _a_phone_joins_once(history: History, ledger: Ledger) -> Found:
    joined: dict[str, str] = {}
    for one in history.dossiers.values():
        heard = _acknowledged(one)
        if one.ask.verb == "enrolment" and heard is not None:
            phone = one.ask.body["phone"]
            if joined.setdefault(phone, heard.document["id"]) != heard.document["id"]:
                yield f"two members joined with one phone: {joined[phone]} and {heard.document['id']}"


def _histories_are_chains(history: History, ledger: Ledger) -> Found:
    """Sequences 1 ... n without gaps; each entry's balances follow from those before; times never run backwards."""
    for member, entries in ledger.entries.items():
        before: dict[str, dict[str, int]] = {}
        for place, entry in enumerate(entries, start=1):
            if entry["sequence"] != place:
                yield f"{member} has the sequence {entry['sequence']} at place {place}"
                break
            if entry["member"] != member:
                yield f"{entry['id']} is shown for {member} and belongs to {entry['member']}"
            before = {wallet: dict(points) for wallet, points in before.items()}
            for posting in entry["postings"]:
                _move(before.setdefault(posting["wallet"], dict.fromkeys(OWN, 0)), posting)
            stored = entry["balances"]
            for wallet in stored:
                before.setdefault(wallet, dict.fromkeys(OWN, 0))
            if before != stored:
                yield f"{member}: after {entry['id']} (sequence {place}) {stored} is stored, and it follows {before}"
                break
            if min(points for balance in stored.values() for points in balance.values()) < 0:
                yield f"{member}: a negative balance in {entry}"
        for earlier, later in pairwise(entries):
            for time_ in ("effective_at", "recorded_at"):
                if _instant(earlier[time_]) > _instant(later[time_]):
                    yield f"{member}: {time_} runs backwards at sequence {later['sequence']}"


def _balances_are_sums(history: History, ledger: Ledger) -> Found:
    for member, entries in ledger.entries.items():
        sums: dict[str, dict[str, int]] = {}
        for entry in entries:
            for posting in entry["postings"]:
                _move(sums.setdefault(posting["wallet"], dict.fromkeys(OWN, 0)), posting)
        for wallet, shown in ledger.balances[member].items():
            points = {account: shown[account] for account in OWN}
            if points != sums.get(wallet, dict.fromkeys(OWN, 0)):
                yield f"{member} has {points} in {wallet}, and its entries sum up to {sums.get(wallet)}"


def _trial_balance_is_the_sum(history: History, ledger: Ledger) -> Found:
    sums = {account: {"debit": 0, "credit": 0} for account in ACCOUNTS}
    for entries in ledger.entries.values():
        for posting in (posting for entry in entries for posting in entry["postings"]):
            sums[posting["debit"]]["debit"] += posting["points"]
            sums[posting["credit"]]["credit"] += posting["points"]
    rows = ledger.trial_balance["accounts"]
    shown = {row["account"]: {"debit": row["debit"], "credit": row["credit"]} for row in rows}
    for account in sorted(sums.keys() | shown.keys()):
        if sums.get(account) != shown.get(account):
            yield f"{account} is {shown.get(account)}, and the entries sum up to {sums.get(account)}"
    if ledger.trial_balance["debit_total"] != ledger.trial_balance["credit_total"]:
        yield f"it does not balance: {ledger.trial_balance}"


def _later_requests_come_later(history: History, ledger: Ledger) -> Found:
    """What was sent after another had been acknowledged stands behind it in the member's history."""
    times = {
        entry["id"]: (min(one.sent), min(answer.at for answer in one.answers if answer.status == 201))
        for one in history.dossiers.values()
        if (heard := _acknowledged(one)) is not None
        for entry in heard.document["entries"]
    }
    for member, entries in ledger.entries.items():
        latest, holder = 0.0, ""
        for entry in entries:
            if entry["id"] not in times:
                continue
            sent, acknowledged = times[entry["id"]]
            if acknowledged < latest:
                yield f"{member}: {entry['id']} was acknowledged before {holder} was sent, and stands behind it"
            if sent > latest:
                latest, holder = sent, entry["id"]


def _readers_see_what_was_acknowledged(history: History, ledger: Ledger) -> Found:
    """Whoever looks sees every entry that had been acknowledged by then, as it is kept."""
    known = _by_id(ledger)
    acknowledged: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for one in history.dossiers.values():
        heard = _acknowledged(one)
        for entry in heard.document["entries"] if heard else ():
            at = min(answer.at for answer in one.answers if answer.status == 201)
            acknowledged[entry["member"]].append((at, entry["sequence"]))
    for told in acknowledged.values():
        told.sort()
    heights: dict[str, tuple[int, int]] = {}
    for look in sorted(history.looks, key=lambda look: look.sent):
        place, highest = heights.get(look.member, (0, 0))
        told = acknowledged[look.member]
        while place < len(told) and told[place][0] < look.sent:
            highest = max(highest, told[place][1])
            place += 1
        heights[look.member] = place, highest
        seen = look.entry["sequence"] if look.entry else 0
        if seen < highest:
            yield f"{look.member} was shown with {seen} entries after sequence {highest} had been acknowledged"
        if look.entry and look.entry != known.get(look.entry["id"]):
            yield f"{look.member} was shown {look.entry}, and the ledger has {known.get(look.entry['id'])}"


QUIET_LAWS = frozenset({"a balance is the sum of its entries", "the trial balance is the sum of all entries"})
"""They compare what was read at two moments: if something fell due between them, read again."""

LAWS: dict[str, Callable[[History, Ledger], Found]] = {
    "every answer is a documented one": _only_documented_answers,
    "a key has one answer": _one_answer_for_a_key,
    "nothing acknowledged is lost": _nothing_acknowledged_is_lost,
    "nothing happens twice": _nothing_happens_twice,
    "an entry says what was asked": _entries_say_what_was_asked,
    "a refusal has its reason": _refusals_have_their_reason,
    "a phone joins once": _a_phone_joins_once,
    "a member's history is a chain": _histories_are_chains,
    "a balance is the sum of its entries": _balances_are_sums,
    "the trial balance is the sum of all entries": _trial_balance_is_the_sum,
    "what comes later stands later": _later_requests_come_later,
    "readers see what was acknowledged": _readers_see_what_was_acknowledged,
}


def _name(one: Dossier) -> str:
    return f"request {one.ask.id} ({one.ask.verb}, key {one.ask.key})"


def _acknowledged(one: Dossier) -> Heard | None:
    """The first answer that says it happened."""
    return next((heard for heard in one.answers if heard.status == 201), None)


def _verdict(one: Dossier) -> Heard | None:
    """Its conclusive answer: that it happened, else why not; None: nobody knows."""
    conclusive = (heard for heard in one.answers if heard.status < 500)
    return _acknowledged(one) or next(conclusive, None)


def _is_frozen(heard: Heard) -> bool:
    """Whether the answer was decided behind the door and is kept under the key."""
    return heard.status < 500 and heard.code not in CURABLE and heard.code != KEY_REUSED


def _shared_keys(history: History) -> set[str]:
    """Keys under which more than one request was sent."""
    counts = Counter(one.ask.key for one in history.dossiers.values())
    return {key for key, count in counts.items() if count > 1}


def _claimed(one: Dossier) -> str | None:
    """The reference it claims, in the words of `_origin`."""
    kind, body = VERBS[one.ask.verb].kind, one.ask.body
    return f"{kind} {body['source']} {body['reference']}" if kind else None


def _origin(entry: Document) -> str | None:
    """Kind, source and reference of an entry that has one."""
    return None if entry["reference"] is None else f"{entry['kind']} {entry['source']} {entry['reference']}"


def _by_id(ledger: Ledger) -> dict[str, Document]:
    return {entry["id"]: entry for entries in ledger.entries.values() for entry in entries}


def _move(balance: dict[str, int], posting: Document) -> None:
    """The member's own accounts after a posting."""
    for side, sign in (("debit", -1), ("credit", 1)):
        account = posting[side]
        if account in balance:
            balance[account] += posting["points"] * (-sign if account in DEBIT_NORMAL else sign)


def _ahead(one: Dossier, heard: Heard) -> float:
    """Seconds that the request claimed to lie ahead of when this answer came."""
    claimed = one.ask.body.get("occurred_at")
    return 0.0 if claimed is None else _instant(claimed).timestamp() - heard.at


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
