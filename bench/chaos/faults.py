"""What can go wrong: a table of faults, drawn by the seed.

A fault returns the moment (`time.monotonic`) from which on the service owes us readiness: when a process was killed,
or when whatever stood in its way was taken away. It raises Broken when the service did not do what it promises.
"""

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import asyncpg

from bench.chaos.clients import PATIENCE_S, Clients
from bench.chaos.proxy import Commits
from bench.chaos.site import MAX_CONNECTIONS, RUNNER, SHUTDOWN_S, Site

TABLES = ("member", "book", "lot", "entry", "posting", "draw", "replay", "reference", "identity", "event", "api_key")
"""Those that a migration may lock while requests come."""
EXPECTED_TO_PASS_S = 10.0
"""How long a table may be so busy that a migration does not get its lock."""

CROWD = 150
"""Readers that come at once."""
ENDING_S = 10
"""How long a server may take to end once its deadline for draining has passed."""


class Broken(Exception):
    """The service did not do what it promises."""


class Scene(NamedTuple):
    """What a fault may lay hands on."""

    site: Site
    clients: Clients
    chance: random.Random


Fault = Callable[[Scene], Awaitable[float]]


async def kill_process(scene: Scene) -> float:
    """SIGKILL of one process of a server that has several; its supervisor starts another."""
    servers = [server for server in scene.site.servers if server.workers()]
    os.kill(scene.chance.choice(scene.chance.choice(servers).workers()), signal.SIGKILL)
    return time.monotonic()


async def kill_server(scene: Scene) -> float:
    """SIGKILL of a server's first process alone: the processes below must leave too, or its port stays taken."""
    place = scene.chance.randrange(len(scene.site.servers))
    killed = time.monotonic()
    scene.site.servers[place].process.kill()
    await scene.site.servers[place].ended(SHUTDOWN_S)
    await scene.site.start_again(place)
    return killed


async def drain_server(scene: Scene) -> float:
    """SIGTERM: it answers what it has begun, ends with 0 within its deadline, and is started again."""
    place = scene.chance.randrange(len(scene.site.servers))
    server, asked = scene.site.servers[place], time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    try:
        code = await server.ended(SHUTDOWN_S + ENDING_S)
    except subprocess.TimeoutExpired:
        raise Broken(f"a server asked to stop was still there {ENDING_S} s after its deadline") from None
    if code:
        raise Broken(f"a server asked to stop ended with {code}")
    await scene.site.start_again(place)
    return asked


async def kill_at_commit(scene: Scene) -> float:
    """SIGKILL of every server after Postgres has committed, before anybody is answered."""
    site = scene.site
    site.proxy.next_commits(*[Commits.KEEP_ANSWER] * scene.chance.randrange(1, 4))
    await site.proxy.held.wait()
    killed = time.monotonic()
    for server in site.servers:
        server.kill()
    site.proxy.next_commits()
    site.proxy.release()
    for place in range(len(site.servers)):
        await site.start_again(place)
    return killed


async def kill_worker(scene: Scene) -> float:
    """SIGKILL of the background worker, and another."""
    assert scene.site.worker is not None, "the site is open"
    scene.site.worker.kill()
    scene.site.worker.wait()
    scene.site.start_worker()
    return time.monotonic()


async def stop_postgres(scene: Scene) -> float:
    """An immediate stop of Postgres; it recovers while clients and servers come and go."""
    await scene.site.stop_postgres()
    await asyncio.sleep(scene.chance.uniform(0, 0.5))
    begun = time.monotonic()
    await scene.site.start_postgres()
    return begun


async def cut_connections(scene: Scene) -> float:
    """Every connection to Postgres is cut, some times in a row."""
    for _ in range(scene.chance.randrange(1, 4)):
        scene.site.proxy.drop_all()
        await asyncio.sleep(scene.chance.uniform(0, 0.1))
    return time.monotonic()


async def lose_commits(scene: Scene) -> float:
    """Connections are cut at a COMMIT before Postgres has seen it."""
    return await _spoil_commits(scene, Commits.LOSE)


async def lose_answers(scene: Scene) -> float:
    """Connections are cut at a COMMIT after Postgres has made it."""
    return await _spoil_commits(scene, Commits.LOSE_ANSWER)


async def _spoil_commits(scene: Scene, rule: Commits) -> float:
    scene.site.proxy.next_commits(*[rule] * scene.chance.randrange(1, 6))
    await scene.site.proxy.spoilt.wait()
    return time.monotonic()


async def delay_connections(scene: Scene) -> float:
    """Everything on the way to Postgres is late."""
    scene.site.proxy.delay_s = scene.chance.uniform(0.01, 0.25)
    await asyncio.sleep(scene.chance.uniform(0.3, 1.5))
    scene.site.proxy.delay_s = 0.0
    return time.monotonic()


async def exhaust_connections(scene: Scene) -> float:
    """Somebody else holds every connection that Postgres gives to the role that runs."""
    held = []
    try:
        scene.site.proxy.drop_all()
        until = time.monotonic() + scene.chance.uniform(0.5, 1.5)
        while time.monotonic() < until:
            try:
                held.append(await scene.site.connect(RUNNER))
            except (asyncpg.TooManyConnectionsError, OSError):
                await asyncio.sleep(0.02)
            assert len(held) <= MAX_CONNECTIONS, "there are no more"
    finally:
        await asyncio.gather(*(one.close() for one in held))
    return time.monotonic()


async def fill_queue(scene: Scene) -> float:
    """More bulk than a process can take, while its members are locked; files wait for room."""
    site, clients = scene.site, scene.clients
    owner = await site.connect()
    try:
        async with owner.transaction():
            await owner.execute("select 1 from member order by bucket, id for update")
            place = scene.chance.randrange(len(site.servers))
            floods = asyncio.ensure_future(clients.flood(6, 1_000, site.addresses[place]))
            files = asyncio.ensure_future(clients.send_file(150))
            await asyncio.sleep(scene.chance.uniform(0.3, 1.0))
        over = time.monotonic()
        await floods
        await files
    finally:
        await owner.close()
    return over


async def lock_members(scene: Scene) -> float:
    """A long transaction of somebody else's holds some members for about a second."""
    people = scene.clients.cast.members
    chosen = scene.chance.sample(people, scene.chance.randrange(1, max(2, len(people))))
    owner = await scene.site.connect()
    try:
        async with owner.transaction():
            await owner.execute(
                "select 1 from member where id = any($1::uuid[]) order by bucket, id for update",
                [person.id.removeprefix("mem_") for person in chosen],
            )
            await asyncio.sleep(scene.chance.uniform(0.5, 2.0))
    finally:
        await owner.close()
    return time.monotonic()


async def lock_table(scene: Scene) -> float:
    """A migration holds a table to itself for a while."""
    owner = await scene.site.connect()
    try:
        async with owner.transaction():
            await owner.execute(f"lock table {scene.chance.choice(TABLES)} in access exclusive mode")
            await asyncio.sleep(scene.chance.uniform(0.2, 2.0))
    finally:
        await owner.close()
    return time.monotonic()


async def add_column(scene: Scene) -> float:
    """A migration adds a column and takes it away again, with little patience for its locks and many tries."""
    table = scene.chance.choice(TABLES)
    owner = await scene.site.connect()
    try:
        await owner.execute("set lock_timeout = '100ms'")
        for change in ("add column chaos int", "drop column chaos"):
            deadline = time.monotonic() + EXPECTED_TO_PASS_S
            while True:
                try:
                    await owner.execute(f"alter table {table} {change}")
                    break
                except asyncpg.LockNotAvailableError:
                    if time.monotonic() > deadline:
                        raise Broken(f"{table} was never free for a migration") from None
                    await asyncio.sleep(0.02)
            await asyncio.sleep(scene.chance.uniform(0.1, 0.4))
    finally:
        await owner.close()
    return time.monotonic()


async def restart_in_migration(scene: Scene) -> float:
    """A server is killed and started while a migration holds a table; the migration passes, or is lost.

    Before it, all migrations are asked for twice at the same time: there is nothing left for them to do.
    """
    if any(await asyncio.gather(scene.site.migration_fails(), scene.site.migration_fails())):
        raise Broken("migrations that had nothing to do failed; see migrate.log")
    site, table = scene.site, scene.chance.choice(TABLES)
    place, passes = scene.chance.randrange(len(site.servers)), scene.chance.random() < 0.5
    owner = await site.connect()
    try:
        migration = owner.transaction()
        await migration.start()
        await owner.execute(f"alter table {table} add column chaos int")
        site.servers[place].kill()
        await site.start_again(place)
        await asyncio.sleep(scene.chance.uniform(0.2, 1.5))
        await (migration.commit() if passes else migration.rollback())
        over = time.monotonic()
        if passes:
            await owner.execute(f"alter table {table} drop column chaos")
    finally:
        await owner.close()
    return over


async def keep_transaction_open(scene: Scene) -> float:
    """A long transaction of somebody else's has begun to write: those who follow the events wait for its end."""
    owner = await scene.site.connect()
    try:
        async with owner.transaction():
            await owner.execute("select pg_current_xact_id()")
            await asyncio.sleep(scene.chance.uniform(0.5, 3.0))
    finally:
        await owner.close()
    return time.monotonic()


async def crowd_in(scene: Scene) -> float:
    """More readers than the service has connections for, while what they want to read is locked."""
    owner = await scene.site.connect()
    try:
        async with owner.transaction():
            await owner.execute("lock table book in access exclusive mode")
            crowd = asyncio.ensure_future(scene.clients.stare(CROWD))
            await asyncio.sleep(scene.chance.uniform(0.3, 1.0))
        over = time.monotonic()
        seen = await crowd
    finally:
        await owner.close()
    if seen - {0, 200, 503}:
        raise Broken(f"readers saw {sorted(seen)}")
    return over


async def lose_patience(scene: Scene) -> float:
    """Clients hang up before they are answered and send it again, while the first may still be under way."""
    clients, proxy = scene.clients, scene.site.proxy
    clients.patience_s, proxy.delay_s = scene.chance.uniform(0.02, 0.2), scene.chance.uniform(0, 0.04)
    await asyncio.sleep(scene.chance.uniform(0.5, 1.5))
    clients.patience_s, proxy.delay_s = PATIENCE_S, 0.0
    return time.monotonic()


async def duplicate_requests(scene: Scene) -> float:
    """Every request is sent twice at the same time, to whichever servers."""
    scene.clients.duplicating = True
    await asyncio.sleep(scene.chance.uniform(0.5, 1.5))
    scene.clients.duplicating = False
    return time.monotonic()


async def reorder_requests(scene: Scene) -> float:
    """Requests settled long ago arrive again, in any order."""
    settled = scene.clients.settled
    await scene.clients.again(scene.chance.sample(settled, min(60, len(settled))))
    return time.monotonic()


async def skew_clocks(scene: Scene) -> float:
    """The clients' clocks are wrong: days behind, minutes ahead, or further ahead than is tolerated."""
    scene.clients.cast.skewed = True
    await asyncio.sleep(scene.chance.uniform(0.5, 1.5))
    scene.clients.cast.skewed = False
    return time.monotonic()


async def two_at_once(scene: Scene) -> float:
    """A process goes, and at the same time the way to Postgres or the clients are not themselves."""
    goes = scene.chance.choice((kill_process, kill_server, drain_server, kill_worker, stop_postgres))
    errs = scene.chance.choice((cut_connections, lose_commits, lose_answers, delay_connections, duplicate_requests))
    return max(await asyncio.gather(goes(scene), errs(scene)))


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_process,
        kill_server,
        kill_at_commit,
        drain_server,
        kill_worker,
        stop_postgres,
        cut_connections,
        lose_commits,
        lose_answers,
        delay_connections,
        exhaust_connections,
        fill_queue,
        lock_members,
        lock_table,
        add_column,
        restart_in_migration,
        keep_transaction_open,
        crowd_in,
        lose_patience,
        duplicate_requests,
        reorder_requests,
        skew_clocks,
        two_at_once,
    )
}


def drawn(chance: random.Random, kinds: Sequence[str] = ()) -> Iterator[str]:
    """Kinds of fault without end, of these or of all; each comes once before any comes again."""
    chosen = sorted(kinds or FAULTS)
    while True:
        yield from chance.sample(chosen, len(chosen))
