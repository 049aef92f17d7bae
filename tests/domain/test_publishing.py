"""From a draft to a version: once, in order, some minutes ahead, and chained to the one before."""

from datetime import datetime, timedelta

import pytest

from loyalty.domain.members import GENESIS
from loyalty.domain.programme import CLOCK_TOLERANCE, Programme
from loyalty.domain.publishing import (
    NOTICE,
    TO_ASK_AGAIN,
    Drafted,
    RulesId,
    Version,
    check_sound,
    ends,
    next_version,
    rule_set,
    sealed,
)
from loyalty.domain.refusals import RulesPublished, RulesTooMany, RulesTooSoon, RulesUnsound
from loyalty.domain.rules import MOST_VERSIONS, Base, Multiplier, Rule, RuleSet, Span
from tests.makers import a_programme, at

NOW = at("2026-05-05")
BASE = Base("base", "points", 1, 100)


def a_draft_of(*rules: Rule, number: int = 1, note: str | None = None) -> Drafted:
    return Drafted(RulesId(f"{number:032x}"), rules or (BASE,), note, NOW, "marketing")


def published(
    *earlier: Version,
    drafted: Drafted | None = None,
    since: datetime = NOW + NOTICE,
    programme: Programme | None = None,
) -> Version:
    return next_version(
        programme or a_programme(),
        earlier,
        drafted or a_draft_of(number=len(earlier) + 1),
        effective_from=since,
        at=NOW,
        by="marketing",
    )


def test_versions_are_numbered_as_they_are_published_whenever_they_take_effect() -> None:
    later = NOW + timedelta(days=30)
    first = published(since=later)
    assert first[:5] == (1, RulesId(f"{1:032x}"), later, NOW, "marketing")
    before = published(first, since=NOW + timedelta(days=1))
    instead = published(first, before, since=later)
    assert (before.version, instead.version) == (2, 3)
    assert ends([first]) == {}
    assert ends([first, before]) == {before.draft_id: later}
    assert ends([first, before, instead]) == {before.draft_id: later, first.draft_id: later}, "the first never holds"


def test_a_live_programme_is_told_ahead_and_an_imported_one_need_not_be() -> None:
    assert NOTICE > CLOCK_TOLERANCE
    with pytest.raises(RulesTooSoon) as caught:
        published(since=NOW + NOTICE - timedelta(microseconds=1))
    assert caught.value.facts == {"earliest": NOW + NOTICE + TO_ASK_AGAIN}
    still = a_programme(fixed_now=NOW)
    assert published(since=at("2020-01-01"), programme=still).version == 1
    first = published(programme=still, since=at("2020-01-01"))
    for since in (at("2019-01-01"), first.effective_from):
        with pytest.raises(RulesTooSoon) as caught:
            published(first, since=since, programme=still)
        assert caught.value.facts == {"earliest": first.effective_from + timedelta(microseconds=1)}
    assert published(first, since=first.effective_from + timedelta(microseconds=1), programme=still).version == 2


def test_a_draft_is_published_once() -> None:
    first = published()
    with pytest.raises(RulesPublished):
        published(first, drafted=a_draft_of(number=1), since=NOW + 2 * NOTICE)


def test_a_programme_publishes_so_many_versions() -> None:
    earlier = [published()._replace(version=number) for number in range(1, MOST_VERSIONS)]
    assert published(*earlier, since=NOW + 2 * NOTICE).version == MOST_VERSIONS
    with pytest.raises(RulesTooMany) as caught:
        published(*earlier, earlier[-1], since=NOW + 2 * NOTICE)
    assert caught.value.facts == {"maximum": MOST_VERSIONS}


def test_faults_are_told_whole_and_looked_for_again_when_it_is_known_from_when() -> None:
    late = a_draft_of(BASE._replace(span=Span(NOW + 9 * NOTICE, None)))
    check_sound(a_programme(), late.rules)
    with pytest.raises(RulesUnsound) as caught:
        published(drafted=late)
    assert caught.value.facts["faults"] == [
        {
            "rule": "base",
            "field": "from",
            "problem": "a gap in time: no base rule of the wallet applies before it begins",
        }
    ]
    with pytest.raises(RulesUnsound) as caught:
        check_sound(a_programme(), [BASE, Multiplier("m", "points", 200, "line.colour == 'x'")])
    assert caught.value.detail.startswith("m: undeclared reference to 'line.colour'")
    assert caught.value.facts["faults"][0]["position"] == 5
    with pytest.raises(RulesUnsound) as caught:
        check_sound(a_programme(), [])
    assert caught.value.detail == "The rules: no wallet has a base rule: nothing would ever earn."


def test_a_version_is_chained_to_the_one_before_and_to_its_draft() -> None:
    first = published()
    second = published(first, since=NOW + 2 * NOTICE)
    assert first == sealed(1, first, a_draft_of(number=1), head=GENESIS)
    assert second == sealed(1, second, a_draft_of(number=2), head=first.hash)
    changed = [
        sealed(2, first, a_draft_of(number=1), head=GENESIS),
        sealed(1, first._replace(effective_from=NOW), a_draft_of(number=1), head=GENESIS),
        sealed(1, first, a_draft_of(number=1, note="x"), head=GENESIS),
        sealed(1, first, a_draft_of(BASE._replace(points=2), number=1), head=GENESIS),
        sealed(1, first, a_draft_of(number=1), head=second.hash),
    ]
    assert len({first.hash, *(one.hash for one in changed)}) == 1 + len(changed)
    assert rule_set(first, (BASE,)) == RuleSet(first.draft_id, 1, first.effective_from, (BASE,))
