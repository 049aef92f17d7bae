"""Channels and their drift, by themselves: secrets that end, one name once, and what is open between two copies."""

from datetime import datetime
from typing import Any

import pytest

from loyalty.domain.channels import CHANNELS, Channel, ChannelSettings
from loyalty.domain.drift import DIFFERENCES, Difference, Figures, Verdict
from loyalty.domain.events import Event, EventType
from loyalty.domain.ids import MemberId, bucket_of
from loyalty.operations.compare import Compare, Compared
from loyalty.operations.connect import ChangeChannel, Connect, RotateSecret
from tests.makers import Desk, a_member_id, accepted, at, code_of

NOBODY = a_member_id(99)
SETTINGS = ChannelSettings("ours", "points", 1, phones_verified=False)


def connects(desk: Desk, when: str = "2026-01-01", **changes: Any) -> Channel:
    command = Connect("tmall", "tmall", SETTINGS._replace(**changes), b"first", "admin", NOBODY)
    said: Channel = accepted(desk.does(command, at(when))).said
    return said


def rotates(desk: Desk, secret: bytes, when: str, until: str | None = None) -> Channel:
    command = RotateSecret("tmall", secret, None if until is None else at(until), NOBODY)
    said: Channel = accepted(desk.does(command, at(when))).said
    return said


def test_a_channel_is_connected_once() -> None:
    desk = Desk()
    channel = connects(desk)
    now = at("2026-01-01")
    assert channel == Channel("tmall", "tmall", SETTINGS, b"first", now, None, None, now, "admin")
    assert desk.state.get(CHANNELS, "tmall") == channel
    again = Connect("tmall", "douyin", SETTINGS, b"other", "admin", NOBODY)
    assert code_of(desk.does(again, now)) == "channel_connected"
    assert desk.state.get(CHANNELS, "tmall") == channel


@pytest.mark.parametrize("verb", ["connect", "change"])
def test_a_channel_moves_points_of_a_wallet_that_there_is(verb: str) -> None:
    desk = Desk()
    if verb == "connect":
        command: Any = Connect("tmall", "tmall", SETTINGS._replace(wallet="coins"), b"s", "admin", NOBODY)
    else:
        connects(desk)
        command = ChangeChannel("tmall", {"wallet": "coins"}, NOBODY)
    assert code_of(desk.does(command, at("2026-01-02"))) == "unknown_wallet"


def test_what_is_not_named_of_the_settings_stays() -> None:
    desk = Desk()
    before = connects(desk, phones_verified=True)
    after = accepted(desk.does(ChangeChannel("tmall", {"points_per_unit": 10}, NOBODY), at("2026-01-02"))).said
    assert after == before._replace(settings=before.settings._replace(points_per_unit=10))


@pytest.mark.parametrize("command", [ChangeChannel("jd", {}, NOBODY), RotateSecret("jd", b"s", None, NOBODY)])
def test_what_is_not_connected_is_not_found(command: Any) -> None:
    assert code_of(Desk().does(command, at("2026-01-01"))) == "channel_not_found"


def test_a_former_secret_is_good_until_it_was_told_to_end_and_never_after() -> None:
    desk = Desk()
    assert connects(desk).secrets_at(at("2026-01-02")) == (b"first",)
    second = rotates(desk, b"second", "2026-02-01", until="2026-02-02")
    assert second.secret_since == at("2026-02-01")
    last_instant = datetime.fromisoformat("2026-02-01T23:59:59.999999+00:00")
    assert second.secrets_at(last_instant) == (b"second", b"first")
    assert second.secrets_at(at("2026-02-02")) == (b"second",)
    third = rotates(desk, b"third", "2026-02-01")
    assert (third.former_secret, third.former_until) == (None, None)
    assert third.secrets_at(at("2026-02-01")) == (b"third",)


# --- drift -------------------------------------------------------------------------------------------------------


def compares(
    desk: Desk, channel: Channel, who: MemberId, shown: int, ours: int, as_of: str, *, when: str = "2026-03-01"
) -> Compared:
    figures = Figures(ours, "member")
    command = Compare(who, channel, Figures(shown, None), figures, figures, at(as_of))
    said: Compared = accepted(desk.does(command, at(when))).said
    return said


def kept(desk: Desk) -> list[Difference]:
    return [difference for _, difference in desk.state.own(DIFFERENCES)]


def told(desk: Desk) -> list[Event]:
    events = (fact for fact in desk.state.facts if isinstance(fact, Event))
    return [event for event in events if event.type == EventType.BALANCE_DIFFERS]


def test_a_difference_is_told_under_its_own_id_after_the_members_newest_entry() -> None:
    desk = Desk()
    anna, channel = desk.enrols(), connects(desk)
    desk.gives(anna, 50, "2026-02-01")
    said = compares(desk, channel, anna, 70, 50, "2026-02-15")
    [found] = kept(desk)
    assert said == Compared(anna, Figures(70, None), Figures(50, "member"), Verdict.DIFFERS, found)
    assert bucket_of(found.id) == bucket_of(anna)
    assert found == Difference(
        id=found.id,
        channel="tmall",
        member_id=anna,
        points_master="ours",
        shown=Figures(70, None),
        ours=Figures(50, "member"),
        as_of=at("2026-02-15"),
        found_at=at("2026-03-01"),
        status="open",
        ended_at=None,
    )
    assert told(desk) == [Event(found.id, anna, 1, "channel.balance_differs", at("2026-03-01"))]


def test_a_channel_that_is_the_points_master_is_told_nothing() -> None:
    desk = Desk()
    anna, channel = desk.enrols(), connects(desk, points_master="channel")
    compares(desk, channel, anna, 70, 50, "2026-02-15")
    assert [one.points_master for one in kept(desk)] == ["channel"]
    assert told(desk) == []


def test_a_copy_that_agrees_settles_and_one_that_differs_replaces() -> None:
    desk = Desk()
    anna, channel = desk.enrols(), connects(desk)
    compares(desk, channel, anna, 70, 50, "2026-02-01", when="2026-03-01")
    compares(desk, channel, anna, 71, 50, "2026-02-02", when="2026-03-02")
    said = compares(desk, channel, anna, 50, 50, "2026-02-02", when="2026-03-03")
    assert (said.verdict, said.difference) == (Verdict.AGREES, None)
    assert [(one.shown.points, one.status, one.ended_at) for one in kept(desk)] == [
        (70, "replaced", at("2026-03-02")),
        (71, "settled", at("2026-03-03")),
    ]
    assert len(told(desk)) == 2
    compares(desk, channel, anna, 50, 50, "2026-02-04", when="2026-03-04")
    assert [one.ended_at for one in kept(desk)] == [at("2026-03-02"), at("2026-03-03")], "it ends once"


def test_an_earlier_copy_ends_nothing_that_a_later_one_found() -> None:
    desk = Desk()
    anna, channel = desk.enrols(), connects(desk)
    later = compares(desk, channel, anna, 70, 50, "2026-02-02").difference
    assert compares(desk, channel, anna, 60, 50, "2026-02-01").difference == later
    compares(desk, channel, anna, 50, 50, "2026-02-01")
    assert kept(desk) == [later]
    assert len(told(desk)) == 1
    same = compares(desk, channel, anna, 71, 50, "2026-02-02").difference
    assert [one.status for one in kept(desk)] == ["replaced", "open"], "of the same moment, the last that came counts"
    assert same == kept(desk)[1]


def test_what_is_open_is_each_members_and_each_channels_own() -> None:
    desk = Desk()
    anna, ben = desk.enrols(), desk.enrols()
    tmall = connects(desk)
    for who, channel in ((anna, tmall), (ben, tmall), (anna, tmall._replace(name="jd"))):
        compares(desk, channel, who, 70, 50, "2026-02-01")
    assert [one.status for one in kept(desk)] == ["open"] * 3


def test_a_copy_of_nobody_or_of_tomorrow_is_refused() -> None:
    desk = Desk()
    anna, channel = desk.enrols(), connects(desk)
    figures = Figures(1, None)
    for who, as_of, code in ((NOBODY, "2026-02-01", "member_not_found"), (anna, "2027-01-01", "occurred_at_in_future")):
        command = Compare(who, channel, figures, figures, figures, at(as_of))
        assert code_of(desk.does(command, at("2026-03-01"))) == code
    assert kept(desk) == []
