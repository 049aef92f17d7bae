"""Creating programmes and keys, as the owner."""

from collections.abc import Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from loyalty.domain.programme import Programme
from loyalty.store import programmes
from loyalty.store.programmes import ApiKey


async def ensure_programme(owner_url: str, programme: Programme) -> Programme:
    """The programme of this code: created from the settings given, or as it is already."""
    engine = create_async_engine(owner_url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await programmes.ensure(connection, programme)
        found = await programmes.read(engine, programme.code)
        assert found is not None, "it has just been created"
        return found
    finally:
        await engine.dispose()


async def add_keys(owner_url: str, keys: Sequence[ApiKey]) -> None:
    """Keep the keys."""
    engine = create_async_engine(owner_url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            for key in keys:
                await programmes.add_key(connection, key)
    finally:
        await engine.dispose()


async def knows_keys(owner_url: str, programme: Programme, tokens: Iterable[str]) -> bool:
    """Whether every one of the tokens, and at least one, is a key of the programme."""
    ids = [token.split("_")[1] for token in tokens]
    engine = create_async_engine(owner_url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            known = await connection.scalar(
                text("select count(*) from api_key where programme_id = :the_programme and id = any(:the_ids)"),
                {"the_programme": programme.id, "the_ids": ids},
            )
    finally:
        await engine.dispose()
    return bool(ids) and known == len(ids)
