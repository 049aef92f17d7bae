"""Refusals: the published vocabulary, and what one says."""

from loyalty.domain.refusals import InsufficientPoints, Refusal, vocabulary

FROZEN = """
    adjustment_decided
    amount_out_of_range
    channel_connected
    card_number_stays
    currency_not_accepted
    dates_contradict
    exceeds_hold
    exceeds_purchase
    exceeds_redemption
    field_required
    hold_expired
    hold_resolved
    idempotency_key_reused
    insufficient_points
    member_closed
    member_code_required
    member_earn_only
    member_frozen
    not_a_purchase
    parked_decided
    phone_not_verified
    reassigned_too_often
    reference_taken
    reservation_expired
    reservation_resolved
    review_resolved
    rules_published
    rules_not_in_force
    rules_too_soon
    rules_unsound
    same_member
    second_person_required
    source_may_not_force
    too_many_holds
    too_many_rule_sets
    transfers_not_allowed
    under_age
    unknown_line
    unknown_tier
    unknown_wallet
"""
CURABLE = """
    adjustment_not_found
    channel_not_found
    code_not_valid
    code_used
    difference_not_found
    entry_not_found
    hold_not_found
    identity_conflict
    identity_not_found
    identity_taken
    member_absorbs
    member_merged
    member_not_found
    merge_changed
    merge_not_found
    merge_not_last
    no_tier_granted
    occurred_at_in_future
    parked_not_found
    purchase_reassigned
    redemption_not_found
    reservation_not_found
    return_reserved
    review_not_found
    rules_not_found
    too_many_parked
    too_many_tags
    too_many_what_ifs
    what_if_not_found
"""
"""Another event can make the same request succeed, so none of these is frozen under a key."""


def test_the_codes_are_as_published_and_so_is_which_of_them_can_be_cured() -> None:
    told = vocabulary()
    assert [kind.code for kind in told] == sorted((FROZEN + CURABLE).split())
    assert [kind.code for kind in told if kind.curable] == CURABLE.split()


def test_every_code_has_a_title_of_its_own() -> None:
    told = vocabulary()
    assert len({kind.title for kind in told}) == len(told)


def test_a_refusal_says_why_and_by_which_figures() -> None:
    refusal = InsufficientPoints("The member has 3.", available=3)
    assert (str(refusal), refusal.detail, refusal.facts) == ("The member has 3.", "The member has 3.", {"available": 3})
    assert isinstance(refusal, Refusal)
    assert not refusal.curable, "unless it says so"
