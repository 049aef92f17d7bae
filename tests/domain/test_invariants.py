"""The numbered invariants, over random histories: late, repeated, clashing and refused commands included."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.domain.claims import REPLAYS, TAKEN_BY
from loyalty.domain.entries import Entry
from tests import laws
from tests.machine import (
    PEOPLE,
    RULES,
    Ask,
    InMemory,
    Known,
    Script,
    Told,
    asks,
    histories,
    programme_of,
    submission,
    written,
)
from tests.makers import a_fact, a_member_id, days
from tests.twin import Fact

PROGRAMME = programme_of(RULES)


def told(facts: Iterable[Fact], known: Known | None = None) -> Told:
    """A ledger to which the facts were told one by one; those about something that never happened are left out."""
    till = Told(InMemory(PROGRAMME), known)
    for fact in facts:
        till.tell(fact)
    return till


def played(facts: Iterable[Fact]) -> InMemory:
    """A ledger in which the facts happened one by one."""
    return ledger_of(told(facts))


def ledger_of(till: Told) -> InMemory:
    assert isinstance(till.ledger, InMemory)
    return till.ledger


@given(histories(most=60))
def test_every_law_holds_whatever_happens(facts: list[Fact]) -> None:
    laws.check(played(facts).records())


@given(histories())
def test_invariant_2_holds_after_every_single_command(facts: list[Fact]) -> None:
    till = told([])
    for fact in facts:
        till.tell(fact)
        laws.no_account_is_negative(till.ledger.records())
        laws.lots_cover_the_balances(till.ledger.records())


@given(histories())
def test_invariant_6_what_was_written_stays_as_it_was(facts: list[Fact]) -> None:
    till, before = told([]), list[Any]()
    ledger = ledger_of(till)
    for fact in facts:
        till.tell(fact)
        assert ledger.state.facts[: len(before)] == before
        before = list(ledger.state.facts)


@given(histories())
def test_invariant_7_a_whole_history_sent_again_under_its_keys_changes_nothing(facts: list[Fact]) -> None:
    keyed = [fact._replace(key=f"key-{place}", dry_run=False) for place, fact in enumerate(facts)]
    till = told(keyed)
    ledger = ledger_of(till)
    rows, entries = dict(ledger.state.rows), list(ledger.state.facts)
    script = Script()
    for fact in keyed:
        ask = submission(PROGRAMME, fact, till.known)
        if ask is None or ask.claim is None or ledger.state.get(REPLAYS, ask.claim.key) is None:
            continue  # about nothing, or a curable refusal, which may come again
        [answer] = till.tell(script.again(fact))
        assert answer.replayed
    assert (ledger.state.rows, ledger.state.facts) == (rows, entries)


@given(facts=histories(), sources=st.integers(1, 3))
def test_invariant_7_a_reference_makes_at_most_one_entry(facts: list[Fact], sources: int) -> None:
    clashing = [fact._replace(reference=f"receipt-{place % sources}", key=None) for place, fact in enumerate(facts)]
    entries = [e for e in played(clashing).state.facts if isinstance(e, Entry) and laws.took_a_reference(e)]
    taken = [(TAKEN_BY[e.kind], e.because.source, e.because.reference) for e in entries]
    assert len(taken) == len(set(taken))


@given(facts=histories(most=40), cuts=st.sets(st.integers(1, 40)))
def test_invariant_10_batches_may_be_cut_anywhere(facts: list[Fact], cuts: set[int]) -> None:
    one_by_one = told(facts)
    known = one_by_one.known  # so that a batch may hold a purchase and its return
    facts = [fact for fact in facts if one_by_one.stands(fact)]
    singly, in_batches = told(facts, known), told([], known)
    places = [0, *sorted(cut for cut in cuts if cut < len(facts)), len(facts)]
    answers = [answer for start, end in pairwise(places) for answer in in_batches.tell(*facts[start:end])]
    assert ledger_of(in_batches).state.rows == ledger_of(singly).state.rows
    assert ledger_of(in_batches).state.facts == ledger_of(singly).state.facts, "the history, hashes included"
    again = told([], known)
    assert [a.body for a in answers] == [again.tell(fact)[0].body for fact in facts]


@given(asked=st.lists(asks, min_size=1, max_size=40), shuffle=st.randoms(use_true_random=False))
def test_invariant_10_members_may_be_interleaved_in_any_way(asked: list[Ask], shuffle: Any) -> None:
    facts = written([ask._replace(reference=None, key=None) for ask in asked])  # nothing is shared between members
    first = told(facts)
    facts = [fact for fact in facts if first.stands(fact)]
    second = told(interleaved(facts, shuffle))
    one, other = told(facts).ledger.records(), second.ledger.records()
    for who in range(PEOPLE):
        assert one.entries_of(a_member_id(who)) == other.entries_of(a_member_id(who))
    assert (one.books, one.lots, one.members) == (other.books, other.lots, other.members)
    assert (one.holds, one.adjustments) == (other.holds, other.adjustments)


def interleaved(facts: list[Fact], shuffle: Any) -> Iterator[Fact]:
    """The facts in another order that is the same for each member; a transfer has its place with both."""
    queues: dict[int, list[Fact]] = defaultdict(list)
    for fact in facts:
        for who in both(fact):
            queues[who].append(fact)
    while any(queues.values()):
        ready = [
            who
            for who in sorted(queues)
            if queues[who] and all(queues[x][0] is queues[who][0] for x in both(queues[who][0]))
        ]
        fact = queues[shuffle.choice(ready)][0]
        for who in both(fact):
            queues[who].pop(0)
        yield fact


def both(fact: Fact) -> set[int]:
    return {fact.who, fact.to} - {-1}


@given(facts=histories(), first=st.integers(0, 900), then=st.integers(0, 900))
def test_invariant_11_settling_in_two_steps_is_settling_at_once(facts: list[Fact], first: int, then: int) -> None:
    latest = max(fact.learnt_at for fact in facts)
    in_two, at_once = played(facts), played(facts)
    for who in range(PEOPLE - 1):
        swept(in_two, who, latest + days(first), number=20_000 + who)
        swept(in_two, who, latest + days(first + then), number=30_000 + who)
        swept(at_once, who, latest + days(first + then), number=30_000 + who)
    one, other = in_two.records(), at_once.records()
    assert (one.books, one.lots, one.holds) == (other.books, other.lots, other.holds)
    for who in range(PEOPLE - 1):
        assert told_of(one, who) == told_of(other, who)
        before, after = one.members[a_member_id(who)], other.members[a_member_id(who)]
        assert (before.due_at, before.tier, before.tier_until) == (after.due_at, after.tier, after.tier_until)


@given(histories())
def test_settling_again_at_the_same_moment_does_nothing(facts: list[Fact]) -> None:
    ledger, latest = played(facts), max(fact.learnt_at for fact in facts)
    swept(ledger, 0, latest, number=20_000)
    rows, entries = dict(ledger.state.rows), list(ledger.state.facts)
    swept(ledger, 0, latest, number=20_001)
    assert (ledger.state.rows, ledger.state.facts) == (rows, entries)


@given(facts=histories(), ask=asks)
def test_a_dry_run_answers_as_the_real_thing_and_leaves_nothing(facts: list[Fact], ask: Ask) -> None:
    till, script = told(facts), Script()
    ledger = ledger_of(till)
    script.resume(facts)
    asked = script.fact(ask._replace(dry_run=True), till.known)
    if asked is None or not till.stands(asked):
        return
    rows, entries = dict(ledger.state.rows), list(ledger.state.facts)
    [quote] = till.tell(asked)
    assert (ledger.state.rows, ledger.state.facts) == (rows, entries)
    [real] = till.tell(asked._replace(dry_run=False))
    assert (quote.status, quote.body) == (real.status, real.body)


@given(histories())
def test_a_point_is_earned_once_and_ends_once(facts: list[Fact]) -> None:
    """Conservation: what was issued, adjusted, owed or transferred is somewhere, and nowhere twice."""
    for book in played(facts).records().books.values():
        came = book.issued + book.owed - book.adjusted - book.transferred
        assert came == book.pending + book.available + book.held + book.redeemed + book.expired + book.forfeited


@pytest.mark.parametrize("law", [law for name, law in vars(laws).items() if name.startswith("balances_are")])
def test_the_laws_would_notice_a_forged_balance(law: Any) -> None:
    """A check of the checks."""
    records = played(written([Ask("purchase", 0, amount=100_00, currency="CNY")])).records()
    law(records)
    book = records.books[a_member_id(0), "points"]
    records.books[a_member_id(0), "points"] = book._replace(pending=book.pending + 1)
    with pytest.raises(AssertionError, match="invariant 4"):
        law(records)


def swept(ledger: InMemory, who: int, when: datetime, *, number: int) -> None:
    fact = Fact("settle", who, when, when, a_fact(number))
    ask = submission(PROGRAMME, fact, {})
    assert ask is not None
    ledger.commit([ask])


def told_of(records: laws.Records, who: int) -> list[Any]:
    """Entries by (kind, lot, points, effective_at)."""
    return [
        (entry.kind, [(draw.lot_id, draw.points) for draw in entry.draws], entry.postings, entry.effective_at)
        for entry in records.entries_of(a_member_id(who))
    ]
