"""For revisions: changing tables that are large and in use, while nobody waits. See `docs/migrations.md`.

What runs here runs outside any transaction, statement by statement, and may be cut off after each of them: all of it
may be run again, from the beginning.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from alembic import context, op

from loyalty.domain.ids import BUCKETS

ROWS_AT_A_TIME: Final = 500
"""Few enough that a request for one of the rows waits for milliseconds."""
ROUNDS: Final = 100
"""How often rows are looked for that others held when it was their turn; a second lies between two rounds."""


@contextmanager
def gently() -> Iterator[None]:
    """Without a transaction and without limits of time: for statements that take long and stand in nobody's way.

    They wait for others to end and make none wait: backfills, indexes built or dropped concurrently, a constraint that
    is validated. What takes a table for itself, however briefly, belongs into a revision of its own.
    """
    with op.get_context().autocommit_block():
        timeouts = context.config.attributes["timeouts"]
        for name in timeouts:
            op.execute(f"set {name} = 0")
        yield
        for name, value in timeouts.items():
            op.execute(f"set {name} = '{value}'")


def backfill(table: str, *, fill: str, where: str) -> None:
    """Set what is missing in the rows of a ledger table, `ROWS_AT_A_TIME` in a transaction, bucket by bucket.

    `where` tells a row `t` that lacks it and is false once it has been filled: so a backfill that was cut off is simply
    begun again. Rows that somebody holds are left for the next round: it never waits, so it cannot be part of a
    deadlock. Between two transactions it rests for as long as the last one took. Call it within `gently`.
    """
    op.execute(in_batches(table, fill, where))


def build_index(name: str, definition: str) -> None:
    """Build an index while the table is in use; one that was left unfinished is built anew. Call it within `gently`."""
    op.execute(f"drop index concurrently if exists {name}")
    op.execute(f"create index concurrently {name} on {definition}")


def in_batches(table: str, fill: str, where: str) -> str:
    """The statement of a backfill."""
    # The page is bounded by its last key first: rows that need nothing are passed over in the order of the key, once.
    return f"""
do $$
declare
    after_programme integer;
    after_id uuid;
    last_programme integer;
    last_id uuid;
    began timestamptz;
begin
    for round in 1..{ROUNDS} loop
        for the_bucket in 0..{BUCKETS - 1} loop
            after_programme := 0;
            after_id := '{"0" * 32}';
            loop
                began := clock_timestamp();
                select p.programme_id, p.id into last_programme, last_id
                  from (select t.programme_id, t.id from {table} t
                         where t.bucket = the_bucket and (t.programme_id, t.id) > (after_programme, after_id)
                         order by t.programme_id, t.id limit {ROWS_AT_A_TIME}) p
                 order by p.programme_id desc, p.id desc limit 1;
                exit when not found;
                update {table} set {fill}
                 where ctid = any (array(
                       select t.ctid from {table} t
                        where t.bucket = the_bucket and (t.programme_id, t.id) > (after_programme, after_id)
                          and (t.programme_id, t.id) <= (last_programme, last_id) and ({where})
                          for no key update skip locked));
                commit;
                perform pg_sleep(extract(epoch from clock_timestamp() - began));
                after_programme := last_programme;
                after_id := last_id;
            end loop;
        end loop;
        exit when not exists (select from {table} t where {where});
        perform pg_sleep(1);
    end loop;
    if exists (select from {table} t where {where}) then
        raise exception 'rows of {table} were held by others in each of {ROUNDS} rounds';
    end if;
end
$$
"""  # noqa: S608 - names and conditions are the revision's own
