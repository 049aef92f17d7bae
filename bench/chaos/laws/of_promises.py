"""What one request leaves open for another: undone once, never beyond what there was, and as was last said."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from bench.chaos.case import Case, all_entries, claimed, credited, without_zeros
from bench.chaos.history import Dossier
from bench.chaos.ledger import Document
from bench.chaos.verbs import earned_by, spent

DECIDED = ("approval", "rejection", "own_approval")


def holds_are_resolved_once(case: Case) -> Iterator[str]:
    """A hold shows how it was resolved; what is held is the sum of those that are open."""
    told = _by_about(case.of_verb("capture", "release"), case)
    unknown = {one.ask.about for one in case.of_verb("capture", "release") if one.verdict is None}
    for id_, resolutions in told.items():
        if len(resolutions) > 1:
            yield f"{id_} was resolved {len(resolutions)} times: {[one.name for one in resolutions]}"
        shown, said = case.ledger.by_id.get(id_), case.answers[resolutions[0].ask.id]["hold"]
        if shown != said:
            yield f"{id_} was resolved as {said}, and is shown as {shown}"
    for id_ in _holds(case):
        shown = case.ledger.by_id.get(id_)
        if shown is None:
            yield f"{id_} is not there"
        elif shown["status"] == "captured" and id_ not in told and id_ not in unknown:
            yield f"nobody has captured {shown}"
        elif shown["status"] == "released" and id_ not in {*told, *unknown} and not case.closed(shown["member"]):
            yield f"nobody has released {shown}"


def what_is_held_is_open(case: Case) -> Iterator[str]:
    """What a member has held is the points of its open holds; those that nobody was told of may be among them."""
    open_: Counter[tuple[str, str]] = Counter()
    for id_ in _holds(case):
        shown = case.ledger.by_id.get(id_)
        if shown is not None and shown["status"] == "open":
            open_[shown["member"], shown["wallet"]] += shown["points"]
    untold: Counter[tuple[str, str]] = Counter()
    for entry in all_entries(case.ledger):
        if entry["kind"] == "hold" and entry["id"] not in case.told:
            for wallet, points in credited([entry], "held").items():
                untold[entry["member"], wallet] += points
    for member, wallets in case.ledger.balances.items():
        for wallet, balance in wallets.items():
            least = open_[member, wallet]
            if not least <= balance["held"] <= least + untold[member, wallet]:
                yield f"{member} has {balance['held']} {wallet} held, and open holds of {least}"


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


def returns_take_what_was_earned(case: Case) -> Iterator[str]:
    """In all: what the purchase earned, less what the basket that remains would have. Of who has left, no more."""
    bodies = {claimed(one): one.ask.body for one in case.of_verb("purchase", "late_purchase") if not one.refused}
    returns: dict[str, list[tuple[Dossier, Document]]] = defaultdict(list)
    for one, entry in case.happened("return", "early_return"):
        sale = one.ask.body["accrual"]
        returns[f"earn {sale['source']} {sale['reference']}"].append((one, entry))
    for origin, several in returns.items():
        purchase, cost = case.by_origin.get(origin), spent(bodies[origin]) if origin in bodies else 0
        if purchase is None:
            yield f"{origin} was returned and never sold: {several[0][1]}"
            continue
        full = any("full" in one.ask.body for one, _ in several)
        back = cost if full else sum(line["amount"] for one, _ in several for line in one.ask.body["lines"])
        taken = credited((entry for _, entry in several), "issued")
        remaining = earned_by(cost - back)
        due = without_zeros(Counter({w: points - remaining[w] for w, points in earned_by(cost).items()}))
        fine = taken <= due if case.closed(purchase["member"]) else taken == due
        if back > cost or not fine:
            yield f"of {purchase} {back} came back for {dict(taken)} points, and {dict(due)} were due"


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
    """Once its sale is there a parked return is done, or says why not."""
    for one in case.of_verb("return", "early_return"):
        if one.promised is None:
            continue
        id_ = one.promised.document["parked"]
        shown, entry = case.ledger.by_id.get(id_), case.by_origin.get(claimed(one) or "")
        sale = one.ask.body["accrual"]
        sold = f"earn {sale['source']} {sale['reference']}" in case.by_origin
        fine = shown is not None and {
            "waiting": not sold,
            "cured": sold and entry is not None and entry["id"] == shown["entry"],
            "refused": sold and (shown["code"] == "exceeds_purchase" or entry is not None),
        }.get(shown["status"], False)
        if not fine:
            yield f"{one.name} was parked as {id_}, which is {shown}; its sale is {'' if sold else 'not '}there"


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


def _holds(case: Case) -> list[str]:
    """Every hold that somebody was told of."""
    return [case.answers[one.ask.id]["hold"]["id"] for one in case.of_verb("hold") if one.ask.id in case.answers]


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
