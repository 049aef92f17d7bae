"""What counts towards tiers beside net spend, and tiers that were given by hand. Only expands."""

import re

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = """
create table tier_count (
    bucket smallint not null,
    programme_id integer not null,
    member_id uuid not null,
    metric text not null,
    first_day date not null,
    amount bigint not null,
    constraint tier_count_pkey primary key (bucket, programme_id, member_id, metric, first_day),
    constraint tier_count_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15))
) with (fillfactor = 60);

create table tier_grant (
    bucket smallint not null,
    programme_id integer not null,
    member_id uuid not null,
    tier text not null,
    until timestamptz,
    locked boolean not null,
    earned_tier text not null,
    earned_since timestamptz not null,
    earned_until timestamptz,
    constraint tier_grant_pkey primary key (bucket, programme_id, member_id),
    constraint tier_grant_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15))
) with (fillfactor = 60)
"""

COUNT = "bucket smallint, member_id uuid, metric text, first_day date, amount bigint"
GRANT = (
    "bucket smallint, member_id uuid, tier text, until timestamptz, locked boolean, earned_tier text,"
    " earned_since timestamptz, earned_until timestamptz"
)
TYPES = {
    "tier_count_row": COUNT,
    "tier_count_change": COUNT,
    "tier_grant_row": GRANT,
    "tier_grant_change": GRANT,
    "member_row_2": "bucket smallint, id uuid, number text, status text, store text, enrolled_at timestamptz,"
    " sequence bigint, head bytea, effective_at timestamptz, recorded_at timestamptz, due_at timestamptz, tier text,"
    " tier_since timestamptz, tier_until timestamptz, tier_granted boolean",
    "member_change_2": "bucket smallint, id uuid, status text, sequence bigint, head bytea, effective_at timestamptz,"
    " recorded_at timestamptz, due_at timestamptz, tier text, tier_since timestamptz, tier_until timestamptz,"
    " tier_granted boolean",
}


def upgrade() -> None:
    for statement in TABLES.split(";"):
        op.execute(statement.strip())
        (table,) = re.findall("create table (\\w+)", statement)
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy programme_wall on {table}"
            " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
        )
        op.execute(f"grant select, insert on {table} to loyalty_run")
    op.execute("grant update (amount) on tier_count to loyalty_run")
    op.execute(
        "grant update (tier, until, locked, earned_tier, earned_since, earned_until) on tier_grant to loyalty_run"
    )
    op.execute("alter table member add column tier_granted boolean not null default false")
    op.execute("grant update (tier_granted) on member to loyalty_run")
    for name, columns in TYPES.items():
        op.execute(f"create type {name} as ({columns})")


def downgrade() -> None:
    for name in TYPES:
        op.execute(f"drop type {name}")
    op.execute("alter table member drop column tier_granted")
    op.execute("drop table tier_grant")
    op.execute("drop table tier_count")
