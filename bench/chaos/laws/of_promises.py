"""What one request leaves open for another: undone once, never beyond what there was, and as was last said."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bench.chaos.case import (
    Case,
    all_entries,
    claimed,
    confirmed_untold,
    credited,
    is_moved_sale,
    without_zeros,
)
from bench.chaos.history import Dossier
from bench.chaos.ledger import Document
from bench.chaos.verbs import earned_by, spent

FINAL = ("exceeds_purchase", "member_closed", "member_frozen")
"""Why a parked event may be refused for good, beside that it had been done before."""
DECIDED = ("approval", "rejection", "own_approval")


class _Kept(NamedTuple):
    """What is kept open until one of two verbs resolves it, or its time is over."""

    opened_by: str
    shown_in: str
    """Of the answers."""
    taken_by: str
    taken: str
    given_up_by: str
    given_up: str
    """Verbs, and the statuses they leave it in."""


_HOLD = _Kept("hold", "hold", "capture", "captured", "release", "released")
_RESERVATION = _Kept("reservation", "reservation", "confirmation", "confirmed", "cancellation", "cancelled")


def holds_are_resolved_once(case: Case) -> Iterator[str]:
    """A hold shows how it was resolved."""
    return _resolved_once(case, _HOLD)


def reservations_are_resolved_once(case: Case) -> Iterator[str]:
    """A return in two steps shows how it was resolved."""
    return _resolved_once(case, _RESERVATION)


def _resolved_once(case: Case, kept: _Kept) -> Iterator[str]:
    verbs = kept.taken_by, kept.given_up_by
    told = _by_about(case.of_verb(*verbs), case)
    unknown = {one.ask.about for one in case.of_verb(*verbs) if one.verdict is None}
    for id_, resolutions in told.items():
        if len(resolutions) > 1:
            yield f"{id_} was resolved {len(resolutions)} times: {[one.name for one in resolutions]}"
        shown, said = case.ledger.by_id.get(id_), case.answers[resolutions[0].ask.id][kept.shown_in]
        if shown != said:
            yield f"{id_} was resolved as {said}, and is shown as {shown}"
    for id_ in _opened(case, kept):
        shown = case.ledger.by_id.get(id_)
        if shown is None:
            yield f"{id_} is not there"
        elif shown["status"] == kept.taken and id_ not in told and id_ not in unknown:
            yield f"nobody has {kept.taken} {shown}"
        elif shown["status"] == kept.given_up and id_ not in {*told, *unknown} and not case.closed(shown["member"]):
            yield f"nobody has {kept.given_up} {shown}"


def what_is_held_is_open(case: Case) -> Iterator[str]:
    """What a member has held is the points of what is open; what nobody was told of may be among it."""
    open_: Counter[tuple[str, str]] = Counter()
    for id_ in _opened(case, _HOLD):
        shown = case.ledger.by_id.get(id_)
        if shown is not None and shown["status"] == "open":
            open_[shown["member"], shown["wallet"]] += shown["points"]
    for id_ in _opened(case, _RESERVATION):
        shown, entry = case.ledger.by_id.get(id_), case.entries.get(_entry_of(id_))
        if shown is not None and entry is not None and shown["status"] == "reserved":
            for wallet, points in credited([entry], "held").items():
                open_[shown["member"], wallet] += points
    untold: Counter[tuple[str, str]] = Counter()
    for entry in all_entries(case.ledger):
        if entry["kind"] in ("hold", "reserve") and entry["id"] not in case.told:
            for wallet, points in credited([entry], "held").items():
                untold[entry["member"], wallet] += points
    for member, wallets in case.ledger.balances.items():
        for wallet, balance in wallets.items():
            least = open_[member, wallet]
            if not least <= balance["held"] <= least + untold[member, wallet]:
                yield f"{member} has {balance['held']} {wallet} held, and what is open is {least}"


def redemptions_are_refunded_once(case: Case) -> Iterator[str]:
    """No more comes back than was redeemed; all that is left is all that was left."""
    redeemed = _redemptions(case)
    refunded: Counter[str] = Counter()
    emptied = set()
    for one, entry in case.happened("refund"):
        refunded[one.ask.about] -= sum(credited([entry], "redeemed").values())
        if "points" not in one.ask.body:
            emptied.add(one.ask.about)
    for id_, points in refunded.items():
        if points > redeemed[id_] or (id_ in emptied and points != redeemed[id_]):
            yield f"{id_} was of {redeemed[id_]} points, and {points} were refunded"


def purchases_are_reassigned_once(case: Case) -> Iterator[str]:
    """Each reassignment takes a purchase from one member and gives just that to the other one."""
    wanted = Counter(
        (*_sale_of(one), case.member(one.ask.body["to"]) or "nobody") for one, _ in case.happened("reassignment")
    )
    given = Counter((e["source"], e["reference"], e["member"]) for e in all_entries(case.ledger) if is_moved_sale(e))
    for place in wanted - given:
        yield f"the purchase {place[:2]} was reassigned to {place[2]}, who never had it"
    for place in given - wanted:
        yield f"the purchase {place[:2]} is that of {place[2]}, and nobody has reassigned it"
    for one, entry in case.happened("reassignment"):
        answer = case.answers.get(one.ask.id)
        sum_ = credited(answer["entries"], "issued") if answer is not None else Counter()
        if sum_ and not case.closed(entry["member"]):
            yield f"{one.name} was to move a purchase, and issued {dict(sum_)} points less: {answer}"


def returns_take_what_was_earned(case: Case) -> Iterator[str]:
    """In all: what the purchase earned, less what the basket that remains would have. Of who has left, no more."""
    bodies = {claimed(one): one.ask.body for one in case.of_verb("purchase", "late_purchase") if not one.refused}
    returns: dict[str, list[tuple[Document, Document]]] = defaultdict(list)
    for body, entry in _returns(case):
        returns[_origin(body)].append((body, entry))
    holders = _holders(case)
    reserving = _reserving(case)
    unknown = {_origin(reserving[id_]) for id_ in confirmed_untold(case)}
    reserved = {_origin(one.ask.body) for one in case.of_verb("reservation") if not one.refused}
    for origin, several in returns.items():
        purchase, cost = case.by_origin.get(origin), spent(bodies[origin]) if origin in bodies else 0
        if purchase is None:
            yield f"{origin} was returned and never sold: {several[0][1]}"
            continue
        if origin in unknown:
            continue  # nobody was told what a confirmation took
        strangers = {entry["member"] for _, entry in several} - {purchase["member"], *holders[origin]}
        if strangers:
            yield f"of {purchase} something came back from {strangers}, who never had it"
        full = any("full" in body for body, _ in several)
        back = cost if full else sum(line["amount"] for body, _ in several for line in body["lines"])
        taken = credited((entry for _, entry in several), "issued")
        remaining = earned_by(cost - back)
        due = without_zeros(Counter({w: points - remaining[w] for w, points in earned_by(cost).items()}))
        # What is reserved is not left, so all that is left may be less than all; who leaves forfeits.
        bounded = (full and origin in reserved) or any(map(case.closed, {purchase["member"], *holders[origin]}))
        fine = taken <= due if bounded else taken == due
        if back > cost or not fine:
            yield f"of {purchase} {back} came back for {dict(taken)} points, and {dict(due)} were due"


def reviews_are_resolved_once(case: Case) -> Iterator[str]:
    """Somebody was told, and it shows."""
    for id_, resolutions in _by_about(case.of_verb("resolution"), case).items():
        shown, said = case.ledger.by_id.get(id_), case.answers[resolutions[0].ask.id]
        if len(resolutions) > 1 or shown != said:
            yield f"{id_} was resolved {len(resolutions)} times, first as {said}, and is shown as {shown}"


def adjustments_are_decided_once(case: Case) -> Iterator[str]:
    """Above the limit there is an entry when somebody has approved, and none when somebody has rejected."""
    told = _by_about(case.of_verb(*DECIDED), case)
    unknown = {one.ask.about for one in case.of_verb("approval") if one.verdict is None}
    for one in case.of_verb("adjustment"):
        if one.promised is None:
            continue
        id_, entry = one.promised.document["adjustment"], case.by_origin.get(claimed(one) or "")
        decisions = [case.answers[decision.ask.id]["status"] for decision in told.get(id_, ())]
        if len(decisions) > 1:
            yield f"{id_} was decided {len(decisions)} times: {decisions}"
        if (entry is not None) != ("approved" in decisions) and not (id_ in unknown and not decisions):
            yield f"{id_} was decided {decisions}, and its entry is {entry}"


def what_was_parked_is_cured(case: Case) -> Iterator[str]:
    """Once its sale or its member is there a parked event is done, or says why not."""
    reserved = {_origin(one.ask.body) for one in case.of_verb("reservation") if not one.refused}
    for one in case.of_verb("return", "early_return", "early_purchase"):
        if one.promised is None:
            continue
        id_ = one.promised.document["parked"]
        shown, entry = case.ledger.by_id.get(id_), case.by_origin.get(claimed(one) or "")
        come = _has_come(case, one)
        fine = shown is not None and {
            "waiting": not come or _origin(one.ask.body) in reserved or _has_left(case, one),
            "cured": come and entry is not None and entry["id"] == shown["entry"],
            "refused": come and (shown["code"] in FINAL or entry is not None),
        }.get(shown["status"], False)
        if not fine:
            yield f"{one.name} was parked as {id_}, which is {shown}; what it awaits is {'' if come else 'not '}there"


def _has_come(case: Case, one: Dossier) -> bool:
    """Whether what a parked event waits for is there: its sale; whoever bought, known or not."""
    if one.ask.verb != "early_purchase":
        return _origin(one.ask.body) in case.by_origin
    joined = _joined(case, one)
    happened = claimed(one) in case.by_origin  # then somebody joined, whoever was told
    return happened or any(other.ask.id in case.answers for other in joined)


def _has_left(case: Case, one: Dossier) -> bool:
    """Whether who bought has closed the account meanwhile, and is not known any more."""
    told = (case.answers.get(other.ask.id) for other in _joined(case, one))
    return any(case.closed(member["id"]) for member in told if member is not None)


def _joined(case: Case, one: Dossier) -> list[Dossier]:
    """The enrolments of whoever an early purchase is about."""
    if one.ask.verb != "early_purchase":
        return []
    identity = one.ask.body["member"]["identity"]
    return [other for other in case.of_verb("late_enrolment") if identity in other.ask.body["identities"]]


def statuses_are_the_last_given(case: Case) -> Iterator[str]:
    """A member's status is one that nobody had been told of having changed since."""
    asked: dict[str, list[Dossier]] = defaultdict(list)
    for one in case.of_verb("status", "closing"):
        if not one.refused:
            asked[one.ask.about].append(one)
    for member, requests in asked.items():
        shown = case.ledger.by_id.get(member)
        latest = max((min(one.sent) for one in requests if one.acknowledged), default=0.0)
        may = {
            one.ask.body.get("status", "closed")
            for one in requests
            if one.acknowledged is None or one.acknowledged.at >= latest
        }
        if not any(one.acknowledged for one in requests):
            may.add("active")
        if any(one.acknowledged for one in requests if one.ask.verb == "closing"):
            may = {"closed"}
        if shown is None or shown["status"] not in may:
            yield f"{member} is {shown}, and should be one of {sorted(may)}"


def _by_about(several: Iterable[Dossier], case: Case) -> dict[str, list[Dossier]]:
    """Those that were acknowledged, by what they were about."""
    found: dict[str, list[Dossier]] = defaultdict(list)
    for one in several:
        if one.ask.id in case.answers:
            found[one.ask.about].append(one)
    return found


def _opened(case: Case, kept: _Kept) -> list[str]:
    """Everything of its kind that somebody was told of."""
    answers = (case.answers.get(one.ask.id) for one in case.of_verb(kept.opened_by))
    return [answer[kept.shown_in]["id"] for answer in answers if answer is not None]


def _reserving(case: Case) -> dict[str, Document]:
    """What was asked for by the reservations that somebody was told of, by id."""
    told = ((one.ask.body, case.answers.get(one.ask.id)) for one in case.of_verb("reservation"))
    return {answer["reservation"]["id"]: body for body, answer in told if answer is not None}


def _returns(case: Case) -> Iterator[tuple[Document, Document]]:
    """Everything that came back, as it was asked for and as it was done, in one step or two."""
    for one, entry in case.happened("return", "early_return"):
        yield one.ask.body, entry
    reserving = _reserving(case)
    for one, entry in case.happened("confirmation"):
        yield reserving[one.ask.about], entry


def _holders(case: Case) -> dict[str, set[str]]:
    """To whom purchases were reassigned, by their first entry's origin."""
    found: dict[str, set[str]] = defaultdict(set)
    for entry in all_entries(case.ledger):
        if is_moved_sale(entry):
            found[f"earn {entry['source']} {entry['reference']}"].add(entry["member"])
    return found


def _sale_of(one: Dossier) -> tuple[str, str]:
    sale = one.ask.body["accrual"]
    return sale["source"], sale["reference"]


def _origin(body: Document) -> str:
    """The origin of the purchase that a request is about; of nothing where it is about none."""
    sale = body.get("accrual")
    return f"earn {sale['source']} {sale['reference']}" if sale else ""


def _entry_of(id_: str) -> str:
    """The entry that has opened it."""
    return f"ent_{id_[4:]}"


def _redemptions(case: Case) -> Counter[str]:
    """Points by redemption, captures included."""
    found: Counter[str] = Counter()
    for one in case.of_verb("redemption", "forced_redemption", "capture"):
        answer = case.answers.get(one.ask.id)
        if answer is not None and one.ask.verb == "capture":
            found[answer["redemption"]] = answer["hold"]["captured"]
        elif answer is not None:
            found[answer["redemption"]["id"]] = answer["redemption"]["points"]
    return found
