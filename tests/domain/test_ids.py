"""Ids name their bucket, and a command's ids follow from its fact."""

import uuid
from collections import Counter

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st

from loyalty.domain.ids import BUCKETS, MAX_ORDINAL, FactId, MemberId, Mint, bucket_of, bucket_of_key
from tests.makers import a_fact, a_member_id

uuid7s = st.builds(lambda: uuid_utils.uuid7().hex)


def test_the_bucket_is_the_last_byte_of_an_id() -> None:
    assert bucket_of(f"{0:030x}00") == 0
    assert bucket_of(f"{0:030x}2a") == 42
    assert bucket_of(f"{0:030x}ff") == BUCKETS - 1


@given(fact=uuid7s, member=uuid7s)
def test_a_minted_id_is_a_uuid_of_version_7_in_its_owners_bucket(fact: str, member: str) -> None:
    minted = Mint(FactId(fact)).next(MemberId(member))
    assert uuid.UUID(minted).version == 7
    assert bucket_of(minted) == bucket_of(member)
    assert minted[:12] == fact[:12], "it sorts with the moment of its fact"


def test_the_same_fact_mints_the_same_ids_and_another_fact_others() -> None:
    mints = [Mint(a_fact(1)), Mint(a_fact(1)), Mint(a_fact(2))]
    first, again, other = ([mint.next(a_member_id(1)) for _ in range(50)] for mint in mints)
    assert first == again == sorted(first)
    assert len({*first, *other}) == 100


def test_a_mint_says_so_when_it_has_no_more_ids() -> None:
    mint, member = Mint(a_fact(1)), a_member_id(1)
    minted = {mint.next(member) for _ in range(MAX_ORDINAL)}
    assert len(minted) == MAX_ORDINAL
    assert {len(id_) for id_ in minted} == {32}
    with pytest.raises(OverflowError):
        mint.next(member)


def test_the_bucket_of_a_claim_comes_from_its_own_key_and_spreads() -> None:
    spread = Counter(bucket_of_key("pos-1", f"receipt {n}", "accrual", "") for n in range(25_600))
    assert len(spread) == BUCKETS
    assert max(spread.values()) < 200
    assert bucket_of_key("pos-1", "r1", "accrual", "") == bucket_of_key("pos-1", "r1", "accrual", "")


def test_the_parts_of_a_key_do_not_run_into_each_other() -> None:
    pairs = [(f"pos-{n}", f"{n}") for n in range(64)]
    assert [bucket_of_key(a, b) for a, b in pairs] != [bucket_of_key(a + b, "") for a, b in pairs]


def test_the_bucket_of_a_key_never_changes_or_what_is_stored_would_not_be_found() -> None:
    assert bucket_of_key("pos-1", "r1", "accrual", "") == 208
    assert bucket_of_key("till", "", "k") == 91
