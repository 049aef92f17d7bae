"""The clients: tills, apps, desks and files that send each request under its key until it is answered conclusively.

Conclusive is a 2xx or a 4xx. A 503, a lost connection or no answer in time: the same key and body again, to
whichever server. A few give up instead; whether their request happened, nobody told them. Beside them, lookers and
followers read what there is to see.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any

import httpx2
import orjson

from bench.chaos.cast import Cast
from bench.chaos.history import DRY, Ask, Recorder
from bench.chaos.verbs import BULK, READER, VERBS, drawn

TILLS = 12
FILES = 1
PATIENCE_S = 8.0
"""How long an answer is waited for."""
SETTLED_S = 60.0
"""How long a request may take to be settled when nothing is broken on purpose."""
PAUSE_S = 0.25
"""The longest rest between two requests of a client, and between two attempts."""
FILE_ITEMS = 40
"""Most items of an everyday file."""
REPLAYED_AT_A_TIME = 200
"""Most items of a bulk call that repeats earlier ones."""
GIVES_UP = 0.15
"""Share of attempts that may have happened, nobody knows, after which nobody tries again."""
SECOND_KEY = 0.03
"""Share of requests followed by the same receipt under a new key."""
IMPOSTOR = 0.02
"""Share of requests followed by another one under the same key."""
TWICE_AT_ONCE = 0.04
"""Share of requests that are sent under two keys at the same time: one person joins twice, one receipt counts twice."""
DRY_RUN = 0.05
"""Share of requests that are first sent as a dry run, under the very key."""
EVENTS_AT_A_TIME = {"follower": 50, "slow follower": 7}
"""Who follows, and the events of a page."""


Work = Callable[[], Awaitable[object]]


class Fate(Enum):
    """What a client knows after an attempt."""

    SETTLED = auto()
    """There was a conclusive answer."""
    NOTHING = auto()
    """It did not happen: nobody took it."""
    UNKNOWN = auto()
    """It may have happened."""


class Stalled(Exception):
    """The clients got no answers."""


class Clients:
    """All of them. What they send and hear is on the record."""

    def __init__(
        self,
        addresses: Sequence[str],
        tokens: Mapping[str, str],
        cast: Cast,
        record: Recorder,
        chance: random.Random,
    ) -> None:
        self.addresses = addresses
        self.cast = cast
        self.patience_s = PATIENCE_S
        """How long an answer is waited for at present."""
        self.duplicating = False
        """Whether every request is sent twice at the same time."""
        self.settled: list[Ask] = []
        """Answered conclusively, in this order."""
        self.requests = self.attempts = self.refused_503 = self.gave_up = 0
        self._admissions = {role: {"Authorization": f"Bearer {token}"} for role, token in tokens.items()}
        self._record = record
        self._chance = chance
        self._learnt: set[int] = set()
        self._cursors = dict.fromkeys(EVENTS_AT_A_TIME, "")
        self._http = httpx2.AsyncClient(
            timeout=PATIENCE_S,
            limits=httpx2.Limits(max_connections=200, max_keepalive_connections=40),
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._open = True

    def begin(self) -> None:
        """Everybody starts to work."""
        followers = [partial(self._follow, name) for name in EVENTS_AT_A_TIME]
        work: list[Work] = [*[self._till] * TILLS, *[self._file] * FILES, self._looker, *followers]
        self._tasks = [asyncio.ensure_future(self._until_closing(one)) for one in work]

    async def close(self, within: float) -> None:
        """Begin nothing new; wait until everything begun is answered. Raises Stalled."""
        self._open = False
        if not self._tasks:
            return
        done, late = await asyncio.wait(self._tasks, timeout=within)
        for task in late:
            task.cancel()
        for task in done:
            task.result()
        if late:
            raise Stalled(f"{len(late)} clients still had no conclusive answer after {within:.0f} s")

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    async def more(self, count: int, within: float) -> None:
        """Return once so many more are settled. Raises Stalled, and whatever ended a client."""
        wanted, deadline = len(self.settled) + count, time.monotonic() + within
        while len(self.settled) < wanted:
            if time.monotonic() > deadline:
                raise Stalled(f"fewer than {count} requests were answered in {within:.0f} s")
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)

    async def ask(self, verb: str, *, to: str | None = None, within: float = SETTLED_S) -> None:
        """A request of this verb, until it is settled. Raises Stalled."""
        await self._deliver(self._new(verb), to=to, within=within)

    async def again(self, asks: Sequence[Ask], *, at_a_time: int = 16) -> None:
        """Send settled requests once more, under their keys; the items of files together."""
        items = [ask for ask in asks if ask.path == BULK]
        singles = [ask for ask in asks if ask.path != BULK]
        files = [items[start : start + REPLAYED_AT_A_TIME] for start in range(0, len(items), REPLAYED_AT_A_TIME)]
        room = asyncio.Semaphore(at_a_time)

        async def in_turn(sending: Awaitable[object]) -> None:
            async with room:
                await sending

        await asyncio.gather(
            *(in_turn(self._deliver(ask, resolved=False)) for ask in singles),
            *(in_turn(self._deliver_file(file, resolved=False)) for file in files),
        )

    async def flood(self, calls: int, items: int, to: str) -> int:
        """Bulk calls at once, as dry runs: they take room and leave no trace. How many were refused for want of it."""
        member = {"id": self.cast.members[0].id}
        body = orjson.dumps({"items": [
            {"member": member, "points": 1, "reason": "flood", "source": "flood", "reference": f"D-{number}"}
            for number in range(items)
        ]})  # fmt: skip
        headers = self._headers("pos")

        async def one() -> int:
            try:
                answer = await self._http.post(f"{to}{BULK}{DRY}", content=body, headers=headers)
            except httpx2.TransportError:
                return 0
            return int(answer.status_code == 503)

        return sum(await asyncio.gather(*(one() for _ in range(calls))))

    async def stare(self, readers: int) -> set[int]:
        """So many look at a balance at once. The statuses they saw."""

        async def one() -> int:
            path = f"/v1/members/{self._chance.choice(self.cast.members).id}/balance?as_of=2030-01-01T00:00:00Z"
            try:
                return (await self._http.get(f"{self._anywhere()}{path}", headers=self._headers(READER))).status_code
            except httpx2.TransportError:
                return 0

        return set(await asyncio.gather(*(one() for _ in range(readers))))

    async def catch_up(self, within: float) -> None:
        """Every follower has seen all that there is to see. Raises Stalled."""
        deadline = time.monotonic() + within
        for name in EVENTS_AT_A_TIME:
            while await self._follow(name):
                if time.monotonic() > deadline:
                    raise Stalled(f"the {name} had not seen all events after {within:.0f} s")

    async def send_file(self, items: int) -> None:
        """A file of new facts, until every item of it is settled."""
        await self._deliver_file([self._new_item() for _ in range(items)])

    async def _until_closing(self, work: Work) -> None:
        while self._open:
            await work()
            await asyncio.sleep(self._chance.uniform(0, PAUSE_S))

    async def _till(self) -> None:
        ask = self._new(drawn(self.cast).name)
        if self._chance.random() < DRY_RUN:
            await self._deliver(self._asked(ask.verb, f"{ask.path}{DRY}", ask.key, ask.body))
        mischief = self._chance.random()
        if mischief < TWICE_AT_ONCE:
            await asyncio.gather(self._deliver(ask), self._deliver(self._under_a_second_key(ask)))
        elif not await self._deliver(ask):
            return
        elif mischief < TWICE_AT_ONCE + SECOND_KEY:
            await self._deliver(self._under_a_second_key(ask))
        elif mischief < TWICE_AT_ONCE + SECOND_KEY + IMPOSTOR and "reference" in ask.body:
            await self._deliver(self._impostor(ask))

    async def _file(self) -> None:
        await self.send_file(self._chance.randrange(2, FILE_ITEMS))
        await asyncio.sleep(self._chance.uniform(0, 4 * PAUSE_S))

    async def _looker(self) -> None:
        member, sent = self._chance.choice(self.cast.members).id, time.time()
        try:
            path = f"/v1/members/{member}/entries?limit=1"
            answer = await self._http.get(f"{self._anywhere()}{path}", headers=self._headers(READER))
        except httpx2.TransportError:
            return
        if answer.status_code == 200:
            items = answer.json()["items"]
            self._record.looked(member, sent, items[0] if items else None)

    async def _follow(self, follower: str) -> bool:
        """The next page of events: whether there was any."""
        cursor = self._cursors[follower]
        after = f"&after={cursor}" if cursor else ""
        path = f"/v1/events?limit={EVENTS_AT_A_TIME[follower]}{after}"
        try:
            answer = await self._http.get(f"{self._anywhere()}{path}", headers=self._headers(READER))
        except httpx2.TransportError:
            return True  # nobody knows
        if answer.status_code != 200:
            return True
        page = answer.json()
        self._cursors[follower] = page["next_cursor"] or ""
        if page["items"]:
            self._record.followed(follower, page["items"])
        return bool(page["items"])

    def _under_a_second_key(self, ask: Ask) -> Ask:
        return self._asked(ask.verb, ask.path, f"{ask.key}-again", ask.body)

    def _impostor(self, ask: Ask) -> Ask:
        """Another request under the same key."""
        return self._asked(ask.verb, ask.path, ask.key, {**ask.body, "reference": f"{ask.body['reference']}-impostor"})

    def _new(self, verb: str) -> Ask:
        made = VERBS[verb].make(self.cast)
        return self._asked(verb, VERBS[verb].where(self.cast), f"k-{self.requests}", made)

    def _new_item(self) -> Ask:
        """An item of a file, with a key of its own or the one that its reference makes."""
        verb = drawn(self.cast, for_file=True)
        body = {**verb.make(self.cast)}
        key = f"i-{self.requests}"
        if self._chance.random() < 0.5:
            body["idempotency_key"] = key
        return self._asked(verb.name, BULK, key, body)

    def _asked(self, verb: str, path: str, key: str, body: dict[str, Any]) -> Ask:
        self.requests += 1
        return self._record.ask(verb, path, key, body)

    async def _deliver(
        self, ask: Ask, *, to: str | None = None, within: float | None = None, resolved: bool = True
    ) -> bool:
        """Send it until it is settled; whether it is (False: nobody tries any more). Raises Stalled."""
        deadline = None if within is None else time.monotonic() + within
        while True:
            copies = 2 if self.duplicating else 1
            fates = await asyncio.gather(*(self._attempt(ask, to or self._anywhere()) for _ in range(copies)))
            if Fate.SETTLED in fates:
                if resolved:
                    self.settled.append(ask)
                return True
            if deadline is not None and time.monotonic() > deadline:
                raise Stalled(f"request {ask.id} had no conclusive answer")
            may_leave = deadline is None and resolved and Fate.UNKNOWN in fates
            if may_leave and self._chance.random() < GIVES_UP:
                self._record.gave_up(ask)
                self.gave_up += 1
                return False
            await asyncio.sleep(self._chance.uniform(0.02, PAUSE_S))

    async def _attempt(self, ask: Ask, to: str) -> Fate:
        self.attempts += 1
        attempt = self._record.sent([ask], to)
        try:
            answer = await self._http.request(
                VERBS[ask.verb].method,
                f"{to}{ask.path}",
                content=orjson.dumps(ask.body),
                headers=self._headers(VERBS[ask.verb].role, ask.key),
                timeout=self.patience_s,
            )
        except httpx2.TransportError as error:
            self._record.lost(attempt, type(error).__name__)
            return Fate.NOTHING if isinstance(error, httpx2.ConnectError) else Fate.UNKNOWN
        replayed = answer.headers.get("idempotency-replayed") == "true"
        self._record.heard(attempt, ask, answer.status_code, answer.text, replayed=replayed)
        self.refused_503 += answer.status_code == 503
        self._learn(ask, answer.status_code, answer.content)
        return Fate.SETTLED if answer.status_code < 500 else Fate.UNKNOWN

    async def _deliver_file(self, asks: Sequence[Ask], *, resolved: bool = True) -> None:
        """Send the items until each is settled."""
        waiting = list(asks)
        while waiting:
            copies = 2 if self.duplicating else 1
            settled = set().union(
                *await asyncio.gather(*(self._attempt_file(waiting, self._anywhere()) for _ in range(copies)))
            )
            if resolved:
                self.settled.extend(ask for ask in waiting if ask.id in settled)
            waiting = [ask for ask in waiting if ask.id not in settled]
            if waiting:
                await asyncio.sleep(self._chance.uniform(0.02, PAUSE_S))

    async def _attempt_file(self, asks: Sequence[Ask], to: str) -> set[int]:
        """The ids of those that had a conclusive answer."""
        self.attempts += 1
        attempt = self._record.sent(asks, to)
        content = orjson.dumps({"items": [ask.body for ask in asks]})
        try:
            answer = await self._http.post(
                f"{to}{BULK}", content=content, headers=self._headers("pos"), timeout=self.patience_s
            )
        except httpx2.TransportError as error:
            self._record.lost(attempt, type(error).__name__)
            return set()
        if answer.status_code != 200:
            self.refused_503 += answer.status_code == 503
            for ask in asks:
                self._record.heard(attempt, ask, answer.status_code, answer.text, replayed=None)
            return {ask.id for ask in asks} if answer.status_code < 500 else set()
        results = orjson.loads(answer.content)["results"]
        for ask, result in zip(asks, results, strict=True):
            body = orjson.dumps(result["body"])
            self._record.heard(attempt, ask, result["status"], body.decode(), replayed=None)
            self._learn(ask, result["status"], body)
        return {ask.id for ask, result in zip(asks, results, strict=True) if result["status"] < 500}

    def _learn(self, ask: Ask, status: int, content: bytes) -> None:
        """Remember what can be asked about next, once."""
        learn = VERBS[ask.verb].learn
        if learn is not None and status < 400 and not ask.dry and ask.id not in self._learnt:
            self._learnt.add(ask.id)
            learn(self.cast, ask, orjson.loads(content))

    def _headers(self, role: str, key: str | None = None) -> dict[str, str]:
        keyed = {} if key is None else {"Idempotency-Key": key}
        return {**self._admissions[role], "Content-Type": "application/json", **keyed}

    def _anywhere(self) -> str:
        return self._chance.choice(self.addresses)
