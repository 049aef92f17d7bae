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
from bench.chaos.history import History, Recorder
from bench.chaos.ledger import Ledger
from bench.chaos.run import Plan, run
from loyalty.domain.books import ACCOUNTS

SEED = 1
KINDS = (
    *("kill_server", "kill_at_commit", "stop_postgres", "cut_connections", "lose_commits", "lose_answers"),
    *("fill_queue", "lock_table", "lose_patience", "skew_clocks"),
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


MEMBER = "mem_1"


def an_entry(sequence: int, kind: str, reference: str, points: int, balance: int) -> dict[str, Any]:
    """An entry of the member's, as the API shows it."""
    debit, credit = ("issued", "available") if kind == "earn" else ("available", "redeemed")
    return {
        "id": f"ent_{sequence}",
        "kind": kind,
        "member": MEMBER,
        "sequence": sequence,
        "effective_at": f"2026-01-01T00:00:0{sequence}Z",
        "recorded_at": f"2026-01-01T00:00:0{sequence}Z",
        "source": "till",
        "reference": reference,
        "postings": [{"wallet": "points", "debit": debit, "credit": credit, "points": points}],
        "balances": {"points": {"pending": 0, "available": balance, "held": 0, "owed": 0}},
    }


class Told:
    """A small history and its ledger, in which everything agrees until a test changes it."""

    def __init__(self, room: Path) -> None:
        self.entries = [
            an_entry(1, "earn", "A", 100, 100),
            an_entry(2, "earn", "B", 50, 150),
            an_entry(3, "spend", "C", 30, 120),
        ]
        self._path = room / "history.jsonl"
        record = Recorder(self._path, 0)

        def settled(verb: str, body: dict[str, Any], status: int, answer: Any, *replayed: bool) -> None:
            ask = record.ask(verb, "/v1/any", f"k-{verb}-{body.get('reference')}", body)
            for mark in replayed:
                record.heard(record.sent([ask], "here"), ask, status, _json(answer), replayed=mark)

        settled("enrolment", {"phone": "+861"}, 201, {"id": MEMBER, "entries": []}, False)
        for verb, entry in zip(("grant", "grant", "redemption"), self.entries, strict=True):
            body = _a_body(entry["reference"], entry["postings"][0]["points"])
            settled(verb, body, 201, {"entries": [entry]}, False, True)
            record.looked(MEMBER, time.time(), entry)
        settled("purchase", _a_body("A", 30), 409, {"code": "reference_taken", "entry": "ent_1"}, False)
        unknown = record.ask("grant", "/v1/any", "k-unknown", _a_body("D", 30))
        record.lost(record.sent([unknown], "here"), "ReadTimeout")
        record.close()
        self.history: History = histories.read(self._path)

    def ledger(self) -> Ledger:
        """What the API shows of the entries as they are now."""
        entries = copy.deepcopy(self.entries)
        sums = {"available": [30, 150], "issued": [150, 0], "redeemed": [0, 30]}
        accounts = [
            {"account": name, "debit": sums.get(name, [0, 0])[0], "credit": sums.get(name, [0, 0])[1]}
            for name in ACCOUNTS
        ]
        balance = {"points": {"pending": 0, "available": 120, "held": 0, "owed": 0}}
        trial_balance = {"accounts": accounts, "debit_total": 180, "credit_total": 180}
        return Ledger({MEMBER: entries}, {MEMBER: balance}, trial_balance, {one["id"]: one for one in entries})

    def laws_broken(self) -> set[str]:
        return {violation.law for violation in check(self.history, self.ledger())}

    def answers_of(self, reference: str) -> list[Any]:
        return next(one.answers for one in self.history.dossiers.values() if one.ask.body.get("reference") == reference)


def _a_body(reference: str, points: int) -> dict[str, Any]:
    return {"member": {"id": MEMBER}, "points": points, "source": "till", "reference": reference}


def _json(document: Any) -> str:
    return orjson.dumps(document).decode()


def test_a_history_without_a_contradiction_breaks_no_law(room: Path) -> None:
    told = Told(room)
    assert check(told.history, told.ledger()) == []
    counted = figures(told.history, told.ledger())
    assert (counted.acknowledged, counted.refused, counted.unknown, counted.lost) == (4, 1, 1, 1)


def test_an_unknown_request_may_have_happened_once(room: Path) -> None:
    told = Told(room)
    told.entries.append(an_entry(4, "earn", "D", 30, 150))
    broken = told.laws_broken()
    assert "nothing happens twice" not in broken
    assert figures(told.history, told.ledger()).unknown_happened == 1


def _loses(told: Told) -> None:
    del told.entries[1]


def _doubles(told: Told) -> None:
    told.entries.append({**an_entry(4, "earn", "A", 100, 220), "id": "ent_9"})


def _appears(told: Told) -> None:
    told.entries.append(an_entry(4, "earn", "nobody asked", 5, 125))


def _changes_a_replay(told: Told) -> None:
    answers = told.answers_of("B")
    answers[1] = answers[1]._replace(body=answers[1].body + " ")


def _decides_twice(told: Told) -> None:
    answers = told.answers_of("B")
    answers[1] = answers[1]._replace(replayed=False)


def _leaves_a_gap(told: Told) -> None:
    told.entries[2]["sequence"] = 4


def _breaks_the_chain(told: Told) -> None:
    told.entries[1]["balances"]["points"]["available"] = 151


def _says_something_else(told: Told) -> None:
    told.entries[2]["postings"][0]["points"] = 31


def _runs_backwards(told: Told) -> None:
    told.entries[1]["effective_at"] = "2026-01-01T00:00:00Z"


def _swaps(told: Told) -> None:
    told.entries[:2] = [{**told.entries[1], "sequence": 1}, {**told.entries[0], "sequence": 2}]


def _fails(told: Told) -> None:
    answers = told.answers_of("D")
    answers.append(told.answers_of("A")[0]._replace(status=500, body=_json({"code": "internal_error"})))


def _refuses_for_nothing(told: Told) -> None:
    answers = next(one.answers for one in told.history.dossiers.values() if one.ask.key == "k-purchase-A")
    answers[0] = answers[0]._replace(body=_json({"code": "reference_taken", "entry": "ent_2"}))


def _hides(told: Told) -> None:
    look = told.history.looks[2]
    told.history.looks[2] = look._replace(entry=told.entries[0])


def _takes_the_future(told: Told) -> None:
    ask = next(one.ask for one in told.history.dossiers.values() if one.ask.body.get("reference") == "B")
    ask.body["occurred_at"] = "2199-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("plant", "law"),
    [
        (_loses, "nothing acknowledged is lost"),
        (_doubles, "nothing happens twice"),
        (_appears, "nothing happens twice"),
        (_changes_a_replay, "a key has one answer"),
        (_decides_twice, "a key has one answer"),
        (_leaves_a_gap, "a member's history is a chain"),
        (_breaks_the_chain, "a member's history is a chain"),
        (_runs_backwards, "a member's history is a chain"),
        (_says_something_else, "an entry says what was asked"),
        (_says_something_else, "a balance is the sum of its entries"),
        (_appears, "the trial balance is the sum of all entries"),
        (_swaps, "what comes later stands later"),
        (_fails, "every answer is a documented one"),
        (_refuses_for_nothing, "a refusal has its reason"),
        (_takes_the_future, "a refusal has its reason"),
        (_hides, "readers see what was acknowledged"),
    ],
)
def test_a_planted_contradiction_is_found(plant: Callable[[Told], None], law: str, room: Path) -> None:
    told = Told(room)
    plant(told)
    assert law in told.laws_broken()


def test_two_members_with_one_phone_are_found(room: Path) -> None:
    told = Told(room)
    first = told.history.dossiers[1]
    other = first.answers[0]._replace(body=_json({"id": "mem_2", "entries": []}))
    told.history.dossiers[99] = first._replace(ask=first.ask._replace(id=99, key="k-99"), answers=[other])
    ledger = told.ledger()
    assert {one.law for one in check(told.history, ledger)} == {"a phone joins once"}


def test_every_law_can_be_broken() -> None:
    marks = test_a_planted_contradiction_is_found.pytestmark  # type: ignore[attr-defined]
    planted = {law for mark in marks for _, law in mark.args[1]}
    assert planted | {"a phone joins once"} == LAWS.keys()
