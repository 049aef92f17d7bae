"""The machine's ledger in Postgres: each a programme of its own, driven through the door or through lanes."""

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy.ext.asyncio import create_async_engine

from loyalty.domain.programme import Programme
from loyalty.operations.door import Answer, Submission, commit_batch
from loyalty.operations.lanes import Lanes
from loyalty.store.database import Database
from tests import laws
from tests.conftest import Urls, kept_programme


class Postgres:
    """Connections and an event loop that many ledgers share, one after the other."""

    def __init__(self, urls: Urls) -> None:
        self._runner = asyncio.Runner()
        self.database = self.run(self._database(urls.running))
        self.owner = create_async_engine(urls.owner, pool_size=1)
        self.lanes = self.run(self._lanes())

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    async def _database(self, url: str) -> Database:
        return Database(url)

    async def _lanes(self) -> Lanes:
        lanes = Lanes(self.database, count=2)
        lanes.start()
        return lanes

    def close(self) -> None:
        async def close() -> None:
            await self.lanes.drain(10)
            await self.database.close()
            await self.owner.dispose()

        self.run(close())
        self._runner.close()


class InPostgres:
    """A ledger of the machine. Through lanes it takes one command at a time: two lanes keep no order."""

    def __init__(self, postgres: Postgres, programme: Programme, through: Literal["door", "lanes"]) -> None:
        self._postgres = postgres
        self._through = through
        self.programme = postgres.run(kept_programme(postgres.owner, programme))

    def commit(self, asks: Sequence[Submission]) -> list[Answer]:
        answers: list[Answer] = self._postgres.run(self._commit(asks))
        return answers

    async def _commit(self, asks: Sequence[Submission]) -> list[Answer]:
        if self._through == "door":
            return await commit_batch(self._postgres.database, asks)
        return [await self._postgres.lanes.submit(ask) for ask in asks]

    def records(self) -> laws.Records:
        found: laws.Records = self._postgres.run(self._records())
        return found

    async def _records(self) -> laws.Records:
        async with self._postgres.owner.connect() as connection:
            return await laws.of_database(connection, self.programme)

    def close(self) -> None:
        pass
