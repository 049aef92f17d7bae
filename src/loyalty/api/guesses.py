"""Whoever guesses is slowed: so many wrong codes in a minute, then none is looked at for a while."""

from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from loyalty.api.problems import Problem

OF_A_CLIENT: Final[RateLimitItem] = RateLimitItemPerMinute(20)
OF_A_CLIENT_FOR_A_CARD: Final[RateLimitItem] = RateLimitItemPerMinute(5)
"""Wrong codes, in each process. At eight digits and three steps, a card is guessed in some five hundred years."""


class TooManyGuesses(Problem):
    """Another code is not even looked at."""

    def __init__(self) -> None:
        super().__init__("too_many_guesses", "Too many wrong codes came from this client; wait a minute.")


class Guesses:
    """The wrong codes of the last minute, by client and card."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def check(self, client_id: str, card: str) -> None:
        """Raises TooManyGuesses."""
        for limit, who in self._limits(client_id, card):
            if not await self._limiter.test(limit, *who):
                raise TooManyGuesses

    async def count(self, client_id: str, card: str) -> None:
        """One more was wrong."""
        for limit, who in self._limits(client_id, card):
            await self._limiter.hit(limit, *who)

    def _limits(self, client_id: str, card: str) -> tuple[tuple[RateLimitItem, tuple[str, ...]], ...]:
        return (OF_A_CLIENT, (client_id,)), (OF_A_CLIENT_FOR_A_CARD, (client_id, card))
