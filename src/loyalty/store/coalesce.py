"""Reads that wait together are read together: one statement for all keys asked for in a turn of the loop."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from loyalty.domain.programme import Programme

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

AT_MOST = 512
"""Most keys in one statement."""

Fetch = Callable[[Programme, list[K]], Awaitable[dict[K, V]]]


class Coalescer(Generic[K, V]):
    """Fetches values by key; while one statement is under way, later askers gather for the next."""

    def __init__(self, fetch: Fetch[K, V]) -> None:
        self._fetch = fetch
        self._waiting: dict[int, tuple[Programme, dict[K, asyncio.Future[V | None]]]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def get(self, programme: Programme, key: K) -> V | None:
        """The value under the key, or None. Raises what the fetch raised."""
        _, waiting = self._waiting.setdefault(programme.id, (programme, {}))
        future = waiting.get(key)
        if future is None:
            future = waiting[key] = asyncio.get_running_loop().create_future()
        if programme.id not in self._tasks:
            self._tasks[programme.id] = asyncio.create_task(self._work(programme.id))
        return await asyncio.shield(future)

    async def _work(self, programme_id: int) -> None:
        """Fetch for everyone who waits until nobody does."""
        try:
            while programme_id in self._waiting:
                await asyncio.sleep(0)  # let every request that is ready in this turn of the loop join
                programme, waiting = self._waiting.pop(programme_id)
                keys = list(waiting)
                for start in range(0, len(keys), AT_MOST):
                    await self._answer(programme, {key: waiting[key] for key in keys[start : start + AT_MOST]})
        finally:
            del self._tasks[programme_id]

    async def _answer(self, programme: Programme, waiting: dict[K, "asyncio.Future[V | None]"]) -> None:
        try:
            found = await self._fetch(programme, list(waiting))
        except Exception as error:  # noqa: BLE001 - it is each asker's to handle
            for future in waiting.values():
                if not future.done():
                    future.set_exception(error)
            return
        for key, future in waiting.items():
            if not future.done():
                future.set_result(found.get(key))
