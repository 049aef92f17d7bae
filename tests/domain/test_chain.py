"""The hash chain: every entry covers its own bytes and the one before it."""

import hashlib
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from loyalty.domain.entries import Entry, Kind, content
from loyalty.domain.journal import write_entry
from loyalty.domain.members import GENESIS
from tests.laws import chains_are_unbroken, of_state
from tests.makers import Desk, a_draft, a_member_id, a_programme, a_wallet, at, day, days


@pytest.fixture
def desk() -> Desk:
    """A member with a chain of five: earn, grant, mature, spend, grant."""
    desk = Desk(a_programme(a_wallet(pending=days(7))))
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-01-05")
    desk.gives(anna, 50, "2026-01-06", expires_at="2027-01-01")
    desk.redeems(anna, 120, "2026-01-12")
    desk.gives(anna, 1, "2026-01-13")
    return desk


def chain(desk: Desk) -> list[Entry]:
    return [fact for fact in desk.state.facts if isinstance(fact, Entry)]


def test_each_hash_is_sha_256_over_the_one_before_and_the_published_bytes(desk: Desk) -> None:
    head = GENESIS
    assert head == b"\0" * 32
    for entry in chain(desk):
        head = hashlib.sha256(head + content(desk.programme.id, entry)).digest()
        assert entry.hash == head
    assert desk.member(chain(desk)[0].member_id).head == head


def test_the_hashed_bytes_are_a_json_array_in_the_published_order(desk: Desk) -> None:
    spend = chain(desk)[3]
    assert orjson.loads(content(desk.programme.id, spend)) == [
        1,
        desk.programme.id,
        spend.member_id,
        4,
        spend.id,
        "spend",
        spend.fact_id,
        "2026-01-12T12:00:00+00:00",
        "2026-01-12T12:00:00+00:00",
        "2026-01-12T12:00:00+00:00",
        "2026-01-12",
        ["app", spend.because.reference, None, None],
        [["points", "available", "redeemed", 120, None]],
        [[draw.lot_id, "points", draw.points] for draw in spend.draws],
        [],
        [["points", 0, 30, 0, 0]],
        None,
    ]


def test_sequences_count_without_gaps(desk: Desk) -> None:
    assert [entry.sequence for entry in chain(desk)] == [1, 2, 3, 4, 5]


FORGERIES: list[tuple[str, Any]] = [
    ("kind", "expire"),
    ("fact_id", "0" * 32),
    ("occurred_at", None),
    ("calculation", '{"value":1}'),
    ("postings", ()),
    ("draws", ()),
    ("births", ()),
    ("balances", {}),
]


@pytest.mark.parametrize(("field", "forged"), FORGERIES)
@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_changed_entry_breaks_the_chain(desk: Desk, field: str, forged: Any, place: int) -> None:
    entry = chain(desk)[place]
    if getattr(entry, field) == forged:
        return
    records = of_state(desk.programme, desk.state)
    chains_are_unbroken(records)
    records.entries[place] = entry._replace(**{field: forged})
    with pytest.raises(AssertionError, match="invariant 12"):
        chains_are_unbroken(records)


def test_a_removed_entry_breaks_the_chain(desk: Desk) -> None:
    for place in range(5):
        records = of_state(desk.programme, desk.state)
        del records.entries[place]
        with pytest.raises(AssertionError, match="invariant 12"):
            chains_are_unbroken(records)


def test_an_entry_of_another_programme_has_another_hash(desk: Desk) -> None:
    first = chain(desk)[0]
    assert content(1, first) != content(2, first)


def test_the_words_that_are_hashed_are_as_published() -> None:
    words = "earn mature spend expire hold capture release reserve return reassign unspend forfeit adjust transfer"
    words += " tier merge unmerge"
    assert [kind.value for kind in Kind] == words.split()


def test_wallets_are_hashed_in_the_order_of_their_names() -> None:
    desk = Desk(a_programme(a_wallet("points"), a_wallet("coins")))
    desk.buys(desk.enrols(), 100_00, "2026-01-05")
    [entry] = chain(desk)
    assert list(entry.balances) == ["points", "coins"]
    assert [wallet for wallet, *_ in orjson.loads(content(1, entry))[15]] == ["coins", "points"]


def test_an_entry_is_written_in_utc_or_not_at_all() -> None:
    draft = a_draft()
    local = at("2026-01-05").astimezone(ZoneInfo("Asia/Shanghai"))
    with pytest.raises(AssertionError, match="UTC"):
        write_entry(draft, a_member_id(1), Kind.EARN, occurred_at=local, accounting_date=day("2026-01-05"), postings=[])
