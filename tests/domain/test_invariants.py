"""The numbered invariants, over random histories: late, repeated, clashing and refused commands included."""

from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.domain.claims import REPLAYS
from loyalty.domain.entries import Entry
from tests import laws
from tests.machine import (
    PEOPLE,
    RULES,
    Ask,
    InMemory,
    Script,
    asks,
    histories,
    programme_of,
    submission,
    written,
)
from tests.makers import a_fact, a_member_id, days
from tests.twin import Fact

PROGRAMME = programme_of(RULES)


def played(facts: list[Fact]) -> InMemory:
    """A ledger in which the facts happened one by one."""
    ledger = InMemory(PROGRAMME)
    for fact in facts:
        ledger.commit([submission(PROGRAMME, fact)])
    return ledger


@given(histories(most=40))
def test_every_law_holds_whatever_happens(facts: list[Fact]) -> None:
    laws.check(played(facts).records())


@given(histories())
def test_invariant_2_holds_after_every_single_command(facts: list[Fact]) -> None:
    ledger = InMemory(PROGRAMME)
    for fact in facts:
        ledger.commit([submission(PROGRAMME, fact)])
        laws.no_account_is_negative(ledger.records())
        laws.lots_cover_the_balances(ledger.records())


@given(histories())
def test_invariant_6_what_was_written_stays_as_it_was(facts: list[Fact]) -> None:
    ledger, before = InMemory(PROGRAMME), list[Any]()
    for fact in facts:
        ledger.commit([submission(PROGRAMME, fact)])
        assert ledger.state.facts[: len(before)] == before
        before = list(ledger.state.facts)


@given(histories())
def test_invariant_7_a_whole_history_sent_again_under_its_keys_changes_nothing(facts: list[Fact]) -> None:
    keyed = [fact._replace(key=f"key-{place}", dry_run=False) for place, fact in enumerate(facts)]
    ledger = played(keyed)
    rows, entries = dict(ledger.state.rows), list(ledger.state.facts)
    script = Script()
    for fact in keyed:
        if ledger.state.get(REPLAYS, submission(PROGRAMME, fact).claim.key) is None:  # type: ignore[union-attr]
            continue  # a curable refusal, which may come again
        [answer] = ledger.commit([submission(PROGRAMME, script.again(fact))])
        assert answer.replayed
    assert (ledger.state.rows, ledger.state.facts) == (rows, entries)


@given(facts=histories(), sources=st.integers(1, 3))
def test_invariant_7_a_reference_makes_at_most_one_entry(facts: list[Fact], sources: int) -> None:
    clashing = [fact._replace(reference=f"receipt-{place % sources}", key=None) for place, fact in enumerate(facts)]
    entries = [fact for fact in played(clashing).state.facts if isinstance(fact, Entry) and fact.because.reference]
    taken = [("earn" if e.kind == "earn" else "spend", e.because.source, e.because.reference) for e in entries]
    assert len(taken) == len(set(taken))


@given(facts=histories(), cuts=st.sets(st.integers(1, 25)))
def test_invariant_10_batches_may_be_cut_anywhere(facts: list[Fact], cuts: set[int]) -> None:
    one_by_one, in_batches = played(facts), InMemory(PROGRAMME)
    places = [0, *sorted(cut for cut in cuts if cut < len(facts)), len(facts)]
    answers = []
    for start, end in pairwise(places):
        answers += in_batches.commit([submission(PROGRAMME, fact) for fact in facts[start:end]])
    assert in_batches.state.rows == one_by_one.state.rows
    assert in_batches.state.facts == one_by_one.state.facts, "the history, hashes included"
    again = InMemory(PROGRAMME)
    assert [a.body for a in answers] == [again.commit([submission(PROGRAMME, fact)])[0].body for fact in facts]


@given(told=st.lists(asks, min_size=1, max_size=25), shuffle=st.randoms(use_true_random=False))
def test_invariant_10_members_may_be_interleaved_in_any_way(told: list[Ask], shuffle: Any) -> None:
    facts = written([ask._replace(reference=None, key=None) for ask in told])  # nothing is shared between members
    queues: dict[int, list[Fact]] = defaultdict(list)
    for fact in facts:
        queues[fact.who].append(fact)
    interleaved = []
    while queues:
        who = shuffle.choice(sorted(queues))
        interleaved.append(queues[who].pop(0))
        if not queues[who]:
            del queues[who]
    first, second = played(facts).records(), played(interleaved).records()
    for who in range(PEOPLE):
        assert first.entries_of(a_member_id(who)) == second.entries_of(a_member_id(who))
    assert (first.books, first.lots, first.members) == (second.books, second.lots, second.members)


@given(facts=histories(), first=st.integers(0, 900), then=st.integers(0, 900))
def test_invariant_11_settling_in_two_steps_is_settling_at_once(facts: list[Fact], first: int, then: int) -> None:
    latest = max(fact.learnt_at for fact in facts)
    in_two, at_once = played(facts), played(facts)
    for who in range(PEOPLE - 1):
        swept(in_two, who, latest + days(first), number=20_000 + who)
        swept(in_two, who, latest + days(first + then), number=30_000 + who)
        swept(at_once, who, latest + days(first + then), number=30_000 + who)
    one, other = in_two.records(), at_once.records()
    assert (one.books, one.lots) == (other.books, other.lots)
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


@given(facts=histories(), told=asks)
def test_a_dry_run_answers_as_the_real_thing_and_leaves_nothing(facts: list[Fact], told: Ask) -> None:
    ledger, script = played(facts), Script()
    for _ in facts:
        script.fact(Ask("settle", 0))
    script.now = max(fact.learnt_at for fact in facts)
    fact = script.fact(told._replace(dry_run=True))
    rows, entries = dict(ledger.state.rows), list(ledger.state.facts)
    [quote] = ledger.commit([submission(PROGRAMME, fact)])
    assert (ledger.state.rows, ledger.state.facts) == (rows, entries)
    [real] = ledger.commit([submission(PROGRAMME, fact._replace(dry_run=False))])
    assert (quote.status, quote.body) == (real.status, real.body)


@given(histories())
def test_a_point_is_earned_once_and_ends_once(facts: list[Fact]) -> None:
    """Conservation: what was issued is pending, available, redeemed or expired."""
    for book in played(facts).records().books.values():
        assert book.issued == book.pending + book.available + book.redeemed + book.expired


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
    ledger.commit([submission(PROGRAMME, fact)])


def told_of(records: laws.Records, who: int) -> list[Any]:
    """Entries by (kind, lot, points, effective_at)."""
    return [
        (entry.kind, [(draw.lot_id, draw.points) for draw in entry.draws], entry.postings, entry.effective_at)
        for entry in records.entries_of(a_member_id(who))
    ]
