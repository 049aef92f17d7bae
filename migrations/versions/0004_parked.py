"""Returns that came before their sale, kept until it comes or their time is over."""

import re

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PARKED = """
create table parked_return (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    awaits_source text not null,
    awaits_reference text not null,
    awaits_date text not null,
    lines json,
    source text not null,
    reference text not null,
    store text,
    reason text,
    occurred_at timestamptz not null,
    parked_at timestamptz not null,
    until timestamptz not null,
    status text not null,
    outcome text,
    constraint parked_return_pkey primary key (bucket, programme_id, id),
    constraint parked_return_bucket_is_of_id check (bucket = get_byte(uuid_send(id), 15)),
    constraint parked_return_status_known check (status in ('waiting', 'cured', 'refused', 'lapsed'))
);

create index parked_return_waiting on parked_return (programme_id, parked_at, id) where status = 'waiting'
"""

ROWS = """
create type parked_return_row as (
    bucket smallint, id uuid, awaits_source text, awaits_reference text, awaits_date text, lines json,
    source text, reference text, store text, reason text, occurred_at timestamptz, parked_at timestamptz,
    until timestamptz, status text, outcome text
);

create type parked_return_change as (
    bucket smallint, id uuid, status text, outcome text
)
"""


def upgrade() -> None:
    for statements in (PARKED, ROWS):
        for statement in statements.strip().split(";\n\n"):
            op.execute(statement)
    op.execute("alter table parked_return enable row level security")
    op.execute(
        "create policy programme_wall on parked_return"
        " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
    )
    op.execute("grant select, insert on parked_return to loyalty_run")
    op.execute("grant update (status, outcome) on parked_return to loyalty_run")


def downgrade() -> None:
    op.execute("drop table parked_return")
    for row in re.findall(r"create type (\w+)", ROWS):
        op.execute(f"drop type {row}")
