"""Why the ledger says no: the published vocabulary of codes. `api/problems.py` gives each its HTTP status.

A refusal is an answer: it is decided behind the door and frozen under the request's key, unless it is
*curable*, which means that another event (an enrolment, a passing minute) can make the same request succeed.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class Refusal(Exception):
    """A request the ledger declines. `facts` explain it; they carry ids and figures, never personal data."""

    code: ClassVar[str]
    title: ClassVar[str]
    curable: ClassVar[bool] = False

    def __init__(self, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts: Mapping[str, Any] = facts


class NotFound(Refusal):
    """What the request names does not exist (yet)."""

    curable = True


class MemberNotFound(NotFound):
    code = "member_not_found"
    title = "No such member"


class EntryNotFound(NotFound):
    code = "entry_not_found"
    title = "No such entry"


class HoldNotFound(NotFound):
    code = "hold_not_found"
    title = "No such hold"


class RedemptionNotFound(NotFound):
    code = "redemption_not_found"
    title = "No such redemption"


class AdjustmentNotFound(NotFound):
    code = "adjustment_not_found"
    title = "No such adjustment"


class ReservationNotFound(NotFound):
    code = "reservation_not_found"
    title = "No such reserved return"


class ParkedNotFound(NotFound):
    code = "parked_not_found"
    title = "Nothing of that id was parked"


class ReviewNotFound(NotFound):
    code = "review_not_found"
    title = "No such review item"


class IdentityNotFound(NotFound):
    code = "identity_not_found"
    title = "The member is not known by that"


class WhatIfNotFound(NotFound):
    code = "what_if_not_found"
    title = "No such what-if"


class MergeNotFound(NotFound):
    code = "merge_not_found"
    title = "The member is not merged into another"


class RulesNotFound(NotFound):
    code = "rules_not_found"
    title = "No such earning rules"


class ChannelNotFound(NotFound):
    code = "channel_not_found"
    title = "No such channel"


class DifferenceNotFound(NotFound):
    code = "difference_not_found"
    title = "No such difference"


class CodeNotValid(NotFound):
    code = "code_not_valid"
    title = "The member code is wrong or out of date"


class Conflict(Refusal):
    """The request is well formed but the state of the ledger does not allow it."""


class InsufficientPoints(Conflict):
    code = "insufficient_points"
    title = "Not enough points available"


class ReferenceTaken(Conflict):
    code = "reference_taken"
    title = "This source has already used this reference"


class IdentityTaken(Conflict):
    code = "identity_taken"
    title = "This identity already belongs to a member"
    curable = True


class PhoneNotVerified(Conflict):
    code = "phone_not_verified"
    title = "A phone joins a member only when it is verified"


class IdentityConflict(Conflict):
    code = "identity_conflict"
    title = "The member is known by another identity of that kind"
    curable = True


class CardNumberStays(Conflict):
    code = "card_number_stays"
    title = "A card number cannot be unbound"


class CodeUsed(Conflict):
    code = "code_used"
    title = "The member code was used before"
    curable = True


class MemberFrozen(Conflict):
    code = "member_frozen"
    title = "The member is frozen"


class MemberClosed(Conflict):
    code = "member_closed"
    title = "The member is closed"


class MemberMerged(Conflict):
    code = "member_merged"
    title = "The member was merged into another"
    curable = True


class MergeChanged(Conflict):
    code = "merge_changed"
    title = "The merge has moved on meanwhile"
    curable = True


class MergeNotLast(Conflict):
    code = "merge_not_last"
    title = "Another merge came later"
    curable = True


class MemberAbsorbs(Conflict):
    code = "member_absorbs"
    title = "Others were merged into the member"
    curable = True


class MemberEarnsOnly(Conflict):
    code = "member_earn_only"
    title = "The member may earn but not spend"


class HoldResolved(Conflict):
    code = "hold_resolved"
    title = "The hold was captured or released before"


class HoldExpired(Conflict):
    code = "hold_expired"
    title = "The hold has ended"


class TooManyHolds(Conflict):
    code = "too_many_holds"
    title = "The member has too many open holds"


class ExceedsHold(Conflict):
    code = "exceeds_hold"
    title = "More than the hold set aside"


class ExceedsRedemption(Conflict):
    code = "exceeds_redemption"
    title = "More than is left of the redemption"


class ExceedsPurchase(Conflict):
    code = "exceeds_purchase"
    title = "More than is left of the purchase"


class ReservationResolved(Conflict):
    code = "reservation_resolved"
    title = "The reserved return was confirmed or cancelled before"


class ReservationExpired(Conflict):
    code = "reservation_expired"
    title = "The reserved return has ended"


class ReturnReserved(Conflict):
    code = "return_reserved"
    title = "A return of the purchase is reserved"
    curable = True


class PurchaseReassigned(Conflict):
    code = "purchase_reassigned"
    title = "The purchase belongs to another member by now"
    curable = True


class ReassignedTooOften(Conflict):
    code = "reassigned_too_often"
    title = "The purchase was reassigned too often"


class NotAPurchase(Conflict):
    code = "not_a_purchase"
    title = "The entry is no purchase"


class TransfersNotAllowed(Conflict):
    code = "transfers_not_allowed"
    title = "The programme does not let members transfer points"


class AdjustmentDecided(Conflict):
    code = "adjustment_decided"
    title = "The adjustment was decided before"


class ParkedDecided(Conflict):
    code = "parked_decided"
    title = "The parked event waits no longer"


class TooManyTags(Conflict):
    code = "too_many_tags"
    title = "The member would have too many tags"
    curable = True


class TooManyParked(Conflict):
    code = "too_many_parked"
    title = "Too many events wait for the same"
    curable = True


class ReviewResolved(Conflict):
    code = "review_resolved"
    title = "The review item was resolved before"


class ApproverNotSecond(Conflict):
    code = "second_person_required"
    title = "Whoever asked for an adjustment cannot approve it"


class NoTierGranted(Conflict):
    code = "no_tier_granted"
    title = "No tier was given by hand"
    curable = True


class ChannelConnected(Conflict):
    code = "channel_connected"
    title = "The programme is connected to such a channel"


class TooManyWhatIfs(Conflict):
    code = "too_many_what_ifs"
    title = "Too many what-ifs wait"
    curable = True


class RulesPublished(Conflict):
    code = "rules_published"
    title = "The rules were published before"


class RulesTooMany(Conflict):
    code = "too_many_rule_sets"
    title = "The programme has published too many rule sets"


class Unacceptable(Refusal):
    """The request names something this programme cannot accept."""


class KeyReused(Unacceptable):
    code = "idempotency_key_reused"
    title = "The idempotency key was used for another request"


class OccursInFuture(Unacceptable):
    code = "occurred_at_in_future"
    title = "The event lies in the future"
    curable = True


class UnknownWallet(Unacceptable):
    code = "unknown_wallet"
    title = "The programme has no such wallet"


class UnknownTier(Unacceptable):
    code = "unknown_tier"
    title = "No such tier"


class CurrencyNotAccepted(Unacceptable):
    code = "currency_not_accepted"
    title = "The programme does not take this currency"


class DatesContradict(Unacceptable):
    code = "dates_contradict"
    title = "The dates of the points contradict each other"


class RulesUnsound(Unacceptable):
    code = "rules_unsound"
    title = "Something is wrong with the rules"


class RulesTooSoon(Unacceptable):
    code = "rules_too_soon"
    title = "The rules would take effect too soon"


class RulesNotInForce(Unacceptable):
    code = "rules_not_in_force"
    title = "The rules do not apply at that moment"


class LineUnknown(Unacceptable):
    code = "unknown_line"
    title = "The purchase has no such line"


class SameMember(Unacceptable):
    code = "same_member"
    title = "Both sides are the same member"


class SourceMayNotForce(Unacceptable):
    code = "source_may_not_force"
    title = "The source may not force what the points do not cover"


class AmountOutOfRange(Unacceptable):
    code = "amount_out_of_range"
    title = "The amount leaves the range the ledger can hold"


class UnderAge(Unacceptable):
    code = "under_age"
    title = "The person is too young to join"


class MemberCodeRequired(Unacceptable):
    code = "member_code_required"
    title = "Spending at a till takes the member's code"


class FieldRequired(Unacceptable):
    code = "field_required"
    title = "The programme requires a field that is missing"


def vocabulary() -> list[type[Refusal]]:
    """Every refusal that carries a code, sorted by it."""
    found: list[type[Refusal]] = []
    waiting: list[type[Refusal]] = [Refusal]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if "code" in vars(kind):
            found.append(kind)
    return sorted(found, key=lambda kind: kind.code)
