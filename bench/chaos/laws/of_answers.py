"""What may be said to a request, and how often; and that whoever only asked what would be has changed nothing."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise

from bench.chaos.case import ENROLMENTS, Case, claimed, origin_of
from bench.chaos.history import Dossier, Heard
from bench.chaos.verbs import TOO_EARLY, VERBS
from loyalty.domain.programme import CLOCK_TOLERANCE
from loyalty.domain.refusals import vocabulary

CURABLE = frozenset(kind.code for kind in vocabulary() if kind.curable)
"""Refusals that are not frozen: the same request may succeed later."""
KEY_REUSED = "idempotency_key_reused"
PASSING = frozenset({"overloaded", "unavailable"})
"""The codes of a 503."""
ABOUT_S = 30
"""How far a client's clock and the service's may be apart, the way between them included."""
_STATUS_OF_CODE = {"member_frozen": "frozen", "member_earn_only": "earn_only", "member_closed": "closed"}


def is_frozen(heard: Heard) -> bool:
    """Whether the answer was decided behind the door and is kept under the key."""
    return heard.status < 500 and heard.code not in CURABLE and heard.code != KEY_REUSED


def only_documented_answers(case: Case) -> Iterator[str]:
    counts = Counter(one.ask.key for one in case.real)
    for one in case.history.dossiers.values():
        verb = VERBS[one.ask.verb]
        allowed = verb.refusals | ({KEY_REUSED} if counts[one.ask.key] > 1 and not one.ask.dry else frozenset())
        for heard in one.answers:
            if heard.status >= 400:
                fine = heard.code in (PASSING if heard.status == 503 else allowed)
            else:
                fine = heard.status in verb.yes
            if not fine:
                yield f"{one.name} was answered {heard.status} {heard.body[:300]}"


def one_answer_for_a_key(case: Case) -> Iterator[str]:
    decided: dict[str, set[int]] = defaultdict(set)
    for one in case.real:
        frozen = [heard for heard in one.answers if is_frozen(heard)]
        if frozen:
            decided[one.ask.key].add(one.ask.id)
        for first, other in pairwise(frozen):
            if (first.status, first.body) != (other.status, other.body):
                yield f"{one.name} was answered {first.status} {first.body} and then {other.status} {other.body}"
                break
        if sum(heard.replayed is False for heard in frozen) > 1:
            yield f"{one.name} was decided more than once: two answers are not marked as replayed"
    for key, asks in decided.items():
        if len(asks) > 1:
            yield f"the key {key} was taken for several requests: {sorted(asks)}"


def refusals_have_their_reason(case: Case) -> Iterator[str]:
    """`reference_taken` names who has it; a shortage is one; a status was asked for; clocks are as documented."""
    statuses = _statuses_asked_for(case)
    for one in case.real:
        for heard in one.answers:
            match heard.code:
                case "reference_taken":
                    earlier = case.entries.get(heard.document["entry"])
                    if heard.document["entry"] not in case.waiting and (
                        earlier is None or origin_of(earlier) != claimed(one)
                    ):
                        yield f"{one.name} was refused for {heard.document['entry']}, which is {earlier}"
                case "insufficient_points":
                    if heard.document["available"] >= heard.document["required"]:
                        yield f"{one.name} was refused with points enough: {heard.body}"
                case code if code in _STATUS_OF_CODE:
                    if _STATUS_OF_CODE[code] not in statuses:
                        yield f"{one.name} was refused for a status that nobody asked for: {heard.body}"
            yield from _clocks(one, heard)


def a_phone_joins_once(case: Case) -> Iterator[str]:
    """And so does an identity; once more when who joined with it has left."""
    joined: dict[str, str] = {}
    for one in case.of_verb(*ENROLMENTS):
        answer = case.answers.get(one.ask.id)
        if answer is not None and not case.closed(answer["id"]):
            known_by = str(one.ask.body)
            if joined.setdefault(known_by, answer["id"]) != answer["id"]:
                yield f"two members joined with {known_by}: {joined[known_by]} and {answer['id']}"


def dry_runs_leave_nothing(case: Case) -> Iterator[str]:
    """Nothing that a dry run has spoken of is there, but the entry of an adjustment that had its id before."""
    followed = {event["member"] for event in case.ledger.events}
    for one in case.dry:
        for heard in one.answers:
            if heard.status >= 400:
                continue
            if heard.replayed:
                yield f"{one.name} is a dry run and was replayed"
            said = heard.document
            spoken_of = {entry["id"] for entry in said.get("entries", ())} - case.waiting
            left = sorted(spoken_of & case.entries.keys())
            left += [id_ for id_ in (said.get("id"),) if one.ask.verb in ENROLMENTS and id_ in followed]
            parked = said["parked"] if said.get("status") == "waiting" else None
            left += [id_ for id_ in (parked,) if id_ and case.ledger.by_id.get(id_) is not None]
            if left:
                yield f"{one.name} is a dry run and left {left}"


def _statuses_asked_for(case: Case) -> set[str]:
    asked = {one.ask.body["status"] for one in case.of_verb("status")}
    return asked | ({"closed"} if any(case.of_verb("closing")) else set())


def _clocks(one: Dossier, heard: Heard) -> Iterator[str]:
    claimed_at = one.ask.body.get("occurred_at")
    if claimed_at is None:
        return
    ahead = datetime.fromisoformat(claimed_at).timestamp() - heard.at
    tolerance = CLOCK_TOLERANCE.total_seconds()
    if heard.code == TOO_EARLY and ahead < tolerance - ABOUT_S:
        yield f"{one.name} was {ahead:.0f} s ahead and refused: {heard.body}"
    if heard.status == 201 and ahead > tolerance + ABOUT_S:
        yield f"{one.name} was {ahead:.0f} s ahead and accepted"
