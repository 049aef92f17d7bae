"""Every verb: holds, how much of an entry was taken back, adjustments that wait for approval, what lapsed of a lot.

Only expands: what the service before it writes stays right.
"""

import re

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LOT = """
alter table lot add column lapsed bigint not null default 0
"""

HOLD = """
create table hold (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    member_id uuid not null,
    wallet text not null,
    points bigint not null,
    status text not null,
    captured bigint not null,
    opened_at timestamptz not null,
    expires_at timestamptz not null,
    constraint hold_pkey primary key (bucket, programme_id, id),
    constraint hold_bucket_is_of_member check (
        bucket = get_byte(uuid_send(member_id), 15)
        and bucket = get_byte(uuid_send(id), 15)
    ),
    constraint hold_status_known check (status in ('open', 'captured', 'released', 'expired')),
    constraint hold_captured_in_range check (points > 0 and captured between 0 and points),
    constraint hold_captures_when_captured check ((captured > 0) = (status = 'captured')),
    constraint hold_ends_after_it_begins check (expires_at > opened_at)
) with (fillfactor = 80);

create index hold_open on hold (bucket, programme_id, member_id) where status = 'open'
"""

REVERSAL = """
create table reversal (
    bucket smallint not null,
    programme_id integer not null,
    entry_id uuid not null,
    member_id uuid not null,
    points bigint not null,
    done json not null,
    constraint reversal_pkey primary key (bucket, programme_id, entry_id),
    constraint reversal_bucket_is_of_member check (
        bucket = get_byte(uuid_send(member_id), 15)
        and bucket = get_byte(uuid_send(entry_id), 15)
    ),
    constraint reversal_points_not_negative check (points >= 0)
) with (fillfactor = 80)
"""

ADJUSTMENT = """
create table adjustment (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    member_id uuid not null,
    wallet text not null,
    points bigint not null,
    reason text not null,
    source text not null,
    reference text not null,
    status text not null,
    requested_by text not null,
    decided_by text,
    requested_at timestamptz not null,
    constraint adjustment_pkey primary key (bucket, programme_id, id),
    constraint adjustment_bucket_is_of_member check (
        bucket = get_byte(uuid_send(member_id), 15)
        and bucket = get_byte(uuid_send(id), 15)
    ),
    constraint adjustment_status_known check (status in ('awaiting_approval', 'approved', 'rejected')),
    constraint adjustment_points_not_zero check (points <> 0),
    constraint adjustment_two_people check (decided_by <> requested_by)
) with (fillfactor = 80)
"""

ROWS = """
create type lot_row_2 as (
    bucket smallint, id uuid, member_id uuid, wallet text, state text, points bigint, drawn bigint, restored
    bigint, earned_at timestamptz, matures_at timestamptz, expires_at timestamptz, entry_id uuid, source
    text, store text, funder text, lapsed bigint
);

create type lot_change_2 as (
    bucket smallint, id uuid, state text, drawn bigint, restored bigint, lapsed bigint
);

create type hold_row as (
    bucket smallint, id uuid, member_id uuid, wallet text, points bigint, status text, captured bigint,
    opened_at timestamptz, expires_at timestamptz
);

create type hold_change as (
    bucket smallint, id uuid, status text, captured bigint
);

create type reversal_row as (
    bucket smallint, entry_id uuid, member_id uuid, points bigint, done json
);

create type reversal_change as (
    bucket smallint, entry_id uuid, points bigint, done json
);

create type adjustment_row as (
    bucket smallint, id uuid, member_id uuid, wallet text, points bigint, reason text, source text,
    reference text, status text, requested_by text, decided_by text, requested_at timestamptz
);

create type adjustment_change as (
    bucket smallint, id uuid, status text, decided_by text
)
"""

CHANGED = {
    "hold": "status, captured",
    "reversal": "points, done",
    "adjustment": "status, decided_by",
}


def upgrade() -> None:
    for statements in (LOT, HOLD, REVERSAL, ADJUSTMENT, ROWS):
        for statement in statements.strip().split(";\n\n"):
            op.execute(statement)
    op.execute("grant update (lapsed) on lot to loyalty_run")
    for table, columns in CHANGED.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy programme_wall on {table}"
            " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
        )
        op.execute(f"grant select, insert on {table} to loyalty_run")
        op.execute(f"grant update ({columns}) on {table} to loyalty_run")


def downgrade() -> None:
    for table in CHANGED:
        op.execute(f"drop table {table}")
    for row in re.findall(r"create type (\w+)", ROWS):
        op.execute(f"drop type {row}")
    op.execute("alter table lot drop column lapsed")
