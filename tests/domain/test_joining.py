"""Joining and leaving on a channel: as whoever is known by what the channel vouches for, else as somebody new."""

from typing import Any

from loyalty.domain.identities import IDENTITIES, IDENTITIES_OF, Identity
from loyalty.domain.ids import MemberId
from loyalty.operations.enrol import Enrol
from loyalty.operations.join import Join, Leave
from tests.makers import Desk, a_member_id, accepted, at, code_of, day, enrolling, refused

OPEN_ID = Identity("douyin", "open_id", b"o-1")
OPEN_ID2 = Identity("douyin", "open_id", b"o-2")
SEALED = Identity("douyin", "mobile", b"m-1")
PHONE = Identity("phone", "phone", b"p-1")
WECHAT = Identity("wechat", "openid", b"w-1")
SOMEBODY_NEW = a_member_id(50)


def card(number: int) -> Identity:
    return Identity("programme", "number", str(number).encode())


def joining(*identities: Identity, proven: bool = False, **more: Any) -> Enrol:
    enrol = enrolling(SOMEBODY_NEW, **more)
    return enrol._replace(identities=(card(50), *identities), phone_proven=proven)


def known(desk: Desk, who: MemberId) -> set[Identity]:
    theirs = desk.state.get(IDENTITIES_OF, who)
    return set(theirs or ())


def test_whoever_nobody_knows_is_new_and_stays_new_however_often_it_is_told() -> None:
    desk = Desk()
    said = accepted(desk.does(Join(joining(OPEN_ID, SEALED), OPEN_ID), at("2026-01-01")))
    assert (said.member_id, said.said.is_new) == (SOMEBODY_NEW, True)
    again = joining(OPEN_ID)._replace(member_id=a_member_id(51), identities=(card(51), OPEN_ID))
    told = accepted(desk.does(Join(again, OPEN_ID, SOMEBODY_NEW, OPEN_ID), at("2026-01-02")))
    assert (told.member_id, told.said.is_new) == (SOMEBODY_NEW, True)
    assert known(desk, SOMEBODY_NEW) == {card(50), OPEN_ID, SEALED}


def test_a_proven_phone_leads_to_its_member_who_is_not_new() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(card(1), PHONE), phone_proven=True)
    asked = Join(joining(OPEN_ID, PHONE, proven=True), OPEN_ID, anna, PHONE)
    said = accepted(desk.does(asked, at("2026-02-01")))
    assert (said.member_id, said.said.is_new) == (anna, False)
    told = accepted(desk.does(Join(joining(OPEN_ID), OPEN_ID, anna, OPEN_ID), at("2026-02-02")))
    assert told.said.is_new is False
    assert known(desk, anna) == {card(1), PHONE, OPEN_ID}


def test_a_phone_that_was_only_typed_leads_to_nobody_and_takes_nothing() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(card(1), PHONE), phone_proven=True)
    said = accepted(desk.does(Join(joining(OPEN_ID, PHONE), OPEN_ID), at("2026-02-01")))
    assert said.said.is_new
    assert known(desk, SOMEBODY_NEW) == {card(50), OPEN_ID}
    assert PHONE in known(desk, anna)


def test_a_phone_that_was_only_typed_is_kept_where_it_is_nobodys() -> None:
    desk = Desk()
    accepted(desk.does(Join(joining(OPEN_ID, PHONE), OPEN_ID), at("2026-02-01")))
    binding = desk.state.get(IDENTITIES, PHONE)
    assert binding is not None
    assert (binding.member_id, binding.proven) == (SOMEBODY_NEW, False)


def test_a_proven_phone_that_was_bound_meanwhile_is_found_anew() -> None:
    desk = Desk()
    desk.enrols(identities=(card(1), PHONE), phone_proven=True)
    asked = Join(joining(OPEN_ID, PHONE, proven=True), OPEN_ID)
    assert code_of(desk.does(asked, at("2026-02-01"))) == "identity_taken"


def test_what_led_to_somebody_must_still_be_theirs() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(card(1), OPEN_ID))
    ben = desk.enrols(identities=(card(2),))
    refusal = refused(desk.does(Join(joining(OPEN_ID), OPEN_ID, ben, OPEN_ID), at("2026-02-01")))
    assert refusal.code == "identity_taken"
    assert refusal.facts == {"channel": "douyin", "identity_type": "open_id"}
    assert OPEN_ID in known(desk, anna)


def test_what_else_the_channel_knows_is_bound_where_nothing_speaks_against_it() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(card(1), OPEN_ID))
    desk.enrols(identities=(card(2), SEALED))
    asked = joining(OPEN_ID, SEALED, WECHAT, PHONE, proven=True)
    accepted(desk.does(Join(asked, OPEN_ID, anna, OPEN_ID), at("2026-02-01")))
    assert known(desk, anna) == {card(1), OPEN_ID, WECHAT, PHONE}
    other = joining(OPEN_ID, Identity("wechat", "openid", b"w-2"))
    accepted(desk.does(Join(other, OPEN_ID, anna, OPEN_ID), at("2026-02-02")))
    assert known(desk, anna) == {card(1), OPEN_ID, WECHAT, PHONE}


def test_a_second_open_id_of_a_member_is_refused() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(card(1), PHONE, OPEN_ID), phone_proven=True)
    asked = Join(joining(OPEN_ID2, PHONE, proven=True), OPEN_ID2, anna, PHONE)
    assert code_of(desk.does(asked, at("2026-02-01"))) == "identity_conflict"


def test_nobody_under_age_joins() -> None:
    desk = Desk()
    asked = Join(joining(OPEN_ID, birthday=day("2020-01-01")), OPEN_ID)
    assert code_of(desk.does(asked, at("2026-02-01"))) == "under_age"


def test_who_leaves_is_unknown_to_that_channel_alone() -> None:
    desk = Desk()
    anna = desk.enrols(identities=(card(1), OPEN_ID, SEALED, WECHAT))
    desk.gives(anna, 40, "2026-01-02")
    for when in ("2026-02-01", "2026-02-02"):
        assert accepted(desk.does(Leave(anna, "douyin"), at(when))).said.id == anna
    assert known(desk, anna) == {card(1), WECHAT}
    assert desk.balance(anna).available == 40
    assert code_of(desk.does(Leave(a_member_id(77), "douyin"), at("2026-02-01"))) == "member_not_found"
