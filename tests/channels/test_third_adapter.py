"""A third platform is one file and one line: the one that the README shows, as it stands."""

import hashlib
import hmac
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import httpx2
import pytest

from loyalty import channels
from loyalty.api.service import Service
from loyalty.channels.messages import Adapter
from loyalty.channels.registry import ADAPTERS
from tests.api.conftest import Shop, refused
from tests.channels.conftest import SECRET, Platform, connects

README = Path(channels.__path__[0]) / "README.md"
[CODE] = re.findall(r"^```python\n(.*?)^```\n", README.read_text(), re.DOTALL | re.MULTILINE)


class Kiosk(Platform):
    def signed(
        self, name: str, content: bytes, at: datetime, secret: str
    ) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
        moment = str(int(at.timestamp() * 1000))
        sign = hmac.new(secret.encode(), moment.encode() + b"\n" + content, hashlib.sha256).hexdigest()
        return self.path + name, {"at": moment}, {"X-Kiosk-Signature": sign}


@pytest.fixture
def stamps(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the README, and its line."""
    module = ModuleType("stamps")
    monkeypatch.setitem(sys.modules, "stamps", module)
    exec(compile(CODE, README, "exec"), module.__dict__)  # noqa: S102 - it is what the reader is told to write
    adapters = {**ADAPTERS, "stamps": cast("Adapter", module)}
    monkeypatch.setattr(service.inbound, "adapters", adapters)


async def test_the_adapter_of_the_readme_works_as_it_stands(shop: Shop, http: httpx2.AsyncClient, stamps: None) -> None:
    kiosk = Kiosk(http, (await connects(shop, "stamps", name="kiosk"))["path"])
    card = {"channel": "kiosk", "type": "card", "value": "c-1"}
    member = await shop.enrols(identities=[card])
    body: dict[str, Any] = {"number": "1", "card": "c-1", "stamps": 3}
    for _ in range(2):
        answer = await kiosk.posts("stamps", body)
        assert (answer.status_code, answer.json()) == (200, {"ok": True, "why": ""})
    assert await shop.figures(member) == (0, 3)
    other = await kiosk.posts("stamps", {**body, "stamps": 4})
    assert other.json() == {"ok": False, "why": "idempotency_key_reused"}
    forged = await kiosk.posts("stamps", body, secret=SECRET + "x")
    assert (forged.status_code, forged.json()) == (503, {"again": True})
    assert (await kiosk.posts("stamps", {**body, "number": "2", "card": "c-2"})).json()["ok"], "it waits"


async def test_what_has_no_file_cannot_be_connected_to(shop: Shop) -> None:
    body = {"name": "stamps", "adapter": "no-such-file", "secret": SECRET}
    problem = refused(await shop.client("admin").post("/v1/channels", body), 422, "invalid_request")
    known = ", ".join(sorted(ADAPTERS))
    assert problem["errors"] == [{"field": "body.adapter", "problem": f"is none of {known}"}]
