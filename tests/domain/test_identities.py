"""Identities: each is one member's at a time, of each kind a member has one, and what is unbound is free again."""

from typing import Any

import pytest

from loyalty.domain.events import Event, EventType
from loyalty.domain.identities import IDENTITIES, MOST_OF_A_MEMBER, Binding, Identity
from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.persons import Consent
from loyalty.operations.enrol import Enrolled, Rejoin
from loyalty.operations.identify import Bind, Bound, Unbind
from tests.makers import Desk, a_member_id, a_programme, accepted, at, code_of, day, enrolling, refused

OPENID = Identity("wechat", "openid", b"o-1")
OPENID2 = Identity("wechat", "openid", b"o-22")
OUID = Identity("tmall", "ouid", b"t-1")
PHONE = Identity("phone", "phone", b"p-1")
CARD = Identity("programme", "number", b"6001")


def told(desk: Desk) -> list[str]:
    """The types of the events, enrolments left out."""
    events = [fact for fact in desk.state.facts if isinstance(fact, Event)]
    return [event.type for event in events if event.type != EventType.ENROLLED]


def holder(desk: Desk, identity: Identity) -> str | None:
    binding = desk.state.get(IDENTITIES, identity)
    return None if binding is None else binding.member_id


def test_a_member_is_known_by_what_is_bound() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(CARD,))
    said = accepted(desk.does(Bind(anna, OPENID), at("2026-02-01"))).said
    assert said == Bound(OPENID, Binding(anna, at("2026-02-01"), proven=True))
    assert (holder(desk, OPENID), holder(desk, CARD)) == (anna, anna)
    assert told(desk) == ["member.identity_bound"]


def test_what_is_bound_already_is_answered_as_it_is_and_nobody_is_told_again() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(OPENID,))
    said = accepted(desk.does(Bind(anna, OPENID), at("2026-02-01"))).said
    assert said.binding.since == at("2026-01-01")
    assert told(desk) == []


def test_what_is_somebody_else_s_is_refused_until_it_is_unbound() -> None:
    desk = Desk()
    anna, ben = desk.enrols(identities=(OPENID,)), desk.enrols()
    answer = desk.does(Bind(ben, OPENID), at("2026-02-01"))
    assert code_of(answer) == "identity_taken"
    assert refused(answer).facts == {"channel": "wechat", "identity_type": "openid"}
    said = accepted(desk.does(Unbind(anna, OPENID), at("2026-02-02"))).said
    assert said == Bound(OPENID, Binding(anna, at("2026-01-01"), proven=True)), "how it was bound"
    assert holder(desk, OPENID) is None
    accepted(desk.does(Bind(ben, OPENID), at("2026-02-03")))
    assert holder(desk, OPENID) == ben
    assert told(desk) == ["member.identity_unbound", "member.identity_bound"]


def test_somebody_may_join_with_what_was_unbound() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(OPENID,))
    accepted(desk.does(Unbind(anna, OPENID), at("2026-02-02")))
    accepted(desk.does(enrolling(a_member_id(9), identities=(OPENID,)), at("2026-02-03")))
    assert holder(desk, OPENID) == a_member_id(9)


def test_of_each_channel_and_type_a_member_has_one() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(CARD, OPENID))
    other = Identity("wechat", "openid", b"o-2")
    answer = desk.does(Bind(anna, other), at("2026-02-01"))
    assert code_of(answer) == "identity_conflict"
    assert refused(answer).facts == {"channel": "wechat", "identity_type": "openid"}
    accepted(desk.does(Bind(anna, Identity("wechat", "unionid", b"o-2")), at("2026-02-01")))
    accepted(desk.does(Unbind(anna, OPENID), at("2026-02-01")))
    accepted(desk.does(Bind(anna, other), at("2026-02-01")))
    both = enrolling(a_member_id(9), identities=(OUID, Identity("tmall", "ouid", b"t-2")))
    assert code_of(desk.does(both, at("2026-02-01"))) == "identity_conflict"
    assert holder(desk, OUID) is None, "who is refused leaves nothing bound"


def test_a_member_has_a_bounded_number_of_them() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(CARD,))
    for number in range(MOST_OF_A_MEMBER - 1):
        accepted(desk.does(Bind(anna, Identity(f"shop-{number}", "id", b"x")), at("2026-02-01")))
    answer = desk.does(Bind(anna, OPENID), at("2026-02-01"))
    assert (code_of(answer), refused(answer).facts) == ("identity_conflict", {"maximum": MOST_OF_A_MEMBER})


def test_only_who_is_known_by_it_can_be_unbound_from_it() -> None:
    desk = Desk()
    anna, ben = desk.enrols(identities=(OPENID,)), desk.enrols()
    assert code_of(desk.does(Unbind(ben, OPENID), at("2026-02-01"))) == "identity_not_found"
    assert code_of(desk.does(Unbind(ben, OUID), at("2026-02-01"))) == "identity_not_found"
    assert code_of(desk.does(Unbind(a_member_id(9), OPENID), at("2026-02-01"))) == "member_not_found"
    accepted(desk.does(Unbind(anna, OPENID), at("2026-02-01")))
    assert code_of(desk.does(Unbind(anna, OPENID), at("2026-02-01"))) == "identity_not_found"


def test_a_card_number_stays() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(CARD,))
    assert code_of(desk.does(Unbind(anna, CARD), at("2026-02-01"))) == "card_number_stays"
    assert holder(desk, CARD) == anna


def test_a_phone_joins_a_member_only_when_it_is_verified() -> None:
    desk = Desk()
    anna = desk.enrols()
    assert code_of(desk.does(Bind(anna, PHONE, verified=False), at("2026-02-01"))) == "phone_not_verified"
    accepted(desk.does(Bind(anna, PHONE), at("2026-02-01")))
    accepted(desk.does(Bind(anna, OPENID, verified=False), at("2026-02-01")))


def test_who_has_left_binds_nothing_more_and_may_be_forgotten_by_a_channel() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(CARD, OPENID))
    accepted(desk.closes(anna, "2026-02-01"))
    assert code_of(desk.does(Bind(anna, OUID), at("2026-02-02"))) == "member_closed"
    assert (holder(desk, OPENID), holder(desk, CARD)) == (None, anna), "what was theirs may join anew, but for the card"
    accepted(desk.does(enrolling(a_member_id(9), identities=(OPENID,)), at("2026-02-02")))


SOMEBODY_NEW = a_member_id(77)
NEW_CARD = Identity("programme", "number", b"77")


def rejoining(member_id: MemberId, *identities: Identity, **more: Any) -> Rejoin:
    given: dict[str, Any] = {"given": frozenset({"phone"}), **more}
    asked = enrolling(SOMEBODY_NEW, identities=(NEW_CARD, PHONE, *identities), phone_proven=True, **given)
    return Rejoin(member_id, PHONE, asked)


def test_who_joins_on_another_channel_with_a_phone_that_is_theirs_is_the_same_member() -> None:
    desk = Desk(a_programme(enrolment_requires=frozenset({"phone"})))
    anna = desk.enrols(identities=(CARD, PHONE), given=frozenset({"phone"}))
    joined = desk.does(rejoining(anna, OPENID, OUID, consents=(("news", "v1"),)), at("2026-02-01"))
    assert accepted(joined).said == Enrolled(desk.member(anna), is_new=False)
    assert holder(desk, OPENID) == holder(desk, OUID) == anna
    assert told(desk) == ["member.identity_bound"] * 2
    [consent] = [fact for fact in desk.state.facts if isinstance(fact, Consent)]
    assert (consent.member_id, consent.purpose, consent.text_version) == (anna, "news", "v1")
    accepted(desk.does(rejoining(anna, OPENID), at("2026-02-02")))
    assert told(desk) == ["member.identity_bound"] * 2, "what is theirs is not bound again"


def test_a_phone_that_was_only_typed_leaves_whoever_is_known_on_a_channel() -> None:
    """They may have typed somebody else's, to be handed what that person earns."""
    desk = Desk()
    anna = desk.enrols(identities=(CARD, PHONE, OPENID))
    desk.gives(anna, 10, "2026-01-05")
    joined = accepted(desk.does(rejoining(anna, OUID), at("2026-02-01")))
    assert joined.said == Enrolled(desk.member(SOMEBODY_NEW), is_new=True)
    assert [holder(desk, one) for one in (PHONE, OUID, NEW_CARD)] == [SOMEBODY_NEW] * 3
    assert [holder(desk, one) for one in (CARD, OPENID)] == [anna] * 2
    assert desk.balance(anna) == (0, 10, 0, 0), "the points stay"
    assert "member.identity_unbound" in told(desk)
    accepted(desk.does(rejoining(SOMEBODY_NEW, OPENID2), at("2026-02-02")))  # proven now: it is theirs on every channel
    assert holder(desk, OPENID2) == SOMEBODY_NEW


def test_a_phone_that_was_typed_at_a_till_joins_once_it_is_proven() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(CARD, PHONE))
    assert accepted(desk.does(rejoining(anna, OPENID), at("2026-02-01"))).said.is_new is False
    assert accepted(desk.does(rejoining(anna, OUID), at("2026-02-02"))).said.is_new is False
    assert holder(desk, OUID) == anna


@pytest.mark.parametrize(
    ("bought", "joins", "is_new"),
    [
        (None, "2026-12-31", False),
        (None, "2027-01-02", True),
        ("2026-06-20", "2027-06-20", False),
        ("2026-06-20", "2027-07-02", True),
    ],
)
def test_the_phone_of_somebody_who_was_away_for_long_joins_with_a_second_factor_only(
    bought: str | None, joins: str, is_new: bool
) -> None:
    """It may have found another owner: the points stay where they are, and the desk decides."""
    for second_factor in (False, True):
        desk = Desk()
        anna = desk.enrols("2026-01-01", identities=(CARD, PHONE), phone_proven=True)
        if bought is not None:
            desk.buys(anna, 10_00, bought)
        asked = rejoining(anna, OPENID, second_factor=second_factor)
        joined = accepted(desk.does(asked, at(joins)))
        assert joined.said.is_new is (is_new and not second_factor)
        assert holder(desk, PHONE) == (SOMEBODY_NEW if joined.said.is_new else anna)


def test_joining_by_a_phone_asks_for_what_joining_asks_for() -> None:
    desk = Desk(a_programme(enrolment_requires=frozenset({"phone", "name"}), minimum_age=14))
    anna = desk.enrols(identities=(PHONE,), given=frozenset({"phone", "name"}))
    assert code_of(desk.does(rejoining(anna, OPENID), at("2026-02-01"))) == "field_required"
    young = rejoining(anna, OPENID, given=frozenset({"phone", "name"}), birthday=day("2020-01-01"))
    assert code_of(desk.does(young, at("2026-02-01"))) == "under_age"
    assert holder(desk, OPENID) is None


def test_a_phone_that_has_changed_hands_meanwhile_joins_nobody() -> None:
    desk = Desk()
    anna, ben = desk.enrols(identities=(PHONE,)), desk.enrols()
    accepted(desk.does(Unbind(anna, PHONE), at("2026-02-01")))
    assert code_of(desk.does(rejoining(anna, OPENID), at("2026-02-01"))) == "identity_taken"
    accepted(desk.does(Bind(ben, PHONE), at("2026-02-01")))
    assert code_of(desk.does(rejoining(anna, OPENID), at("2026-02-01"))) == "identity_taken"
    assert holder(desk, OPENID) is None


def test_who_joins_by_a_phone_takes_nothing_that_is_somebody_else_s() -> None:
    desk = Desk()
    channel = Identity("wechat", "openid", b"o-2")
    anna, _ = desk.enrols(identities=(PHONE, channel), phone_proven=True), desk.enrols(identities=(OUID,))
    assert code_of(desk.does(rejoining(anna, OUID), at("2026-02-01"))) == "identity_taken"
    assert code_of(desk.does(rejoining(anna, OPENID), at("2026-02-01"))) == "identity_conflict"


@pytest.mark.parametrize("other", [OUID, Identity("wechat", "openid", b"o-2"), Identity("wechat", "open", b"ido-1")])
def test_its_id_names_it_alone_says_where_it_lies_and_gives_nothing_away(other: Identity) -> None:
    assert len(OPENID.id) == 32
    assert bucket_of(OPENID.id) == OPENID.bucket
    assert OPENID.id == Identity("wechat", "openid", b"o-1").id
    assert other.id != OPENID.id
