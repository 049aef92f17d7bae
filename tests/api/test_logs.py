"""Nothing personal and nothing secret is ever logged, by the real server, in a session with rights and wrongs."""

from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.demo import DEMO
from tests.api.conftest import SECRET, a_grant, a_redemption, keys_for
from tests.conftest import kept_programme
from tests.processes import Running

PHONE, NAME, BIRTHDAY, OPENID = "+8613912345678", "Han Meimei", "1988-11-23", "oSecret-7f3a"


async def test_a_session_leaves_no_personal_data_and_no_key_in_the_log(server: Running, owner: AsyncEngine) -> None:
    programme = await kept_programme(owner, DEMO)
    keys = await keys_for(owner, programme)
    token = keys["pos"]
    with httpx2.Client(base_url=server.url, timeout=30) as http:
        statuses = [send(http, *request) for request in session(http, token)]
    assert set(statuses) >= {200, 201, 400, 401, 404, 409, 422}
    output = server.stop()

    events = [orjson.loads(line) for line in output.splitlines() if line.startswith("{")]
    requests = [event for event in events if event["event"] == "request"]
    assert [event["status"] for event in requests if event["route"] != "/readyz"][-len(statuses) :] == statuses
    assert events[-1]["event"] == "drained"
    assert len(events) == len([line for line in output.splitlines() if line.strip()]), output
    for secret in (PHONE, PHONE[1:], NAME, BIRTHDAY, OPENID, SECRET, *keys.values()):
        assert secret not in output, secret
    assert all(event["programme"] in (programme.code, None) for event in requests)


def session(http: httpx2.Client, token: str) -> Iterator[tuple[str, str, str, Any]]:
    """Rights and wrongs that carry personal data wherever a request can: token, method, path, body."""
    identity = {"channel": "wechat", "type": "openid", "value": OPENID}
    person = {"phone": PHONE, "name": NAME, "birthday": BIRTHDAY, "identities": [identity]}
    yield token, "POST", "/v1/members", person
    yield token, "POST", "/v1/members", person
    yield token, "POST", "/v1/members", {**person, "colour": NAME}
    yield token, "POST", "/v1/members", {**person, "birthday": BIRTHDAY + "x"}
    yield token, "POST", "/v1/members", orjson.dumps(person)[:-1]
    yield token, "POST", "/v1/accruals", a_grant({"phone": PHONE})
    yield token, "POST", "/v1/accruals", a_grant({"phone": PHONE + "0"})
    yield token, "POST", "/v1/accruals", a_grant({"identity": identity})
    yield token, "POST", "/v1/redemptions", a_redemption({"identity": identity}, 10**9)
    yield token, "POST", "/v1/accruals/bulk", {"items": [a_grant({"phone": PHONE}), a_grant({"identity": identity})]}
    yield token, "GET", f"/v1/members/{PHONE}", None
    yield token, "GET", f"/v1/members/{PHONE}/balance?name={NAME}", None
    yield token, "GET", f"/{PHONE}/{OPENID}", None
    yield token + "x", "GET", "/v1/ledger/trial-balance", None
    yield token, "GET", "/healthz", None


def send(http: httpx2.Client, token: str, method: str, path: str, body: Any) -> int:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": PHONE + str(hash(str(body)))}
    content = None if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    if content is not None:
        headers["Content-Type"] = "application/json"
    status: int = http.request(method, path, content=content, headers=headers).status_code
    return status
