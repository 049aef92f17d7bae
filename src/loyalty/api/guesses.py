"""Whoever guesses is slowed: so many wrong codes in a minute, then none is looked at for a while."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from loyalty.api.problems import Problem
from loyalty.domain.refusals import CodeNotValid

_Place = tuple[RateLimitItem, tuple[str, ...]]

OF_A_CLIENT: Final[RateLimitItem] = RateLimitItemPerMinute(20)
OF_A_CLIENT_FOR_A_CARD: Final[RateLimitItem] = RateLimitItemPerMinute(5)
"""Wrong codes, in each process. At eight digits and three steps, a card is guessed in some five hundred years."""


class TooManyGuesses(Problem):
    """Another code is not even looked at."""

    def __init__(self) -> None:
        super().__init__("too_many_guesses", "Too many wrong codes came from this client; wait a minute.")


class Guesses:
    """The wrong codes of the last minute, and the codes that are being looked at, by client and card."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._looked_at: Counter[_Place] = Counter()
        self._told = asyncio.Condition()

    @asynccontextmanager
    async def guess(self, client_id: str, card: str) -> AsyncIterator[None]:
        """A code is looked at, and counts if that raises CodeNotValid. Raises TooManyGuesses.

        No more are looked at at a time than may still be wrong: the others wait, so many at once gain nothing.
        """
        places = ((OF_A_CLIENT, (client_id,)), (OF_A_CLIENT_FOR_A_CARD, (client_id, card)))
        async with self._told:
            while not all([await self._has_room(place) for place in places]):
                await self._told.wait()
            self._looked_at.update(places)
        try:
            yield
        except CodeNotValid:
            for limit, who in places:
                await self._limiter.hit(limit, *who)
            raise
        finally:
            async with self._told:
                self._looked_at -= Counter(places)  # what comes to nothing is forgotten
                self._told.notify_all()

    async def _has_room(self, place: _Place) -> bool:
        """Whether one more may be looked at now. Raises TooManyGuesses."""
        limit, who = place
        left = (await self._limiter.get_window_stats(limit, *who)).remaining
        if left <= 0:
            raise TooManyGuesses
        return left > self._looked_at[place]
