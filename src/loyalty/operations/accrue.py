"""Earning: a purchase by the programme's rules, or explicit points with a reason."""

from datetime import date, datetime
from typing import Any, NamedTuple

from loyalty.domain import caps
from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.calculations import Calculation
from loyalty.domain.caps import CAP_USE
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.credit import new_lot, repayment
from loyalty.domain.earning import Earned, Facts, Order, calculation, check_currency, earned
from loyalty.domain.entries import Because, Birth, Entry, Kind, Posting, posting
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import LotState, open_lot
from loyalty.domain.members import MEMBERS, existing, watch, who_may_earn
from loyalty.domain.persons import BIRTHDAYS, birthday_of
from loyalty.domain.refusals import AmountOutOfRange, RulesNotInForce
from loyalty.domain.rules import Cap, InForce, RuleSet
from loyalty.domain.sliding import as_of_now
from loyalty.domain.state import Draft, Need
from loyalty.domain.tags import TAGS, tags_of
from loyalty.domain.terms import Term, earned_term, explicit_term, renewed_end
from loyalty.domain.tiers import COUNTS, HAS_BOUGHT, counts_of_points, counts_of_purchase, earn
from loyalty.operations.command import Receipt


class Accrued(NamedTuple):
    """What an accrual tells the till: points by wallet and the term of each."""

    points: dict[str, int]
    terms: dict[str, Term]


class Purchase(NamedTuple):
    """A purchase earns by the rules of its moment, and counts towards the tier."""

    member_id: MemberId
    order: Order
    because: Because
    reference: ReferenceKey
    business_date: date
    rules: RuleSet
    """Those of the moment at which it occurred."""

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(MEMBERS, self.member_id),
            Need(COUNTS, (self.member_id, self.business_date)),
            Need(REFERENCES, self.reference),
            *needs_of_rules(self.rules, self.member_id, self.business_date),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The purchase is in the journal, its lots are open. Raises ReferenceTaken, MemberFrozen ..."""
        who_may_earn(draft, self.member_id)
        programme, in_force = draft.programme, self.rules.at(draft.moment.occurred_at)
        facts, given = worked_out(draft, self.member_id, self.rules, self.order, self.because, self.business_date)
        points = given.points
        terms = {name: _term(draft, in_force, name) for name in points}
        entry = _credit(
            draft,
            self.member_id,
            points=points,
            terms=terms,
            because=self.because,
            reference=self.reference,
            business_date=self.business_date,
            calculation=calculation(programme, self.rules, self.order, facts, given),
        )
        caps.use(draft, in_force.caps, self.member_id, self.business_date, points)
        counts = counts_of_purchase(
            programme.ladder,
            day=self.business_date,
            net_spend=self.order.net_spend,
            points=points,
            births=entry.births,
        )
        earn(draft, self.member_id, counts, entry_id=entry.id)
        return Receipt(self.member_id, (entry,), Accrued(points, _shown(draft, self.member_id, terms)))


class Previewed(NamedTuple):
    """What an order would earn, and how."""

    rules: RuleSet
    order: Order
    facts: Facts
    given: Earned
    terms: dict[str, Term]


class Preview(NamedTuple):
    """What an order would earn the member. To be asked for without consequences."""

    member_id: MemberId
    order: Order
    because: Because
    business_date: date
    rules: RuleSet

    def needs(self) -> tuple[Need, ...]:
        return (Need(MEMBERS, self.member_id), *needs_of_rules(self.rules, self.member_id, self.business_date))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """As `Purchase`, and nothing is done. Raises MemberFrozen, CurrencyNotAccepted ..."""
        who_may_earn(draft, self.member_id)
        facts, given = worked_out(
            draft, self.member_id, self.rules, self.order, self.because, self.business_date, explained=True
        )
        in_force = self.rules.at(draft.moment.occurred_at)
        terms = {name: self._foreseen(draft, in_force, name, points) for name, points in given.points.items()}
        return Receipt(self.member_id, (), Previewed(self.rules, self.order, facts, given, terms))

    def _foreseen(self, draft: Draft, in_force: InForce, name: str, points: int) -> Term:
        """The term that the points would have: what they would do to the end of their book counts as done."""
        calendar, wallet = draft.programme.calendar, draft.programme.wallets[name]
        term = as_of_now(draft, self.member_id, name, _term(draft, in_force, name))
        at = draft.moment.occurred_at
        renewed = renewed_end(calendar, wallet, at, no_earlier_than=term.matures_at) if points else None
        ends = [end for end in (term.expires_at, renewed) if end is not None]
        return term._replace(expires_at=max(ends, default=None))


def needs_of_rules(rules: RuleSet, member_id: MemberId, day: date) -> tuple[Need, ...]:
    """What a rule set has to know of a member."""
    asked = {
        "member.first_purchase": Need(HAS_BOUGHT, member_id),
        "member.tags": Need(TAGS, member_id),
        "member.birthday_month": Need(BIRTHDAYS, (member_id, day)),
        "member.birthday": Need(BIRTHDAYS, (member_id, day)),
    }
    counted = (caps.key_of(rule, member_id, day) for rule in rules.rules if isinstance(rule, Cap))
    return (
        *(need for name, need in asked.items() if name in rules.names),
        *(Need(CAP_USE, key) for key in counted if key is not None),
    )


def worked_out(
    draft: Draft,
    member_id: MemberId,
    rules: RuleSet,
    order: Order,
    because: Because,
    day: date,
    *,
    explained: bool = False,
) -> tuple[Facts, Earned]:
    """What the order earns the member, and the facts that decide it.

    Raises CurrencyNotAccepted, AmountOutOfRange; RulesNotInForce for rules that are not those of the moment.
    """
    check_currency(draft.programme, order)
    occurred_at = draft.moment.occurred_at
    in_force = rules.at(occurred_at)
    if not in_force.bases:
        raise RulesNotInForce("No wallet has a base rule at that moment.")
    values = _values(draft, member_id, because, day) if in_force.names else {}
    facts = Facts(
        occurred_at,
        {name: values[name] for name in sorted(in_force.names) if name in values},
        caps.room(draft, in_force.caps, member_id, day),
    )
    given = earned(in_force, order, facts, explained=explained)
    if max(given.points.values()) > MAX_POINTS:
        raise AmountOutOfRange("The purchase would earn more than the ledger can hold.", maximum=MAX_POINTS)
    return facts, given


def _values(draft: Draft, member_id: MemberId, because: Because, day: date) -> dict[str, Any]:
    """The variables of conditions that do not follow from the lines."""
    member = existing(draft, member_id)
    birthday = birthday_of(draft, member_id, day)
    return {
        "order.source": because.source or "",
        "order.store": because.store or "",
        "order.day": day.isoformat(),
        "order.month": day.month,
        "order.weekday": day.isoweekday(),
        "member.tier": member.tier,
        "member.store": member.store or "",
        "member.tags": list(tags_of(draft, member_id)),
        "member.birthday_month": birthday.is_month,
        "member.birthday": birthday.is_day,
        "member.first_purchase": not draft.get(HAS_BOUGHT, member_id),
    }


def _term(draft: Draft, in_force: InForce, name: str) -> Term:
    """The term of what a purchase earns now in a wallet."""
    programme = draft.programme
    return earned_term(programme.calendar, programme.wallets[name], in_force.bases[name], draft.moment.occurred_at)


class Grant(NamedTuple):
    """Explicit points with a reason, available at once unless they are pending until a given time."""

    member_id: MemberId
    points: int
    wallet: str
    because: Because
    reference: ReferenceKey
    business_date: date
    pending_until: datetime | None = None
    expires_at: datetime | None = None

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(MEMBERS, self.member_id),
            Need(COUNTS, (self.member_id, self.business_date)),
            Need(REFERENCES, self.reference),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are in the member's wallet. Raises ReferenceTaken, UnknownWallet, DatesContradict ..."""
        who_may_earn(draft, self.member_id)
        term = granted_term(draft, self.wallet, pending_until=self.pending_until, expires_at=self.expires_at)
        points, terms = {self.wallet: self.points}, {self.wallet: term}
        entry = _credit(
            draft,
            self.member_id,
            points=points,
            terms=terms,
            because=self.because,
            reference=self.reference,
            business_date=self.business_date,
        )
        ladder = draft.programme.ladder
        counts = counts_of_points(ladder, day=self.business_date, points=points, births=entry.births)
        earn(draft, self.member_id, counts, entry_id=entry.id)
        return Receipt(self.member_id, (entry,), Accrued(points, _shown(draft, self.member_id, terms)))


def _shown(draft: Draft, member_id: MemberId, terms: dict[str, Term]) -> dict[str, Term]:
    """The terms as the till prints them."""
    return {wallet: as_of_now(draft, member_id, wallet, term) for wallet, term in terms.items()}


def granted_term(draft: Draft, wallet: str, *, pending_until: datetime | None, expires_at: datetime | None) -> Term:
    """The term of explicit points as of the draft's moment. Raises UnknownWallet, DatesContradict."""
    programme, moment = draft.programme, draft.moment
    return explicit_term(
        programme.calendar,
        programme.wallet(wallet),
        programme.reached(moment.occurred_at, moment.recorded_at),
        pending_until=pending_until,
        expires_at=expires_at,
    )


def _credit(
    draft: Draft,
    member_id: MemberId,
    *,
    points: dict[str, int],
    terms: dict[str, Term],
    because: Because,
    reference: ReferenceKey,
    business_date: date,
    calculation: Calculation | None = None,
) -> Entry:
    """Write the earn entry with a lot for every wallet that gains points, and repay what is owed first."""
    entry_id = EntryId(draft.mint.next(member_id))
    take_reference(draft, reference, entry_id)
    lots = [
        new_lot(
            draft,
            member_id,
            entry_id,
            wallet=wallet,
            points=amount,
            because=because,
            earned_at=draft.moment.occurred_at,
            matures_at=terms[wallet].matures_at,
            expires_at=terms[wallet].expires_at,
        )
        for wallet, amount in points.items()
        if amount
    ]
    births: list[Birth] = [open_lot(draft, lot) for lot in lots]
    postings: list[Posting] = [
        posting(lot.wallet, debit="issued", credit=lot.state, points=lot.points, funder=lot.funder) for lot in lots
    ]
    repaid, draws = repayment(draft, member_id, (lot for lot in lots if lot.state == LotState.AVAILABLE))
    entry = write_entry(
        draft,
        member_id,
        Kind.EARN,
        id_=entry_id,
        occurred_at=draft.moment.occurred_at,
        accounting_date=business_date,
        because=because,
        postings=[*postings, *repaid],
        draws=draws,
        births=births,
        calculation=calculation,
    )
    watch(draft, member_id, *(lot.due_at for lot in lots))
    return entry
