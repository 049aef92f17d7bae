"""Channels that a programme is connected to, and where what they show differs from what there is. Only expands."""

import re

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = """
create table channel (
    bucket smallint not null,
    programme_id integer not null,
    name text not null,
    adapter text not null,
    points_master text not null,
    wallet text not null,
    points_per_unit integer not null,
    phones_verified boolean not null,
    secret bytea not null,
    secret_since timestamptz not null,
    former_secret bytea,
    former_until timestamptz,
    connected_at timestamptz not null,
    connected_by text not null,
    constraint channel_pkey primary key (bucket, programme_id, name),
    constraint channel_named_once unique (programme_id, name),
    constraint channel_points_master_known check (points_master in ('ours', 'channel')),
    constraint channel_points_per_unit_positive check (points_per_unit > 0),
    constraint channel_former_secret_ends check (num_nonnulls(former_secret, former_until) in (0, 2))
);

create table difference (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    channel text not null,
    member_id uuid not null,
    points_master text not null,
    shown_points bigint not null,
    shown_tier text,
    our_points bigint not null,
    our_tier text,
    as_of timestamptz not null,
    found_at timestamptz not null,
    status text not null,
    ended_at timestamptz,
    constraint difference_pkey primary key (bucket, programme_id, id),
    constraint difference_bucket_is_of_id check (bucket = get_byte(uuid_send(id), 15)),
    constraint difference_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15)),
    constraint difference_points_master_known check (points_master in ('ours', 'channel')),
    constraint difference_status_known check (status in ('open', 'settled', 'replaced')),
    constraint difference_ends_once check ((ended_at is null) = (status = 'open'))
);

create index difference_open on difference (bucket, programme_id, member_id, channel) where status = 'open';

create index difference_listed on difference (programme_id, channel, id) where status = 'open'
"""

ROWS = """
create type channel_row as (
    bucket smallint, name text, adapter text, points_master text, wallet text, points_per_unit integer,
    phones_verified boolean, secret bytea, secret_since timestamptz, former_secret bytea, former_until timestamptz,
    connected_at timestamptz, connected_by text
);

create type channel_change as (
    bucket smallint, name text, points_master text, wallet text, points_per_unit integer, phones_verified boolean,
    secret bytea, secret_since timestamptz, former_secret bytea, former_until timestamptz
);

create type difference_row as (
    bucket smallint, id uuid, channel text, member_id uuid, points_master text, shown_points bigint, shown_tier text,
    our_points bigint, our_tier text, as_of timestamptz, found_at timestamptz, status text, ended_at timestamptz
);

create type difference_change as (
    bucket smallint, id uuid, status text, ended_at timestamptz
)
"""

CHANGED = {
    "channel": "points_master, wallet, points_per_unit, phones_verified, secret, secret_since, former_secret,"
    " former_until",
    "difference": "status, ended_at",
}


def upgrade() -> None:
    for statements in (TABLES, ROWS):
        for statement in statements.strip().split(";\n\n"):
            op.execute(statement)
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
