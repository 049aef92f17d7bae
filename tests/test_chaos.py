"""Chaos in small: the service survives ten faults; and whoever lied would be found out."""

import copy
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bench.chaos import history as histories
from bench.chaos.checker import LAWS, check, figures
from bench.chaos.history import DRY, Dossier, History, Recorder
from bench.chaos.laws.of_entries import move
from bench.chaos.ledger import Ledger
from bench.chaos.run import Plan, run
from loyalty.domain.books import ACCOUNTS

SEED = 1
KINDS = (
    *("kill_server", "kill_at_commit", "stop_postgres", "cut_connections", "lose_commits", "lose_answers"),
    *("fill_queue", "restart_in_migration", "keep_transaction_open", "skew_clocks"),
)
UNHURRIED_S = 60.0
"""Within which the service must be ready again: other tests use the machine too."""


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that the server's user can reach."""
    place = Path(tempfile.mkdtemp(prefix="loyalty-test-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


async def test_ten_faults_under_load_lose_nothing_double_nothing_and_contradict_nothing(room: Path) -> None:
    told: list[str] = []
    plan = Plan(SEED, len(KINDS), KINDS, processes=(2,), ready_s=UNHURRIED_S, durable=False)
    outcome = await run(plan, room, told.append)

    assert outcome.violations == [], "\n".join(told)
    assert outcome.ready_s.keys() == set(KINDS)
    assert outcome.figures is not None
    assert outcome.figures.acknowledged > 100
    assert outcome.figures.attempts > outcome.figures.requests


ANN, BOB, EVE, SUE = "mem_1", "mem_2", "mem_3", "mem_4"
WALLETS = ("points", "coins")
OWN = ("pending", "available", "held", "owed")
SALE = [{"line_id": "1", "sku": "LEGO-1", "quantity": 2, "amount": 20_000}]
Posting = tuple[str, str, str, int]
"""Wallet, debit, credit, points."""


class Told:
    """A small history with every verb and the ledger it led to. Everything agrees, until a test plants a lie."""

    def __init__(self, room: Path) -> None:
        self._entries: dict[str, list[Any]] = {ANN: [], BOB: [], EVE: [], SUE: []}
        self._events: list[Any] = []
        self._shown: dict[str, Any] = {}
        path = room / "history.jsonl"
        self._record = Recorder(path, 0)
        self._people_join()
        self._points_come_and_go()
        self._holds_end()
        self._purchases_come_back()
        self._purchases_come_back_in_two_steps()
        self._purchases_change_hands()
        self._somebody_buys_before_joining()
        self._people_give_and_owe_and_leave()
        self._record.close()
        self.history: History = histories.read(path)
        self.ledger = self._ledger()

    # --- the story ---

    def _people_join(self) -> None:
        for place, member in enumerate((ANN, BOB, EVE), start=1):
            self._event("member.enrolled", member)
            self._shown[member] = {"id": member, "status": "active"}
            self._says("enrolment", {"phone": f"+86{place}"}, {"id": member, "number": f"600{place}", "entries": []})

    def _points_come_and_go(self) -> None:
        entry = self._writes(ANN, "earn", ("points", "issued", "available", 100), reference="G1")
        self._says("grant", {"member": {"id": ANN}, "points": 100, **_from("G1")}, _written(entry), twice=True)
        self._record.looked(ANN, time.time(), entry)
        self._sells("S1")
        spent = self._writes(ANN, "spend", ("points", "available", "redeemed", 30), reference="D1")
        answer = {**_written(spent), "redemption": {"id": "red_1", "points": 30}}
        self._says("redemption", {"member": {"number": "6001"}, "points": 30, **_from("D1")}, answer)
        back = self._writes(ANN, "unspend", ("points", "redeemed", "available", 10), reference="F1")
        about = "/v1/redemptions/red_1/refund"
        self._says("refund", {"points": 10, **_from("F1")}, {**_written(back), "points": 10}, path=about)
        unknown = {"member": {"id": ANN}, "points": 7, **_from("U1")}
        lost = self._record.ask("grant", "/v1/accruals", "k-unknown", unknown)
        self._record.lost(self._record.sent([lost], "here"), "ReadTimeout")
        ghost = {"id": "ent_dry", "member": ANN, "postings": []}
        tried = {"member": {"id": ANN}, "points": 9, **_from("Y1")}
        self._says("grant", tried, _written(ghost), path=f"/v1/accruals{DRY}")

    def _holds_end(self) -> None:
        for id_, reference, points, captured in (("hld_1", "H1", 50, 20), ("hld_2", "H2", 10, 0)):
            held = self._writes(ANN, "hold", ("points", "available", "held", points), reference=reference)
            hold = {"id": id_, "member": ANN, "wallet": "points", "points": points, "captured": 0}
            opened = {**_written(held), "hold": {**hold, "status": "open"}}
            self._says("hold", {"member": {"id": ANN}, "points": points, **_from(reference)}, opened)
            rest = ("points", "held", "available", points - captured)
            if captured:
                entry = self._writes(ANN, "capture", ("points", "held", "redeemed", captured), rest)
                shown = {**hold, "status": "captured", "captured": captured}
                answer = {**_written(entry), "hold": shown, "redemption": "red_2"}
                self._says("capture", {"points": captured}, answer, path=f"/v1/holds/{id_}/capture")
            else:
                entry = self._writes(ANN, "release", rest)
                shown = {**hold, "status": "released"}
                self._says("release", {}, {**_written(entry), "hold": shown}, path=f"/v1/holds/{id_}/release")
            self._shown[id_] = shown

    def _purchases_come_back(self) -> None:
        early = {"accrual": _from("S2"), "full": True, **_from("T1")}
        self._says("early_return", early, {"parked": "prk_1", "status": "waiting"}, status=202)
        self._sells("S2")
        everything = [("points", "available", "issued", 200), ("coins", "available", "issued", 20)]
        cured = self._writes(ANN, "return", *everything, reference="T1")
        self._shown["prk_1"] = {"parked": "prk_1", "status": "cured", "entry": cured["id"], "code": None}
        half = [{"line_id": "1", "quantity": 1, "amount": 10_000}]
        back = [("points", "available", "issued", 100), ("coins", "available", "issued", 10)]
        entry = self._writes(ANN, "return", *back, reference="T2")
        answer = {**_written(entry), "points_by_wallet": {"points": 100, "coins": 10}}
        self._says("return", {"accrual": _from("S1"), "lines": half, **_from("T2")}, answer)
        taken = {"code": "reference_taken", "entry": self._entries[ANN][1]["id"]}
        self._says("purchase", {"member": {"id": ANN}, "lines": SALE, **_from("S1")}, taken, status=409, key="k-again")

    def _purchases_come_back_in_two_steps(self) -> None:
        self._sells("S3")
        for id_, reference in (("rsv_1", "V1"), ("rsv_2", "V2")):
            half = [{"line_id": "1", "quantity": 1, "amount": 10_000}]
            took = {"points_by_wallet": {"points": 100, "coins": 10}, "owed_by_wallet": {"points": 0, "coins": 0}}
            parts = (("points", 100), ("coins", 10))
            held = [(wallet, "available", "held", points) for wallet, points in parts]
            entry = self._writes(ANN, "reserve", *held, reference=reference, id_=f"ent_{id_[4:]}")
            reservation = {"id": id_, "member": ANN, "status": "reserved"}
            asked = {"accrual": _from("S3"), "lines": half, **_from(reference)}
            self._says("reservation", asked, {**_written(entry), **took, "reservation": reservation})
            verb, status, to = (
                ("confirmation", "confirmed", "issued")
                if id_ == "rsv_1"
                else ("cancellation", "cancelled", "available")
            )
            kind = "return" if verb == "confirmation" else "release"
            done = self._writes(ANN, kind, *((wallet, "held", to, points) for wallet, points in parts))
            shown = {**reservation, "status": status}
            more = took if verb == "confirmation" else {}
            self._says(verb, {}, {**_written(done), **more, "reservation": shown}, path=f"/v1/returns/{id_}/x")
            self._shown[id_] = shown

    def _purchases_change_hands(self) -> None:
        self._sells("S4")
        parts = {"points": 200, "coins": 20}
        back = [(wallet, "available", "issued", points) for wallet, points in parts.items()]
        taken = self._writes(ANN, "reassign", *back, reference="M1", source="desk")
        earned = [(wallet, "issued", "available", points) for wallet, points in parts.items()]
        given = self._writes(BOB, "reassign", *earned, reference="S4")
        asked = {"accrual": _from("S4"), "to": {"id": BOB}, "source": "desk", "reference": "M1"}
        self._says("reassignment", asked, {**_written(taken, given), "points_by_wallet": parts})

    def _somebody_buys_before_joining(self) -> None:
        sue = {"channel": "tmall", "type": "ouid", "value": "U1"}
        early = {"member": {"identity": sue}, "lines": SALE, **_from("S5")}
        self._says("early_purchase", early, {"parked": "prk_2", "status": "waiting"}, status=202)
        self._event("member.enrolled", SUE)
        self._shown[SUE] = {"id": SUE, "status": "active"}
        self._says("late_enrolment", {"identities": [sue]}, {"id": SUE, "number": "6004", "entries": []})
        earned = [("points", "issued", "available", 200), ("coins", "issued", "available", 20)]
        cured = self._writes(SUE, "earn", *earned, reference="S5")
        self._shown["prk_2"] = {"parked": "prk_2", "status": "cured", "entry": cured["id"], "code": None}

    def _people_give_and_owe_and_leave(self) -> None:
        given = self._writes(ANN, "transfer", ("points", "available", "transferred", 20), reference="X1")
        received = self._writes(BOB, "transfer", ("points", "transferred", "available", 20))
        asked = {"from": {"id": ANN}, "to": {"number": "6002"}, "points": 20, "wallet": "points", **_from("X1")}
        self._says("transfer", asked, _written(given, received))
        adjustment = {"member": {"id": ANN}, "points": -110, "wallet": "points", **_from("J1")}
        self._event("adjustment.awaiting_approval", ANN)
        waits: Any = {"adjustment": "adj_J1", "status": "awaiting_approval", "entry": None, "entries": []}
        self._says("adjustment", adjustment, waits, status=202)
        entry = self._writes(ANN, "adjust", ("points", "available", "adjusted", 110), reference="J1", id_="ent_J1")
        approved = {"adjustment": "adj_J1", "status": "approved", **_written(entry)}
        self._says("approval", {}, approved, path="/v1/adjustments/adj_J1/approve")
        covered = [("points", "available", "redeemed", 220), ("points", "owed", "redeemed", 30)]
        forced = self._writes(BOB, "spend", *covered, reference="O1")
        self._event("redemption.not_covered", BOB)
        answer = {**_written(forced), "redemption": {"id": "red_3", "points": 250}}
        self._says("forced_redemption", {"member": {"id": BOB}, "points": 250, "forced": True, **_from("O1")}, answer)
        resolved = {"review": "rev_1", "entry": forced["id"], "status": "resolved", "member": BOB, "parked": None}
        self._says("resolution", {"reason": "repaid"}, resolved, path="/v1/reviews/rev_1/resolve")
        self._shown["rev_1"] = resolved
        self._says("status", {"status": "earn_only"}, {"entry": None, "entries": []}, 200, path=f"/v1/members/{BOB}")
        self._shown[BOB]["status"] = "earn_only"
        entry = self._writes(EVE, "earn", ("points", "issued", "available", 5), reference="G2")
        self._says("grant", {"member": {"id": EVE}, "points": 5, **_from("G2")}, _written(entry))
        entry = self._writes(EVE, "forfeit", ("points", "available", "forfeited", 5))
        self._event("member.closed", EVE)
        left = {**_written(entry), "forfeited": {"points": 5, "coins": 0}}
        self._says("closing", {}, left, path=f"/v1/members/{EVE}/close")
        self._shown[EVE]["status"] = "closed"
        self._record.followed("follower", self._events)

    def _sells(self, reference: str) -> None:
        earned = [("points", "issued", "available", 200), ("coins", "issued", "available", 20)]
        entry = self._writes(ANN, "earn", *earned, reference=reference)
        self._says("purchase", {"member": {"id": ANN}, "lines": SALE, **_from(reference)}, _written(entry))

    # --- how it is told ---

    def _says(
        self,
        verb: str,
        body: dict[str, Any],
        answer: Any,
        status: int = 201,
        *,
        path: str = "/v1/any",
        key: str | None = None,
        twice: bool = False,
    ) -> None:
        about = body.get("reference") or body.get("phone") or path
        ask = self._record.ask(verb, path, key or f"k-{verb}-{about}", body)
        for mark in (False, True)[: 1 + twice]:
            attempt = self._record.sent([ask], "here")
            self._record.heard(attempt, ask, status, _json(answer), replayed=mark)

    def _writes(
        self,
        member: str,
        kind: str,
        *postings: Posting,
        reference: str | None = None,
        id_: str | None = None,
        source: str = "till",
    ) -> Any:
        entries = self._entries[member]
        balances = copy.deepcopy(entries[-1]["balances"]) if entries else {w: dict.fromkeys(OWN, 0) for w in WALLETS}
        names = ("wallet", "debit", "credit", "points")
        moves: list[Any] = [dict(zip(names, posting, strict=True)) for posting in postings]
        for posting in moves:
            move(balances[posting["wallet"]], posting)
        at = f"2026-01-01T00:00:{len(entries):02}Z"
        entry = {
            "id": id_ or f"ent_{member}_{len(entries)}",
            "kind": kind,
            "member": member,
            "sequence": len(entries) + 1,
            "effective_at": at,
            "recorded_at": at,
            "source": reference and source,
            "reference": reference,
            "postings": moves,
            "balances": balances,
        }
        entries.append(entry)
        self._event(f"entry.{kind}", member, entry)
        return entry

    def _event(self, type_: str, member: str, entry: Any = None) -> None:
        told = {"entry": entry and entry["id"], "recorded_at": entry and entry["recorded_at"]}
        about = {"type": type_, "member": member, "sequence": len(self._entries[member])}
        self._events.append({"id": f"evt_{len(self._events)}", **about, **told})

    def _ledger(self) -> Ledger:
        sums = {account: {"debit": 0, "credit": 0} for account in ACCOUNTS}
        for posting in (p for entries in self._entries.values() for entry in entries for p in entry["postings"]):
            sums[posting["debit"]]["debit"] += posting["points"]
            sums[posting["credit"]]["credit"] += posting["points"]
        total = sum(row["debit"] for row in sums.values())
        accounts = [{"account": account, **row} for account, row in sums.items()]
        singly = {entry["id"]: entry for entries in self._entries.values() for entry in entries}
        return copy.deepcopy(
            Ledger(
                self._entries,
                {member: entries[-1]["balances"] for member, entries in self._entries.items()},
                {"accounts": accounts, "debit_total": total, "credit_total": total},
                self._events,
                {**singly, **self._shown},
            )
        )

    # --- where a test lays hands on it ---

    def laws_broken(self) -> set[str]:
        return {violation.law for violation in check(self.history, self.ledger)}

    def entry(self, reference: str) -> Any:
        """As the ledger shows it."""
        entries = (entry for several in self.ledger.entries.values() for entry in several)
        return next(entry for entry in entries if entry["reference"] == reference)

    def shown(self, id_: str) -> Any:
        """As it is shown by its own id."""
        return self.ledger.by_id[id_]

    def heard(self, verb: str, reference: str | None = None) -> list[Any]:
        """What the first request of the verb, with this reference, was answered."""
        return self.dossier(verb, reference).answers

    def dossier(self, verb: str, reference: str | None = None) -> Dossier:
        found = (one for one in self.history.dossiers.values() if one.ask.verb == verb and not one.ask.dry)
        return next(one for one in found if reference in (None, one.ask.body.get("reference")))

    def adds(self, member: str, kind: str, *postings: Posting, **more: Any) -> Any:
        """One more entry, with balances that follow."""
        self._entries = self.ledger.entries
        return self._writes(member, kind, *postings, **more)

    def also(self, like: Dossier, answer: Any, **changes: Any) -> None:
        """One more request like another, answered at the same time."""
        number = len(self.history.dossiers) + 1
        ask = like.ask._replace(id=number, key=f"k-{number}", **changes)
        heard = like.answers[0]._replace(body=_json(answer))
        self.history.dossiers[number] = Dossier(ask, like.sent, [heard])


def _from(reference: str) -> dict[str, str]:
    return {"source": "till", "reference": reference}


def _written(*entries: Any) -> dict[str, Any]:
    return {"entry": entries[0], "entries": list(entries)}


def _json(document: Any) -> str:
    return orjson.dumps(document).decode()


def test_a_history_without_a_contradiction_breaks_no_law(room: Path) -> None:
    told = Told(room)
    assert check(told.history, told.ledger) == []
    counted = figures(told.history, told.ledger)
    assert (counted.acknowledged, counted.waiting, counted.refused, counted.unknown) == (28, 3, 1, 1)
    assert (counted.dry_runs, counted.lost, counted.unknown_happened) == (1, 1, 0)


def test_an_unknown_request_may_have_happened_once(room: Path) -> None:
    told = Told(room)
    told.adds(ANN, "earn", ("points", "issued", "available", 7), reference="U1")
    assert told.laws_broken() == {
        "a balance is the sum of its entries",
        "the trial balance is the sum of all entries",
        "every event happened",
    }, "these were read before"
    assert figures(told.history, told.ledger).unknown_happened == 1


# --- lies about answers ---


def _fails(told: Told) -> None:
    told.heard("grant")[0] = told.heard("grant")[0]._replace(status=500, body=_json({"code": "internal_error"}))


def _changes_a_replay(told: Told) -> None:
    answers = told.heard("grant", "G1")
    answers[1] = answers[1]._replace(body=answers[1].body + " ")


def _decides_twice(told: Told) -> None:
    answers = told.heard("grant", "G1")
    answers[1] = answers[1]._replace(replayed=False)


def _takes_a_key_twice(told: Told) -> None:
    told.also(told.dossier("redemption"), told.heard("redemption")[0].document)
    newest = max(told.history.dossiers)
    one = told.history.dossiers[newest]
    told.history.dossiers[newest] = one._replace(ask=one.ask._replace(key="k-redemption-D1"))


def _refuses_for_nothing(told: Told) -> None:
    answers = next(one.answers for one in told.history.dossiers.values() if one.ask.key == "k-again")
    answers[0] = answers[0]._replace(body=_json({"code": "reference_taken", "entry": told.entry("G1")["id"]}))


def _refuses_who_was_never_frozen(told: Told) -> None:
    told.heard("refund")[0] = told.heard("refund")[0]._replace(status=409, body=_json({"code": "member_frozen"}))


def _takes_the_future(told: Told) -> None:
    told.dossier("grant").ask.body["occurred_at"] = "2199-01-01T00:00:00Z"


def _joins_twice(told: Told) -> None:
    told.also(told.dossier("enrolment"), {"id": "mem_9", "number": "6009", "entries": []})


def _joins_twice_by_an_identity(told: Told) -> None:
    told.also(told.dossier("late_enrolment"), {"id": "mem_9", "number": "6009", "entries": []})


def _keeps_a_dry_run(told: Told) -> None:
    told.adds(ANN, "earn", ("points", "issued", "available", 9), reference="Y1", id_="ent_dry")


# --- lies about entries ---


def _loses(told: Told) -> None:
    told.ledger.entries[ANN].remove(told.entry("D1"))


def _doubles(told: Told) -> None:
    told.adds(ANN, "earn", ("points", "issued", "available", 100), reference="G1")


def _appears(told: Told) -> None:
    told.adds(ANN, "earn", ("points", "issued", "available", 5), reference="nobody asked")


def _does_what_was_refused(told: Told) -> None:
    told.heard("adjustment")[0] = told.heard("adjustment")[0]._replace(
        status=409, body=_json({"code": "insufficient_points", "available": 1, "required": 2})
    )
    told.history.dossiers.pop(told.dossier("approval").ask.id)


def _says_something_else(told: Told) -> None:
    told.entry("T1")["member"] = BOB
    answer = told.heard("redemption")[0].document
    answer["entry"]["postings"][0]["points"] = answer["entries"][0]["postings"][0]["points"] = 31
    told.heard("redemption")[0] = told.heard("redemption")[0]._replace(body=_json(answer))


def _leaves_a_gap(told: Told) -> None:
    told.entry("D1")["sequence"] += 1


def _breaks_the_chain(told: Told) -> None:
    told.entry("D1")["balances"]["points"]["available"] += 1


def _runs_backwards(told: Told) -> None:
    told.entry("D1")["effective_at"] = "2025-01-01T00:00:00Z"


def _swaps(told: Told) -> None:
    first, second = told.ledger.entries[ANN][:2]
    told.ledger.entries[ANN][:2] = [{**second, "sequence": 1}, {**first, "sequence": 2}]


def _hides(told: Told) -> None:
    look = told.history.looks[0]
    told.history.looks[0] = look._replace(entry=None)


# --- lies about sums ---


def _shows_another_balance(told: Told) -> None:
    told.ledger.balances[ANN]["points"]["available"] += 1


def _adds_up_wrong(told: Told) -> None:
    told.ledger.trial_balance["accounts"][0]["debit"] += 1


def _captures_unasked(told: Told) -> None:
    told.adds(ANN, "capture", ("points", "available", "redeemed", 3))


def _answers_more_than_it_moves(told: Told) -> None:
    answer = {**told.heard("return")[0].document, "points_by_wallet": {"points": 101, "coins": 10}}
    told.heard("return")[0] = told.heard("return")[0]._replace(body=_json(answer))


def _receives_more_than_was_given(told: Told) -> None:
    told.ledger.entries[BOB][1]["postings"][0]["points"] += 1


def _receives_what_was_not_given(told: Told) -> None:
    told.ledger.entries[BOB][1]["member"] = EVE


# --- lies about what is left open ---


def _resolves_twice(told: Told) -> None:
    answer = told.heard("release")[0].document
    told.also(told.dossier("release"), {**answer, "entry": None, "entries": []})


def _forgets_a_capture(told: Told) -> None:
    told.ledger.by_id["hld_1"] = told.heard("hold")[0].document["hold"]


def _holds_on(told: Told) -> None:
    told.ledger.balances[ANN]["points"]["held"] = 10


def _confirms_twice(told: Told) -> None:
    answer = told.heard("confirmation")[0].document
    told.also(told.dossier("confirmation"), {**answer, "entry": None, "entries": []})


def _forgets_a_cancellation(told: Told) -> None:
    told.ledger.by_id["rsv_2"] = told.heard("reservation", "V2")[0].document["reservation"]


def _gives_a_purchase_to_somebody_else(told: Told) -> None:
    told.dossier("reassignment").ask.body["to"] = {"id": EVE}


def _moves_a_purchase_unasked(told: Told) -> None:
    told.adds(SUE, "reassign", ("points", "issued", "available", 200), reference="S4")


def _gives_less_than_it_takes(told: Told) -> None:
    answer = told.heard("reassignment")[0].document
    answer["entries"][1]["postings"][0]["points"] -= 1
    told.heard("reassignment")[0] = told.heard("reassignment")[0]._replace(body=_json(answer))


def _takes_back_from_a_stranger(told: Told) -> None:
    told.entry("T1")["member"] = BOB


def _confirms_too_little(told: Told) -> None:
    answer = told.heard("confirmation")[0].document
    answer["entry"]["postings"][0]["points"] -= 1
    told.heard("confirmation")[0] = told.heard("confirmation")[0]._replace(body=_json(answer))


def _loses_what_was_bought_before_joining(told: Told) -> None:
    told.shown("prk_2").update(status="refused", entry=None, code="member_not_found")
    told.ledger.entries[SUE].clear()


def _gives_it_to_somebody_else(told: Told) -> None:
    told.entry("S5")["member"] = BOB


def _resolves_a_review_twice(told: Told) -> None:
    told.also(told.dossier("resolution"), told.heard("resolution")[0].document)


def _forgets_a_resolution(told: Told) -> None:
    told.shown("rev_1")["status"] = "open"


def _refunds_too_much(told: Told) -> None:
    back = told.adds(ANN, "unspend", ("points", "redeemed", "available", 25), reference="F2")
    told.also(told.dossier("refund"), {**_written(back), "points": 25}, body={"points": 25, **_from("F2")})


def _takes_too_little_back(told: Told) -> None:
    told.entry("T1")["postings"][0]["points"] -= 1


def _takes_back_what_was_never_sold(told: Told) -> None:
    told.dossier("return").ask.body["accrual"] = _from("S9")


def _approves_by_itself(told: Told) -> None:
    told.history.dossiers.pop(told.dossier("approval").ask.id)


def _approves_and_rejects(told: Told) -> None:
    answer = {**told.heard("adjustment")[0].document, "status": "rejected"}
    told.also(told.dossier("approval"), answer, verb="rejection", path="/v1/adjustments/adj_J1/reject")


def _leaves_it_parked(told: Told) -> None:
    told.shown("prk_1").update(status="waiting", entry=None)


def _forgets_what_was_parked(told: Told) -> None:
    told.ledger.by_id["prk_1"] = None


def _forgets_a_status(told: Told) -> None:
    told.shown(BOB)["status"] = "active"


def _opens_a_closed_account(told: Told) -> None:
    told.shown(EVE)["status"] = "active"


# --- lies about events ---


def _misses_an_event(told: Told) -> None:
    del told.history.followed["follower"][3]


def _tells_twice(told: Told) -> None:
    told.history.followed["follower"].insert(3, told.history.followed["follower"][2])


def _tells_in_another_order(told: Told) -> None:
    told.history.followed["follower"][3:5] = reversed(told.history.followed["follower"][3:5])


def _drops_an_event(told: Told) -> None:
    for events in (told.ledger.events, told.history.followed["follower"]):
        del events[4]


def _tells_of_nothing(told: Told) -> None:
    for events in (told.ledger.events, told.history.followed["follower"]):
        events.append({**events[-1], "id": "evt_x", "type": "entry.earn", "entry": "ent_x"})


def _forgets_a_debt(told: Told) -> None:
    for events in (told.ledger.events, told.history.followed["follower"]):
        events[:] = [event for event in events if event["type"] != "redemption.not_covered"]


@pytest.mark.parametrize(
    ("plant", "law"),
    [
        (_fails, "every answer is a documented one"),
        (_changes_a_replay, "a key has one answer"),
        (_decides_twice, "a key has one answer"),
        (_takes_a_key_twice, "a key has one answer"),
        (_refuses_for_nothing, "a refusal has its reason"),
        (_refuses_who_was_never_frozen, "a refusal has its reason"),
        (_takes_the_future, "a refusal has its reason"),
        (_joins_twice, "a phone joins once"),
        (_joins_twice_by_an_identity, "a phone joins once"),
        (_keeps_a_dry_run, "a dry run leaves nothing"),
        (_loses, "nothing acknowledged is lost"),
        (_doubles, "nothing happens twice"),
        (_appears, "nothing happens twice"),
        (_does_what_was_refused, "nothing happens twice"),
        (_says_something_else, "an entry says what was asked"),
        (_leaves_a_gap, "a member's history is a chain"),
        (_breaks_the_chain, "a member's history is a chain"),
        (_runs_backwards, "a member's history is a chain"),
        (_swaps, "what comes later stands later"),
        (_hides, "readers see what was acknowledged"),
        (_shows_another_balance, "a balance is the sum of its entries"),
        (_adds_up_wrong, "the trial balance is the sum of all entries"),
        (_captures_unasked, "what moved is what was asked for"),
        (_appears, "what moved is what was asked for"),
        (_answers_more_than_it_moves, "what moved is what was asked for"),
        (_receives_more_than_was_given, "transfers sum to zero"),
        (_receives_what_was_not_given, "transfers sum to zero"),
        (_resolves_twice, "a hold is resolved once"),
        (_forgets_a_capture, "a hold is resolved once"),
        (_holds_on, "what is held is open"),
        (_confirms_twice, "a reservation is resolved once"),
        (_forgets_a_cancellation, "a reservation is resolved once"),
        (_forgets_a_cancellation, "what is held is open"),
        (_gives_a_purchase_to_somebody_else, "a purchase is reassigned once"),
        (_moves_a_purchase_unasked, "a purchase is reassigned once"),
        (_gives_less_than_it_takes, "a purchase is reassigned once"),
        (_takes_back_from_a_stranger, "returns take back what was earned"),
        (_confirms_too_little, "returns take back what was earned"),
        (_loses_what_was_bought_before_joining, "what was parked is cured"),
        (_gives_it_to_somebody_else, "an entry says what was asked"),
        (_resolves_a_review_twice, "a review item is resolved once"),
        (_forgets_a_resolution, "a review item is resolved once"),
        (_refunds_too_much, "a redemption is refunded once"),
        (_takes_too_little_back, "returns take back what was earned"),
        (_takes_back_what_was_never_sold, "returns take back what was earned"),
        (_approves_by_itself, "an adjustment is decided once"),
        (_approves_and_rejects, "an adjustment is decided once"),
        (_leaves_it_parked, "what was parked is cured"),
        (_forgets_what_was_parked, "what was parked is cured"),
        (_forgets_a_status, "a status is the last one given"),
        (_opens_a_closed_account, "a status is the last one given"),
        (_misses_an_event, "followers see everything once"),
        (_tells_twice, "followers see everything once"),
        (_tells_in_another_order, "followers see everything once"),
        (_drops_an_event, "every event happened"),
        (_tells_of_nothing, "every event happened"),
        (_forgets_a_debt, "every event happened"),
    ],
)
def test_a_planted_contradiction_is_found(plant: Callable[[Told], None], law: str, room: Path) -> None:
    told = Told(room)
    plant(told)
    assert law in told.laws_broken()


def test_every_law_can_be_broken() -> None:
    marks = test_a_planted_contradiction_is_found.pytestmark  # type: ignore[attr-defined]
    assert {law for mark in marks for _, law in mark.args[1]} == LAWS.keys()
