"""Totals equal their lines; what moved in all is what was asked for in all, by member and account."""

from collections import Counter
from collections.abc import Iterator

from bench.chaos.case import Case, all_entries, claimed, confirmed_untold, credited, is_moved_sale, origin_of
from bench.chaos.laws.of_entries import OWN, move
from bench.chaos.ledger import Document
from bench.chaos.verbs import VERBS
from loyalty.domain.books import ACCOUNTS

ASKED_FOR = ("issued", "redeemed", "adjusted", "transferred", "forfeited")
"""The accounts of the programme that only requests move. Points expire by themselves."""


def balances_are_sums(case: Case) -> Iterator[str]:
    for member, entries in case.ledger.entries.items():
        sums: dict[str, dict[str, int]] = {}
        for entry in entries:
            for posting in entry["postings"]:
                move(sums.setdefault(posting["wallet"], dict.fromkeys(OWN, 0)), posting)
        for wallet, shown in case.ledger.balances[member].items():
            points = {account: shown[account] for account in OWN}
            if points != sums.get(wallet, dict.fromkeys(OWN, 0)):
                yield f"{member} has {points} in {wallet}, and its entries sum up to {sums.get(wallet)}"


def trial_balance_is_the_sum(case: Case) -> Iterator[str]:
    sums = {account: {"debit": 0, "credit": 0} for account in ACCOUNTS}
    for posting in (posting for entry in all_entries(case.ledger) for posting in entry["postings"]):
        sums[posting["debit"]]["debit"] += posting["points"]
        sums[posting["credit"]]["credit"] += posting["points"]
    shown = case.ledger.trial_balance
    rows = {row["account"]: {"debit": row["debit"], "credit": row["credit"]} for row in shown["accounts"]}
    for account in sorted(sums.keys() | rows.keys()):
        if sums.get(account) != rows.get(account):
            yield f"{account} is {rows.get(account)}, and the entries sum up to {sums.get(account)}"
    if shown["debit_total"] != shown["credit_total"]:
        yield f"it does not balance: {shown}"


def what_moved_was_asked_for(case: Case) -> Iterator[str]:
    """By member, wallet and account: what the answers said, and what nobody was told of but a request explains."""
    asked, moved = Sums(), Sums()
    _add_acknowledged(case, asked)
    _add_untold(case, asked)
    for entry in all_entries(case.ledger):
        _add(moved, entry)
    leaving = {one.ask.about for one in case.of_verb("closing") if one.verdict is None}
    for member, wallet, account in sorted({*asked, *moved}):
        place = member, wallet, account
        if asked[place] != moved[place] and not (account == "forfeited" and member in leaving):
            yield f"{member}: {moved[place]} {wallet} were credited to {account}, and {asked[place]} were asked for"


def transfers_sum_to_zero(case: Case) -> Iterator[str]:
    """In all; and what somebody received is what somebody gave to it."""
    for wallet, points in credited(all_entries(case.ledger), "transferred").items():
        yield f"transfers of {wallet} sum to {points}"
    given: Counter[tuple[str | None, str, int]] = Counter(
        (case.member(one.ask.body["to"]), one.ask.body["wallet"], one.ask.body["points"])
        for one, _ in case.happened("transfer")
    )
    received: Counter[tuple[str | None, str, int]] = Counter(
        (entry["member"], wallet, -points)
        for entry in all_entries(case.ledger)
        if entry["kind"] == "transfer" and origin_of(entry) is None
        for wallet, points in credited([entry], "transferred").items()
    )
    for transfer in given - received:
        yield f"{transfer} was given and never received"
    for transfer in received - given:
        yield f"{transfer} was received and never given"


class Sums(Counter[tuple[str, str, str]]):
    """Points credited, less those debited, by member, wallet and account."""


def _add(sums: Sums, entry: Document) -> None:
    for account in ASKED_FOR:
        for wallet, points in credited([entry], account).items():
            sums[entry["member"], wallet, account] += points


def _add_acknowledged(case: Case, sums: Sums) -> None:
    """By the figures of the answers; where they have none, by their entries."""
    for one in case.real:
        verb, answer = VERBS[one.ask.verb], case.answers.get(one.ask.id, {})
        if not answer.get("entries"):
            continue
        moved = verb.moved(one.ask.body, answer)
        if moved is None:
            _add(sums, answer["entry"])
        elif verb.account in ASKED_FOR:
            for wallet, points in moved.items():
                sums[answer["entry"]["member"], wallet, verb.account] += points


def _add_untold(case: Case, sums: Sums) -> None:
    """What nobody was told of: by its reference; by who shall have received it; by what was captured or confirmed.

    And what was reassigned to somebody, which has a law of its own.
    """
    open_ = {claimed(one) for one in case.real if not one.refused}
    for origin, entry in case.by_origin.items():
        if entry["id"] not in case.told and origin in open_:
            _add(sums, entry)
    for one, _ in case.happened("transfer"):
        body = one.ask.body
        sums[case.member(body["to"]) or "nobody", body["wallet"], "transferred"] -= body["points"]
    confirmed = confirmed_untold(case)
    for entry in all_entries(case.ledger):
        unexplained = entry["kind"] == "return" and entry["reference"] is None and entry["id"] not in case.told
        if is_moved_sale(entry) or (unexplained and entry["member"] in confirmed.values()):
            _add(sums, entry)
    told = {one.ask.about for one in case.of_verb("capture") if one.ask.id in case.answers}
    for id_ in {one.ask.about for one in case.of_verb("capture") if one.verdict is None} - told:
        hold = case.ledger.by_id.get(id_)
        if hold is not None:
            sums[hold["member"], hold["wallet"], "redeemed"] += hold["captured"]
