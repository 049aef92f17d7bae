"""An unknown channel, a forged or stale signature, a malformed message: a clear answer, and nothing but a log line."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx2
import orjson
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.channels.inbound import MAX_MESSAGE_BYTES
from loyalty.operations.lanes import Overloaded
from tests.api.conftest import Shop, accepted, contents, refused
from tests.channels.conftest import SECRET, Douyin, Tmall, a_change, ago, connects, known_by

Told = list[dict[str, Any]]


@pytest.fixture
def told() -> Any:
    """What the log was told while the test ran."""
    with structlog.testing.capture_logs() as events:
        yield events


def lines(told: Told) -> Told:
    return [event for event in told if event["event"] == "channel_message"]


async def test_an_unknown_channel_is_a_clear_answer(
    shop: Shop, http: httpx2.AsyncClient, tmall: Tmall, told: Told
) -> None:
    code = shop.programme.code
    for path in (
        f"/v1/inbound/{code}/nowhere/",
        "/v1/inbound/nobody/tmall/",
        f"/v1/inbound/{code}/%00/",
        f"/v1/inbound/{'x' * 200}/tmall/",
        f"/v1/inbound/{code}/Tmall/",
        "/v1/inbound/%00/tmall/",
    ):
        answer = await Tmall(http, path).posts("points", a_change(1))
        refused(answer, 404, "channel_not_found")
    assert [line["outcome"] for line in lines(told)] == ["unknown_channel"] * 6


async def test_a_channel_of_another_programme_is_not_ours(a_shop: Any, shop: Shop, tmall: Tmall) -> None:
    other = await a_shop()
    answer = await Tmall(tmall.http, tmall.path.replace(shop.programme.code, other.programme.code)).changes(1)
    refused(answer, 404, "channel_not_found")


FORGED: dict[str, Callable[[Tmall], Any]] = {
    "another secret": lambda tmall: tmall.posts("points", a_change(1), secret="something else, and as long"),
    "another body": lambda tmall: tmall.posts(
        "points", a_change(1), then=lambda body: body.replace(b'"t-1"', b'"t-2"')
    ),
    "another query": lambda tmall: tmall.http.post(f"{tmall.path}points?timestamp=2026-01-01 00:00:00&sign=AA"),
    "no ASCII": lambda tmall: tmall.http.post(f"{tmall.path}points?timestamp=2026-01-01 00:00:00&sign=%C3%A9"),
    "too old": lambda tmall: tmall.posts("points", a_change(1), at=ago(minutes=6)),
    "too new": lambda tmall: tmall.posts("points", a_change(1), at=ago(minutes=-6)),
}


@pytest.mark.parametrize("forged", FORGED)
async def test_a_forged_or_stale_signature_changes_nothing(
    shop: Shop, tmall: Tmall, owner: AsyncEngine, told: Told, forged: str
) -> None:
    member = await shop.enrols(identities=[known_by("t-1")["identity"]])
    before = await contents(owner, shop)
    answer = await FORGED[forged](tmall)
    assert (answer.status_code, answer.json()["result"], answer.json()["error_code"]) == (503, 1, "E04")
    assert await contents(owner, shop) == before
    assert await shop.figures(member) == (0, 0)
    code = "signature_stale" if forged.startswith("too") else "signature_invalid"
    [line] = lines(told)
    assert (line["outcome"], line["code"], line["record"], line["message"]) == ("retry", code, None, None)


async def test_a_signature_of_five_minutes_ago_is_still_good(shop: Shop, tmall: Tmall) -> None:
    answer = await tmall.posts("points", a_change(1), at=ago(minutes=4, seconds=50))
    assert answer.json()["result"] == 0


MALFORMED: dict[str, Any] = {
    "no JSON": b"{",
    "not UTF-8": b"\xff",
    "a list": [],
    "nothing": {},
    "NaN": b'{"record_id": 1, "ouid": "t-1", "type": 0, "point": NaN}',
    "twice": b'{"record_id": 1, "ouid": "t-1", "type": 0, "point": 1, "point": 2}',
    "no points": {**a_change(1), "point": 0},
    "points in words": {**a_change(1), "point": "1"},
    "too many points": {**a_change(1), "point": 2**53},
    "no record": {**a_change(1), "record_id": None},
    "a record of anything": {**a_change(1), "record_id": "a b"},
    "a record that is no whole number": {**a_change(1), "record_id": 1.5},
    "a record of more digits than a number has": b'{"record_id": 1%s, "ouid": "t-1", "type": 0, "point": 1}'
    % (b"0" * 5_000),
    "a number nobody can write again": b'{"record_id": 1, "ouid": "t-1", "type": 0, "point": 1%s}' % (b"0" * 30),
    "half a character": b'{"record_id": 1, "ouid": "t-1", "type": 0, "point": 1, "more": "\\ud800"}',
    "a record that is true": {**a_change(1), "record_id": True},
    "nobody": a_change(1, ouid=None),
    "an empty id": a_change(1, ouid=""),
    "an id that is long": a_change(1, ouid="x" * 300),
    "an id with what cannot be seen": a_change(1, ouid="t\u200b1"),
    "another type": {**a_change(1), "type": 2},
    "a time of other days": {**a_change(1), "time": 1},
    "words that break lines": {**a_change(1), "desc": "a\nb"},
    "deep": b"[" * 30_000 + b"]" * 30_000,
    "too large": {**a_change(1), "desc": "x" * MAX_MESSAGE_BYTES},
}


@pytest.mark.parametrize("what", MALFORMED)
async def test_what_cannot_be_read_is_final_and_changes_nothing(
    shop: Shop, tmall: Tmall, owner: AsyncEngine, told: Told, what: str
) -> None:
    before = await contents(owner, shop)
    answer = await tmall.posts("points", MALFORMED[what])
    assert answer.status_code == 200
    assert (answer.json()["result"], answer.json()["error_code"]) == (1, "add-fail:malformed-message")
    assert await contents(owner, shop) == before
    [line] = lines(told)
    assert (line["outcome"], line["code"]) == ("refused", "malformed_message")


@pytest.mark.parametrize(
    "query",
    ["", "?sign=x", "?timestamp=now&sign=x", "?timestamp=9999-99-99 00:00:00", "?timestamp=1970-01-01 00:00:00"],
)
async def test_a_message_that_is_not_signed_at_all_is_told_so(tmall: Tmall, query: str) -> None:
    answer = await tmall.http.post(f"{tmall.path}points{query}", content=orjson.dumps(a_change(1)))
    assert answer.json()["error_code"] == "add-fail:malformed-message"


@pytest.mark.parametrize("timestamp", ["", "x", "\u0661", "9" * 15, "9" * 99, "-1"])
async def test_douyins_moment_is_a_number(douyin: Douyin, timestamp: str) -> None:
    answer = await douyin.http.post(f"{douyin.path}join", params={"timestamp": timestamp}, content=b"{}")
    assert answer.json() == {"data": {"error_code": 200, "description": "malformed_message"}}


async def test_a_message_of_another_name_is_refused(tmall: Tmall, douyin: Douyin, told: Told) -> None:
    answer = await tmall.posts("unheard-of", {})
    assert answer.json()["error_code"] == "unknown_message"
    answer = await douyin.posts("points", {})
    assert answer.json() == {"data": {"error_code": 200, "description": "unknown_message"}}
    assert [line["message"] for line in lines(told)] == [None, None], "the name is the sender's"


async def test_what_cannot_be_done_now_is_tried_again_and_finds_what_happened(
    shop: Shop, tmall: Tmall, douyin: Douyin, service: Service, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    await shop.enrols(identities=[known_by("t-1")["identity"]])
    submit = service.lanes.submit

    async def busy(ask: Any) -> Any:
        raise Overloaded

    async def slow(ask: Any) -> Any:
        answer = await submit(ask)
        await asyncio.Event().wait()
        return answer

    async def broken(ask: Any) -> Any:
        raise RuntimeError

    for way, code in ((busy, "overloaded"), (broken, "internal_error"), (slow, "deadline_passed")):
        monkeypatch.setattr(service.lanes, "submit", way)
        answer = await tmall.changes(10, record=1)
        assert (answer.status_code, answer.json()["error_code"]) == (503, "E04")
        said = await douyin.joins("o-1")
        assert said == {"error_code": 100, "description": code}
    monkeypatch.setattr(service.lanes, "submit", submit)
    assert (await tmall.changes(10, record=1)).json()["point"] == 10, "it was done when the answer was too late"
    said = await douyin.joins("o-1")
    assert (said["error_code"], said["is_new_member"]) == (0, True)
    assert [line["outcome"] for line in lines(told)][-2] == "replayed"


async def test_a_line_says_what_became_of_a_message_and_nothing_of_whom(
    shop: Shop, douyin: Douyin, tmall: Tmall, told: Told
) -> None:
    await douyin.joins("o-secret", mobile="13527153122", birthday="1990-05-01")
    await douyin.joins("o-young", birthday="2024-05-01")
    await tmall.registers("t-secret", omid="b-secret", mix_mobile="m-secret", mobile="13527153122")
    await tmall.posts("points", a_change(5, ouid="t-secret", record=77, desc="for o-secret"))
    await tmall.posts("points", a_change(-50, ouid="t-secret", record=78))
    await tmall.posts("points", a_change(5, ouid="t-secret", record=77, desc="for o-secret"))
    await tmall.posts("points", b"for t-secret")
    assert [(one["channel"], one["message"], one["record"], one["outcome"], one["code"]) for one in lines(told)] == [
        ("douyin", "join", None, "done", None),
        ("douyin", "join", None, "refused", "under_age"),
        ("tmall", "register", None, "done", None),
        ("tmall", "points", "77", "done", None),
        ("tmall", "points", "78", "refused", "insufficient_points"),
        ("tmall", "points", "77", "replayed", None),
        ("tmall", "points", None, "refused", "malformed_message"),
    ]
    for secret in ("secret", "13527153122", "1990-05", SECRET):
        assert secret not in str(told), secret


async def test_what_a_channel_signs_with_is_kept_sealed(shop: Shop, tmall: Tmall, owner: AsyncEngine) -> None:
    async with owner.connect() as connection:
        rows = await connection.execute(
            text("select c::text from channel c where programme_id = :p"), {"p": shop.programme.id}
        )
        [row] = rows.scalars()
    assert SECRET not in row
    assert SECRET.encode().hex() not in row


async def test_an_old_secret_is_good_until_it_was_told_to_end(shop: Shop, http: httpx2.AsyncClient) -> None:
    admin = shop.client("admin")
    old = Tmall(http, (await connects(shop, "tmall"))["path"])
    new = Tmall(http, old.path, secret="the one that follows it")

    async def rotates(secret: str, **more: Any) -> None:
        accepted(await admin.post("/v1/channels/tmall/secret", {"secret": secret, **more}))

    assert (await new.changes(1)).status_code == 503
    await rotates(new.secret, former_until=(ago() + timedelta(hours=1)).isoformat())
    assert [(await one.changes(1)).status_code for one in (old, new)] == [200, 200]
    await rotates("a third one, and at once")
    third = Tmall(http, old.path, secret="a third one, and at once")
    assert [(await one.changes(1)).status_code for one in (old, new, third)] == [503, 503, 200]
    await rotates(new.secret, former_until=ago(seconds=1).isoformat())
    assert [(await one.changes(1)).status_code for one in (new, third)] == [200, 503]


async def test_a_secret_that_was_sealed_under_another_key_of_ours_signs_nothing(
    shop: Shop, tmall: Tmall, app: FastAPI, owner: AsyncEngine, told: Told
) -> None:
    async with owner.begin() as connection:
        await connection.execute(
            text("update channel set secret = substr(secret, 1, 13) || sha256(secret) where programme_id = :p"),
            {"p": shop.programme.id},
        )
    service: Service = app.state.service
    service.inbound.connections.forget()
    assert (await tmall.changes(1)).status_code == 503
    assert "channel_secret_unreadable" in [event["event"] for event in told]
