"""What is not exactly right is refused: with the documented problem, and without repeating what was sent."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from loyalty.api.answers import to_json
from tests.api.conftest import (
    Shop,
    a_grant,
    a_hold,
    a_redemption,
    a_refund,
    a_transfer,
    accepted,
    an_adjustment,
    an_order,
    refused,
)

PERSONAL = {"phone": "+8613800138000", "name": "Li Lei", "openid": "oX1-secret"}


def raw(body: dict[str, Any], **literals: str) -> bytes:
    """The body as JSON, with some fields replaced by literals that no serialiser would write."""
    text = orjson.dumps({**body, **{name: f"@{name}@" for name in literals}}).decode()
    for name, literal in literals.items():
        text = text.replace(f'"@{name}@"', literal)
    return text.encode()


NO_INTEGERS = ['"12"', "12.0", "12.5", "true", "false", "null", "1e3", "1E3", "[]", "{}", "0", "-1", "-0"]


@pytest.mark.parametrize("literal", [*NO_INTEGERS, str(2**53), str(2**63), "9" * 400])
@pytest.mark.parametrize("path", ["/v1/accruals", "/v1/redemptions"])
async def test_points_are_a_positive_integer_that_survives_json(shop: Shop, path: str, literal: str) -> None:
    member = await shop.enrols()
    body = a_grant(member) if path == "/v1/accruals" else a_redemption(member)
    problem = refused(await shop.till.post(path, raw(body, points=literal)), 422, "invalid_request")
    assert any(error["field"].endswith("points") for error in problem["errors"])


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "012", "+1", "0x10", "1_000", "1,5", ".5"])
@pytest.mark.parametrize("path", ["/v1/accruals", "/v1/redemptions"])
async def test_what_is_no_json_number_is_no_json(shop: Shop, path: str, literal: str) -> None:
    member = await shop.enrols()
    body = a_grant(member) if path == "/v1/accruals" else a_redemption(member)
    refused(await shop.till.post(path, raw(body, points=literal)), 400, "malformed_json")


async def test_the_largest_number_of_points_is_taken(shop: Shop) -> None:
    member = await shop.enrols()
    assert (await shop.gives(member, 2**53 - 1))["points"] == 2**53 - 1
    refused(await shop.till.post("/v1/accruals", a_grant(member, 1)), 422, "amount_out_of_range")


@pytest.mark.parametrize("literal", ['"12"', "12.0", "true", "null", "1e3", "-1", str(10**12 + 1), "9" * 400])
@pytest.mark.parametrize("field", ["amount", "quantity", "discount", "tax_amount"])
async def test_amounts_and_quantities_of_a_line_are_integers(shop: Shop, field: str, literal: str) -> None:
    if field in ("discount", "tax_amount") and literal == "null":
        return  # both may be left out
    member = await shop.enrols()
    order = an_order(member)
    line = raw(order["lines"][0], **{field: literal}).decode()
    body = raw({**order, "lines": "@lines@"}).replace(b'"@lines@"', f"[{line}]".encode())
    refused(await shop.till.post("/v1/accruals", body), 422, "invalid_request")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/v1/members", ()),
        ("/v1/members", ("identities", 0)),
        ("/v1/members", ("consents", 0)),
        ("/v1/accruals", ()),
        ("/v1/accruals", ("member",)),
        ("/v1/accruals", ("lines", 0)),
        ("/v1/accruals", ("tenders", 0)),
        ("/v1/redemptions", ()),
        ("/v1/redemptions", ("as_discount",)),
        ("/v1/accruals/bulk", ()),
        ("/v1/accruals/bulk", ("items", 0)),
    ],
)
async def test_unknown_fields_are_refused_everywhere(shop: Shop, path: str, place: tuple[Any, ...]) -> None:
    member = await shop.enrols()
    order = {**an_order(member), "tenders": [{"type": "cash", "amount": 1}]}
    bodies: dict[str, Any] = {
        "/v1/members": {
            "identities": [{"channel": "wechat", "type": "openid", "value": "o"}],
            "consents": [{"purpose": "membership", "text_version": "1"}],
        },
        "/v1/accruals": order,
        "/v1/redemptions": {**a_redemption(member), "as_discount": {"currency": "CNY"}},
        "/v1/accruals/bulk": {"items": [order]},
    }
    inner = body = bodies[path]
    for step in place:
        inner = inner[step]
    inner["colour"] = "red"
    problem = refused(await shop.till.post(path, body), 422, "invalid_request")
    assert problem["errors"][0]["field"].endswith("colour")


@pytest.mark.parametrize("body", [b"", b" ", b"{", b"nothing", b"{}{}", b"{'a': 1}", b"\xff\xfe{}", b'{"a": "\xff"}'])
@pytest.mark.parametrize("path", ["/v1/members", "/v1/accruals", "/v1/accruals/bulk", "/v1/redemptions"])
async def test_a_body_that_is_no_json_is_malformed(shop: Shop, path: str, body: bytes) -> None:
    refused(await shop.till.post(path, body), 400, "malformed_json")


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"text"', b"true"])
@pytest.mark.parametrize("path", ["/v1/members", "/v1/accruals", "/v1/accruals/bulk", "/v1/redemptions"])
async def test_a_body_that_is_no_object_is_invalid(shop: Shop, path: str, body: bytes) -> None:
    refused(await shop.till.post(path, body), 422, "invalid_request")


@pytest.mark.parametrize("path", ["/v1/members", "/v1/accruals", "/v1/accruals/bulk", "/v1/redemptions"])
async def test_a_body_nested_without_end_is_malformed(shop: Shop, path: str) -> None:
    refused(await shop.till.post(path, b'{"member":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), 400, "malformed_json")


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/vnd.api+json"],
)
async def test_a_body_that_is_not_called_json_is_not_read(shop: Shop, content_type: str | None) -> None:
    headers = {"Idempotency-Key": "k-1"} | ({} if content_type is None else {"Content-Type": content_type})
    answer = await shop.till.send("POST", "/v1/members", content=b"{}", headers=headers)
    refused(answer, 415, "unsupported_media_type")


async def test_json_with_a_charset_is_json(shop: Shop) -> None:
    headers = {"Idempotency-Key": "k-1", "Content-Type": "Application/JSON; charset=utf-8"}
    accepted(await shop.till.send("POST", "/v1/members", content=b"{}", headers=headers))


@pytest.mark.parametrize("path", ["/v1/members", "/v1/accruals", "/v1/accruals/bulk", "/v1/redemptions"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_body_that_is_too_large_is_refused(shop: Shop, path: str, streamed: bool) -> None:
    size = 4 * 2**20

    async def pieces() -> Any:
        for _ in range(size // 2**16 + 1):
            yield b" " * 2**16

    headers = {"Idempotency-Key": "k-1", "Content-Type": "application/json"}
    content = pieces() if streamed else b" " * (size + 1)
    refused(await shop.till.send("POST", path, content=content, headers=headers), 413, "too_large")


async def test_an_order_has_at_most_500_lines(shop: Shop) -> None:
    member = await shop.enrols()
    line = an_order(member)["lines"][0]
    accepted(
        await shop.till.post(
            "/v1/accruals", an_order(member, lines=[{**line, "line_id": str(number)} for number in range(500)])
        )
    )
    refused(await shop.till.post("/v1/accruals", an_order(member, lines=[line] * 501)), 422, "invalid_request")
    refused(await shop.till.post("/v1/accruals", an_order(member, lines=[])), 422, "invalid_request")


@pytest.mark.parametrize("character", ["\x00", "\n", "\x1b", "\x7f", "\x85", "\u2028"])
@pytest.mark.parametrize("field", ["source", "reference", "store", "reason"])
async def test_control_characters_are_refused(shop: Shop, field: str, character: str) -> None:
    member = await shop.enrols()
    body = {**a_grant(member), field: f"a{character}b"}
    refused(await shop.till.post("/v1/accruals", body), 422, "invalid_request")


@pytest.mark.parametrize("character", ["\x00", "\n", "\x1b"])
async def test_control_characters_in_what_is_personal_are_refused(shop: Shop, character: str) -> None:
    identity = {"channel": "wechat", "type": "openid", "value": f"o{character}"}
    for body in ({"name": f"Li{character}Lei"}, {"sex": character}, {"identities": [identity]}):
        refused(await shop.till.post("/v1/members", body), 422, "invalid_request")


@pytest.mark.parametrize("text", ["a\u200bb", "a ", " a", "\u2066a", "a\u00ad", "e\u0301", "a\u00a0b", "\ufeffa"])
@pytest.mark.parametrize("field", ["source", "reference", "store"])
async def test_what_machines_compare_holds_nothing_unseen(shop: Shop, field: str, text: str) -> None:
    member = await shop.enrols()
    refused(await shop.till.post("/v1/accruals", {**a_grant(member), field: text}), 422, "invalid_request")
    identity = {"channel": "wechat", "type": "openid", "value": text}
    refused(await shop.till.post("/v1/members", {"identities": [identity]}), 422, "invalid_request")


@pytest.mark.parametrize(
    "phone", ["tel:+8613800138000", "+8613800138000 (Li)", "call +8613800138000", "+86138001٣٣8000"]
)
async def test_a_phone_is_not_looked_for_in_a_text(shop: Shop, phone: str) -> None:
    refused(await shop.till.post("/v1/members", {"phone": phone}), 422, "invalid_request")


async def test_a_phone_may_be_written_in_groups(shop: Shop) -> None:
    await shop.enrols(phone="+86 138-0013-8000")
    accepted(await shop.till.post("/v1/accruals", a_grant({"phone": "+8613800138000"})))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/members", b'{"name": "Li", "name": "Lei"}'),
        ("/v1/accruals", b'{"points": 1, "points": 2}'),
        ("/v1/accruals", b'{"member": {"id": "a", "id": "b"}, "points": 1}'),
        ("/v1/accruals/bulk", b'{"items": [{"points": 1, "points": 1}]}'),
        ("/v1/redemptions", b'{"points": 1, "\\u0070oints": 1}'),
    ],
)
async def test_a_field_that_stands_twice_is_malformed(shop: Shop, path: str, body: bytes) -> None:
    refused(await shop.till.post(path, body), 400, "malformed_json")


async def test_a_field_that_stands_twice_in_a_good_body_is_malformed(shop: Shop) -> None:
    member = await shop.enrols()
    good = raw(a_grant(member, 5))
    refused(await shop.till.post("/v1/accruals", good[:-1] + b', "points": 5}'), 400, "malformed_json")


@pytest.mark.parametrize("query", ["colour=red", "limit=1&limit=2", "Limit=1", "dry_run=true"])
async def test_a_read_takes_the_parameters_it_knows_once(shop: Shop, query: str) -> None:
    member = await shop.enrols()
    for read in ("entries", "balance"):
        path = f"/v1/members/{member['id']}/{read}"
        refused(await shop.till.send("GET", f"{path}?{query}"), 422, "invalid_request")
        accepted(await shop.till.send("GET", f"{path}?{'limit=1' if read == 'entries' else ''}"))


@pytest.mark.parametrize("query", ["dry-run=true", "dry_run=false&dry_run=true", "dry_run=true&limit=1"])
async def test_a_misspelt_dry_run_does_not_write(shop: Shop, query: str) -> None:
    headers = {"Idempotency-Key": "k-1", "Content-Type": "application/json"}
    answer = await shop.till.send("POST", f"/v1/members?{query}", content=b"{}", headers=headers)
    refused(answer, 422, "invalid_request")


async def test_half_a_character_is_no_json(shop: Shop) -> None:
    refused(await shop.till.post("/v1/members", b'{"name": "\\ud800"}'), 400, "malformed_json")


@pytest.mark.parametrize("name", ["李　雷", "Zoë O\u2019Neill", "José\u00a0María", "👩\u200d🍳", "क्षेत्र"])
async def test_a_name_may_be_written_as_its_bearer_writes_it(shop: Shop, name: str) -> None:
    await shop.enrols(name=name)


@pytest.mark.parametrize(
    "literal",
    [
        '"2026-11-01T10:00:00"',
        '"2026-11-01"',
        '"yesterday"',
        '""',
        "1700000000",
        '"1700000000"',
        '"1700000000.5"',
        "1700000000.5",
        "true",
        '"1999-12-31T23:59:59Z"',
        '"2200-01-01T00:00:00Z"',
        '"0001-01-01T00:00:00+14:00"',
        '"9999-12-31T23:59:59-14:00"',
        '"2026-02-30T10:00:00Z"',
        '"2026-11-01T25:00:00Z"',
    ],
)
@pytest.mark.parametrize("field", ["occurred_at", "expires_at", "pending_until"])
async def test_a_time_is_rfc_3339_with_an_offset(shop: Shop, field: str, literal: str) -> None:
    member = await shop.enrols()
    problem = refused(
        await shop.till.post("/v1/accruals", raw(a_grant(member), **{field: literal})), 422, "invalid_request"
    )
    assert problem["errors"][0]["field"].endswith(field)


@pytest.mark.parametrize(
    "literal", ['"01.05.1990"', "641520000", '"641520000"', "true", '"1899-12-31"', '"1990-13-01"']
)
async def test_a_birthday_is_a_date(shop: Shop, literal: str) -> None:
    refused(await shop.till.post("/v1/members", raw({}, birthday=literal)), 422, "invalid_request")


@pytest.mark.parametrize(
    "member",
    [
        {},
        {"id": None},
        {"id": "mem_1"},
        {"id": f"ent_{'0' * 32}"},
        {"id": f"mem_{'G' * 32}"},
        {"number": "12"},
        {"number": "6212345678901232x"},
        {"number": 6212345678901232},
        {"phone": "13800138000"},
        {"phone": "+86"},
        {"phone": "+" + "1" * 31},
        {"identity": {"channel": "wechat"}},
        {"id": f"mem_{'0' * 32}", "number": "6212345678901232"},
        {"id": f"mem_{'0' * 32}", "number": None},
        "mem_1",
        None,
    ],
)
async def test_a_member_is_named_in_exactly_one_way(shop: Shop, member: Any) -> None:
    for path in ("/v1/accruals", "/v1/redemptions"):
        body = {"member": member, "points": 1, "reason": "r", "source": "s", "reference": "r"}
        if path == "/v1/redemptions":
            del body["reason"]
        refused(await shop.till.post(path, body), 422, "invalid_request")


async def test_no_refusal_repeats_what_is_personal(shop: Shop) -> None:
    phone, name, openid = PERSONAL["phone"], PERSONAL["name"], PERSONAL["openid"]
    identity = {"channel": "wechat", "type": "openid", "value": openid}
    await shop.enrols(phone=phone, identities=[identity])
    broken: list[tuple[str, Any]] = [
        ("/v1/members", {"phone": phone, "name": name, "birthday": "soon", "identities": [identity]}),
        ("/v1/members", {"phone": phone, "name": name, "identities": [identity], "colour": name}),
        ("/v1/members", {"phone": phone + "x", "name": [name]}),
        ("/v1/members", {"phone": phone, "name": name * 99, "identities": [{**identity, "value": openid * 99}]}),
        ("/v1/members", orjson.dumps({"phone": phone, "name": name})[:-1]),
        ("/v1/members", {"phone": phone, "name": name, "identities": [identity]}),
        ("/v1/members", {"birthday": "2020-05-01", "phone": "+8613800138001", "name": name}),
        ("/v1/accruals", a_grant({"phone": phone + "9"})),
        ("/v1/accruals", a_grant({"phone": phone, "identity": identity})),
        ("/v1/accruals", a_grant({"phone": phone}, 0)),
        ("/v1/redemptions", a_redemption({"identity": {**identity, "value": openid + "2"}})),
        ("/v1/redemptions", a_redemption({"phone": phone})),
        ("/v1/accruals/bulk", {"items": [a_grant({"phone": phone + "9"}), a_grant({"phone": phone}, 0)]}),
    ]
    for path, body in broken:
        answer = await shop.till.post(path, body)
        assert answer.status_code >= 400, answer.text
        for personal in (phone[1:], name, openid, "2020-05-01"):
            assert personal not in answer.text, (path, answer.text)


async def test_what_waits_repeats_nothing_that_is_personal(shop: Shop) -> None:
    body = a_grant({"identity": {"channel": "wechat", "type": "openid", "value": PERSONAL["openid"]}})
    parked = await shop.till.post("/v1/accruals", body)
    assert parked.status_code == 202
    for answer in (parked, await shop.till.get("/v1/parked")):
        assert PERSONAL["openid"] not in answer.text


async def test_a_programme_says_which_fields_joining_requires(a_shop: Any) -> None:
    shop = await a_shop(enrolment_requires=frozenset({"phone", "birthday"}))
    problem = refused(await shop.till.post("/v1/members", {"name": "Li Lei", "birthday": None}), 422, "field_required")
    assert problem["missing"] == ["birthday", "phone"]


async def test_a_child_may_not_join(shop: Shop) -> None:
    problem = refused(await shop.till.post("/v1/members", {"birthday": "2020-05-01"}), 422, "under_age")
    assert problem["minimum_age"] == 14


async def test_what_a_programme_does_not_know_is_refused(shop: Shop) -> None:
    member = await shop.enrols()
    await shop.gives(member, 10)
    refused(await shop.till.post("/v1/accruals", an_order(member, currency="USD")), 422, "currency_not_accepted")
    refused(await shop.till.post("/v1/accruals", a_grant(member, wallet="miles")), 422, "unknown_wallet")
    refused(await shop.till.post("/v1/redemptions", a_redemption(member, 1, wallet="miles")), 422, "unknown_wallet")
    dollars = a_redemption(member, 1, as_discount={"currency": "USD"})
    refused(await shop.till.post("/v1/redemptions", dollars), 422, "currency_not_accepted")
    gone = a_grant(member, occurred_at="2026-11-01T00:00:00Z", expires_at="2026-10-01T00:00:00Z")
    refused(await shop.till.post("/v1/accruals", gone), 422, "dates_contradict")


async def test_what_is_not_there_is_a_problem_as_well(shop: Shop) -> None:
    refused(await shop.till.get("/v1/nothing"), 404, "not_found")
    refused(await shop.till.send("DELETE", "/v1/members"), 405, "method_not_allowed")
    refused(await shop.till.get("/v1/members/mem_1"), 404, "member_not_found")
    refused(await shop.till.get("/v1/entries/ent_1"), 404, "entry_not_found")


async def test_a_harmless_request_id_comes_back_and_any_other_is_replaced(shop: Shop) -> None:
    for given, kept in (("abc-123", True), ("two words", False), ("x" * 65, False)):
        answer = await shop.till.send("GET", "/v1/members/mem_1", headers={"X-Request-Id": given})
        assert (answer.headers["x-request-id"] == given) is kept
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


NOBODYS = "0" * 32
NEW_PATHS = [
    "/v1/holds",
    f"/v1/holds/hld_{NOBODYS}/capture",
    f"/v1/holds/hld_{NOBODYS}/release",
    f"/v1/redemptions/red_{NOBODYS}/refund",
    "/v1/returns",
    "/v1/transfers",
    "/v1/adjustments",
    f"/v1/adjustments/adj_{NOBODYS}/approve",
    f"/v1/adjustments/adj_{NOBODYS}/reject",
    f"/v1/members/mem_{NOBODYS}/close",
]


@pytest.mark.parametrize("path", NEW_PATHS)
async def test_every_other_write_reads_its_body_as_strictly(shop: Shop, path: str) -> None:
    """The body comes first: what its path names need not even exist."""
    admin = shop.client("admin")
    for body in (b"", b"{", b"{}{}", b'{"points": NaN}', b'{"points": 1, "points": 1}', b'{"a": "\xff"}'):
        refused(await admin.post(path, body), 400, "malformed_json")
    for body in (b"[]", b"null", b"1", b'"text"', b'{"colour": "red"}'):
        refused(await admin.post(path, body), 422, "invalid_request")
    headers = {"Idempotency-Key": "k-1", "Content-Type": "text/plain"}
    refused(await admin.send("POST", path, content=b"{}", headers=headers), 415, "unsupported_media_type")
    refused(await admin.post(path, {}, dryrun="true"), 422, "invalid_request")


@pytest.mark.parametrize("literal", [*NO_INTEGERS, str(2**53), str(2**63), "9" * 400])
async def test_points_of_every_other_write_are_a_positive_integer(shop: Shop, literal: str) -> None:
    member = await shop.enrols()
    await shop.gives(member, 500)
    admin = shop.client("admin")
    hold = accepted(await admin.post("/v1/holds", a_hold(member, 20)))["hold"]["id"]
    spent = (await shop.redeems(member, 20))["redemption"]["id"]
    bodies: dict[str, dict[str, Any]] = {
        "/v1/holds": a_hold(member),
        "/v1/transfers": a_transfer(member, await shop.enrols()),
        f"/v1/holds/{hold}/capture": {"points": 1},
        f"/v1/redemptions/{spent}/refund": a_refund(points=1),
        "/v1/adjustments": an_adjustment(member, 1),
    }
    if literal == "null":  # means as much as is left
        del bodies[f"/v1/holds/{hold}/capture"], bodies[f"/v1/redemptions/{spent}/refund"]
    if literal == "-1":  # takes a point
        del bodies["/v1/adjustments"]
    for path, body in bodies.items():
        problem = refused(await admin.post(path, raw(body, points=literal)), 422, "invalid_request")
        assert any(error["field"].endswith("points") for error in problem["errors"]), path
    assert await shop.figures(member) == (0, 460)


async def test_sums_beyond_64_bits_are_told(shop: Shop) -> None:
    most = 2**53 - 1
    members = [await shop.enrols() for _ in range(4)]
    for member in members:
        await shop.gives(member, most)
    found = accepted(await shop.client("finance").get("/v1/ledger/trial-balance"))
    assert found["debit_total"] == 4 * most
    at = datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert to_json({"sum": 2**70, "at": at}) == b'{"sum":1180591620717411303424,"at":"2026-07-01T12:00:00Z"}'
