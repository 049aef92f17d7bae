"""What the API shows of the ledger when all is quiet: entries, balances, the trial balance, events."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx2

PAGE = 200
AT_A_TIME = 8
SHOWN_AT = {
    "ent": "entries",
    "mem": "members",
    "hld": "holds",
    "rsv": "returns",
    "prk": "parked",
    "rev": "reviews",
}
"""Where one thing is shown, by the prefix of its id."""

Document = dict[str, Any]


class Ledger(NamedTuple):
    """Read through the API alone."""

    entries: dict[str, list[Document]]
    """By member, in the order of their sequence."""
    balances: dict[str, dict[str, Document]]
    """By member and wallet."""
    trial_balance: Document
    events: list[Document]
    """All of them, in their order."""
    by_id: dict[str, Document | None]
    """Whatever else was asked for by its own id, of the kinds in `SHOWN_AT`; None: there is none."""


async def read_ledger(address: str, token: str, members: Sequence[str]) -> Ledger:
    """Everything of these members, and of those that only the events tell of: nobody heard that they had joined."""
    async with _client(address, token) as http:
        untold = {event["member"] for event in await _events(http)} - set(members)
        members = [*members, *sorted(untold)]
        lists = await asyncio.gather(*(_entries(http, member) for member in members))
        balances = await asyncio.gather(*(_get(http, f"/v1/members/{member}/balance") for member in members))
        day = (datetime.now(UTC) + timedelta(days=2)).date()  # whoever runs ahead is dated ahead
        trial_balance = await _get(http, f"/v1/ledger/trial-balance?as_of={day}")
        events = await _events(http)
    return Ledger(
        dict(zip(members, lists, strict=True)),
        {member: (balance or {}).get("wallets", {}) for member, balance in zip(members, balances, strict=True)},
        trial_balance or {},
        events,
        {},
    )


async def read_singly(address: str, token: str, ids: Sequence[str]) -> dict[str, Document | None]:
    """What each of these ids names; None: nothing."""
    async with _client(address, token) as http:
        room = asyncio.Semaphore(AT_A_TIME)

        async def one(id_: str) -> Document | None:
            async with room:
                return await _get(http, f"/v1/{SHOWN_AT[id_[:3]]}/{id_}")

        return dict(zip(ids, await asyncio.gather(*map(one, ids)), strict=True))


def _client(address: str, token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60)


async def _entries(http: httpx2.AsyncClient, member: str) -> list[Document]:
    found: list[Document] = []
    cursor = ""
    while True:
        page = await _get(http, f"/v1/members/{member}/entries?limit={PAGE}{cursor}")
        assert page is not None, "a member who was told of joining is there"
        found.extend(page["items"])
        if page["next_cursor"] is None:
            return found[::-1]
        cursor = f"&cursor={page['next_cursor']}"


async def _events(http: httpx2.AsyncClient) -> list[Document]:
    found: list[Document] = []
    cursor = ""
    while True:
        page = await _get(http, f"/v1/events?limit={PAGE}{cursor}")
        assert page is not None, "events can always be followed"
        if not page["items"]:
            return found
        found.extend(page["items"])
        cursor = f"&after={page['next_cursor']}"


async def _get(http: httpx2.AsyncClient, path: str) -> Document | None:
    answer = await http.get(path)
    if answer.status_code == 404:
        return None
    answer.raise_for_status()
    document: Document = answer.json()
    return document
