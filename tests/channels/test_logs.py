"""What a real server logs of platforms: what became of each message, and nothing personal or secret."""

from pathlib import Path

import httpx2
import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.demo import DEMO
from tests.api.conftest import Contract, Shop, keys_for, served
from tests.channels.conftest import SECRET, Douyin, Tmall, ago, connects
from tests.conftest import Urls, kept_programme

PHONE, OPEN_ID, OUID, SEALED = "13912345678", "o-Secret-7f3a", "t-Secret-7f3a", "m-Secret-7f3a"
NEXT = "what it will sign with from now on"


async def test_a_session_of_platforms_leaves_no_personal_data_and_no_secret_in_the_log(
    urls: Urls, owner: AsyncEngine, contract: Contract, tmp_path: Path
) -> None:
    server = served(urls, tmp_path / "server.log")
    async with httpx2.AsyncClient(base_url=server.url, timeout=30) as http:
        programme = await kept_programme(owner, DEMO)
        shop = Shop(programme, http, contract, await keys_for(owner, programme))
        tmall = Tmall(http, (await connects(shop, "tmall"))["path"])
        douyin = Douyin(http, (await connects(shop, "douyin"))["path"])
        await douyin.joins(OPEN_ID, mobile=PHONE, birthday="1988-11-23")
        await douyin.joins(OPEN_ID, mobile=PHONE, birthday="2024-11-23")
        await douyin.posts(OPEN_ID, {"open_id": OPEN_ID})
        await douyin.posts("leave", f"{OPEN_ID} {PHONE}".encode())
        await tmall.changes(5, ouid=OUID, record=1)
        await tmall.registers(OUID, mix_mobile=SEALED, mobile=PHONE)
        await tmall.changes(5, ouid=OUID, record=1)
        await tmall.posts("points", {"ouid": OUID}, secret=NEXT)
        await tmall.posts("points", {"ouid": OUID, "record_id": OUID + " "}, at=ago(hours=1))
        await Tmall(http, f"/v1/inbound/{PHONE}/{OPEN_ID}/").changes(5, ouid=OUID)
        await shop.client("admin").post("/v1/channels/tmall/secret", {"secret": NEXT})
        await shop.client("admin").post("/v1/channels", {"name": PHONE, "adapter": "tmall", "secret": NEXT})
        copy = {"identity": {"type": "ouid", "value": OUID}, "as_of": ago().isoformat(), "points": 1}
        await shop.client("app").post("/v1/channels/tmall/drift", {"copies": [copy]})
    output = server.stop()

    events = [orjson.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert len(events) == len([line for line in output.splitlines() if line.strip()]), output
    outcomes = [event["outcome"] for event in events if event["event"] == "channel_message"]
    assert outcomes == [
        *("done", "done", "refused", "refused"),
        *("waits", "done", "replayed", "retry", "retry", "unknown_channel"),
    ]
    for secret in (PHONE, "1988-11-23", OPEN_ID, OUID, SEALED, SECRET, NEXT, *shop.keys.values()):
        assert secret not in output, secret
