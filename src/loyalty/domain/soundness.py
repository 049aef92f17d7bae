"""What is wrong with earning rules, said before they are published: each fault with its rule and its place."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise, product
from typing import Any, Final, NamedTuple

from loyalty.domain.conditions import (
    TRUTH,
    VARIABLES,
    Condition,
    Failed,
    Invalid,
    compiled,
    holds,
    is_always,
    looked_at,
    texts_beside,
    texts_within,
)
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import POINTS
from loyalty.domain.programme import Programme
from loyalty.domain.rules import ALWAYS, Base, Bonus, Cap, Exclusion, Multiplier, Per, Rule, Span, Stacking
from loyalty.domain.tags import TAG

MOST_COST: Final = 10_000
"""Most evaluations of conditions for the largest order: some 60 ms."""

FEW_VALUES: Final[Mapping[str, Sequence[Any]]] = {
    "order.weekday": range(1, 8),
    "order.month": range(1, 13),
    "line.kind": ("goods", "gift_card", "shipping"),
    **{name: (True, False) for name, (type_, _) in VARIABLES.items() if type_ == TRUTH},
}
"""Variables of which every value can be tried; the tiers are the programme's."""
MOST_TRIED: Final = 10_000
"""Evaluations by which it is tried whether the conditions of a set can hold: some 15 ms. What is left is believed."""


_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Fault(NamedTuple):
    """Something that is wrong."""

    rule: str
    """Its id."""
    field: str
    problem: str
    position: int | None = None
    """The character of a condition at which it begins, from 1."""


def faults(programme: Programme, rules: Sequence[Rule], *, effective_from: datetime | None = None) -> list[Fault]:
    """All that is wrong with the rules; what depends on time only where it is known when they take effect."""
    found = [
        *_ids(rules),
        *(fault for rule in rules for fault in _of_rule(programme, rule)),
        *_in_vain(programme, rules),
        *_wallets(programme, rules),
        *_bases(rules, effective_from),
        *_groups(rules),
        *_cost(rules),
    ]
    if effective_from is not None:
        found.extend(
            Fault(rule.id, "until", "it can never fire: its time is over before the rules take effect")
            for rule in rules
            if rule.span.ends is not None and rule.span.ends <= effective_from
        )
    return found


def _ids(rules: Iterable[Rule]) -> Iterator[Fault]:
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            yield Fault(rule.id, "id", "another rule has this id")
        seen.add(rule.id)


def _of_rule(programme: Programme, rule: Rule) -> Iterator[Fault]:
    """What is wrong with one rule by itself."""
    begins, ends = rule.span
    if begins is not None and ends is not None and ends <= begins:
        yield Fault(rule.id, "until", "it can never fire: it ends before it begins")
    match rule:
        case Multiplier(percent=100):
            yield Fault(rule.id, "percent", "100 percent changes nothing")
        case Multiplier(percent=percent, stacking=Stacking.BEST) if percent < 100:
            yield Fault(rule.id, "percent", "it changes nothing: the best is never less than 100 percent")
        case Exclusion() if rule.span == ALWAYS and _is_unconditional(rule):
            yield Fault(rule.id, "when", "nothing would ever earn: it excludes every line, always")
        case Bonus(when=str(when), per=Per.ORDER) if (found := _compiled(when)) is not None and found.of_lines:
            yield Fault(
                rule.id, "when", "a bonus per order cannot speak of a line; order.skus and order.categories can"
            )
        case Base(expiry=Expiry(lifespan=Lifespan.SLIDING)):
            yield Fault(rule.id, "expiry", "only a wallet slides, all of it: that is a setting")
        case Base(expiry=Expiry()) if rule.wallet in programme.wallets and programme.wallets[rule.wallet].expiry.slides:
            yield Fault(rule.id, "expiry", "the points of this wallet slide: they all end together")
        case Cap() if (other := _same_cap_elsewhere(programme, rule)) is not None:
            yield Fault(rule.id, "id", f"version {other[0]} caps {other[1]!r} by this id, and its use goes on counting")
        case Cap(points=0):
            yield Fault(rule.id, "points", "a cap of nothing: exclude what earns nothing")
    if isinstance(rule, Multiplier | Bonus | Exclusion) and rule.when is not None:
        yield from _of_condition(programme, rule.id, rule.when)


def _same_cap_elsewhere(programme: Programme, cap: Cap) -> tuple[int | None, str] | None:
    """The version that had a cap of the same id on another wallet, and that wallet."""
    for published in programme.rule_sets:
        for rule in published.rules:
            if isinstance(rule, Cap) and rule.id == cap.id and rule.wallet != cap.wallet:
                return published.version, rule.wallet
    return None


def _of_condition(programme: Programme, id_: str, text: str) -> Iterator[Fault]:
    try:
        condition = compiled(text)
    except Invalid as invalid:
        yield Fault(id_, "when", invalid.problem, invalid.position)
        return
    yield from _strange_words(programme, id_, condition)


def _strange_words(programme: Programme, id_: str, condition: Condition) -> Iterator[Fault]:
    """The tiers, kinds, days and tags that it names and that there are none of."""
    tiers = {rung.tier for rung in programme.ladder.rungs}
    for tier, position in texts_beside(condition, "member.tier"):
        if tier not in tiers:
            yield Fault(id_, "when", f"this programme has no tier {tier!r}", position)
    for kind, position in texts_beside(condition, "line.kind"):
        if kind not in FEW_VALUES["line.kind"]:
            yield Fault(id_, "when", f"no line is of the kind {kind!r}: goods, gift_card or shipping", position)
    for day, position in texts_beside(condition, "order.day"):
        if not _is_day(day):
            yield Fault(id_, "when", f"order.day is never {day!r}: it is written as 2026-12-31", position)
    for tag, position in texts_within(condition, "member.tags"):
        if not TAG.fullmatch(tag):
            yield Fault(id_, "when", f"no member has a tag {tag!r}: it is lower-case letters, digits and _", position)


def _is_day(text: str) -> bool:
    try:
        return _DAY.fullmatch(text) is not None and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _in_vain(programme: Programme, rules: Iterable[Rule]) -> Iterator[Fault]:
    """Conditions that are false whatever the order: every case is tried where there are few, or a constant is seen."""
    few = {**FEW_VALUES, "member.tier": [rung.tier for rung in programme.ladder.rungs]}
    left = MOST_TRIED
    for rule in rules:
        when = getattr(rule, "when", None)
        condition = None if when is None else _compiled(when)
        if condition is None or any(_strange_words(programme, rule.id, condition)):
            continue  # that has been said
        values = [few[name] for name in condition.asks if name in few]
        effort = math.prod(map(len, values)) * condition.work
        if len(values) < len(condition.asks) or effort > left:
            never = condition.work <= left and is_always(condition, answer=False)
        else:
            left -= effort
            never = not any(_may_hold(condition, case) for case in product(*values))
        if never:
            yield Fault(rule.id, "when", "it can never fire: its condition never holds")


def _may_hold(condition: Condition, case: Sequence[Any]) -> bool:
    """Whether it is true of these values, in the order of the variables it speaks of."""
    try:
        return holds(condition, looked_at(dict(zip(condition.asks, case, strict=True))))
    except Failed:
        return False


def _wallets(programme: Programme, rules: Sequence[Rule]) -> Iterator[Fault]:
    """Every rule has a wallet, and every wallet that gains or that tiers go by a base."""
    gaining = {rule.wallet for rule in rules if isinstance(rule, Base)}
    for rule in rules:
        if rule.wallet is None:
            continue
        if rule.wallet not in programme.wallets:
            yield Fault(rule.id, "wallet", f"this programme has no wallet {rule.wallet!r}")
        elif rule.wallet not in gaining:
            yield Fault(rule.id, "wallet", f"it can never fire: the wallet {rule.wallet!r} has no base rule")
    if not gaining:
        yield Fault("", "rules", "no wallet has a base rule: nothing would ever earn")
    for name, _ in programme.ladder.metric:
        if name.startswith(POINTS) and (wallet := name.removeprefix(POINTS)) not in gaining:
            problem = f"tiers go by {wallet!r}, which has no base rule; one of 0 points says that this is meant"
            yield Fault("", "rules", problem)


def _bases(rules: Iterable[Rule], effective_from: datetime | None) -> Iterator[Fault]:
    """The base rules of a wallet follow each other without a gap, and without two at a time."""
    by_wallet: dict[str, list[Base]] = {}
    for rule in rules:
        if isinstance(rule, Base):
            by_wallet.setdefault(rule.wallet, []).append(rule)
    for bases in by_wallet.values():
        bases.sort(key=lambda base: (base.span.begins is not None, base.span.begins))
        first, last = bases[0], bases[-1]
        if effective_from is not None and first.span.begins is not None and first.span.begins > effective_from:
            yield Fault(first.id, "from", "a gap in time: no base rule of the wallet applies before it begins")
        for one, next_ in pairwise(bases):
            if one.span.ends is None or next_.span.begins is None or next_.span.begins < one.span.ends:
                yield Fault(next_.id, "from", f"it overlaps with {one.id!r}, another base rule of the wallet")
            elif next_.span.begins > one.span.ends:
                yield Fault(next_.id, "from", f"a gap in time after {one.id!r}: no base rule of the wallet applies")
        if last.span.ends is not None:
            yield Fault(last.id, "until", "a gap in time: no base rule of the wallet applies after it ends")


def _groups(rules: Iterable[Rule]) -> Iterator[Fault]:
    """The rules of an exclusive group can be told apart, and each has its turn."""
    groups: dict[str, list[Multiplier | Bonus]] = {}
    for rule in rules:
        if isinstance(rule, Multiplier | Bonus) and rule.group is not None:
            groups.setdefault(rule.group, []).append(rule)
    for name, members in groups.items():
        first = members[0]
        for rule in members[1:]:
            if _kind(rule) != _kind(first):
                yield Fault(rule.id, "group", f"the group {name!r} holds rules of one kind and wallet")
        for number, rule in enumerate(members):
            for other in members[:number]:
                if rule.priority == other.priority and _meet(rule.span, other.span):
                    yield Fault(rule.id, "priority", f"{other.id!r} of the same group has the same priority")
            for other in members:
                if other.priority > rule.priority and _is_unconditional(other) and _covers(other.span, rule.span):
                    yield Fault(rule.id, "priority", f"it can never fire: {other.id!r} of its group always goes first")


def _cost(rules: Iterable[Rule]) -> Iterator[Fault]:
    """The conditions can be evaluated in time, for the largest order."""
    spent = 0
    for rule in rules:
        when = getattr(rule, "when", None)
        condition = None if when is None else _compiled(when)
        if condition is None:
            continue
        spent += condition.cost
        if spent > MOST_COST:
            yield Fault(
                rule.id, "when", f"the conditions up to this one may take {spent} steps; {MOST_COST} are allowed"
            )
            return


def _compiled(text: str) -> Condition | None:
    """The condition, if it is one."""
    try:
        return compiled(text)
    except Invalid:
        return None


def _kind(rule: Multiplier | Bonus) -> tuple[Any, ...]:
    return (type(rule), rule.wallet, getattr(rule, "per", None))


def _is_unconditional(rule: Multiplier | Bonus | Exclusion) -> bool:
    if rule.when is None:
        return True
    condition = _compiled(rule.when)
    return condition is not None and is_always(condition, answer=True)


def _meet(one: Span, other: Span) -> bool:
    """Whether both apply at some moment."""
    begins = max((at for at in (one.begins, other.begins) if at is not None), default=None)
    ends = min((at for at in (one.ends, other.ends) if at is not None), default=None)
    return begins is None or ends is None or begins < ends


def _covers(outer: Span, inner: Span) -> bool:
    """Whether one applies whenever the other does."""
    begins_no_later = outer.begins is None or (inner.begins is not None and outer.begins <= inner.begins)
    ends_no_earlier = outer.ends is None or (inner.ends is not None and inner.ends <= outer.ends)
    return begins_no_later and ends_no_earlier
