"""Earning rules: drafts, their publication as versions, and how much of a member's caps is used. Only expands."""

import re

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
create table rule_draft (
    programme_id integer not null,
    id uuid not null,
    rules json not null,
    note text,
    drafted_at timestamptz not null,
    drafted_by text not null,
    constraint rule_draft_pkey primary key (programme_id, id)
);

create table rule_version (
    programme_id integer not null,
    version integer not null,
    draft_id uuid not null,
    effective_from timestamptz not null,
    published_at timestamptz not null,
    published_by text not null,
    hash bytea not null,
    constraint rule_version_pkey primary key (programme_id, version),
    constraint rule_version_draft_once unique (programme_id, draft_id),
    constraint rule_version_positive check (version > 0)
);

create table cap_use (
    bucket smallint not null,
    programme_id integer not null,
    member_id uuid not null,
    cap text not null,
    over text not null,
    points bigint not null,
    constraint cap_use_pkey primary key (bucket, programme_id, member_id, cap, over),
    constraint cap_use_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15)),
    constraint cap_use_positive check (points > 0)
)
"""

ROWS = """
create type rule_draft_row as (
    id uuid, rules json, note text, drafted_at timestamptz, drafted_by text
);

create type rule_version_row as (
    version integer, draft_id uuid, effective_from timestamptz, published_at timestamptz, published_by text,
    hash bytea
);

create type cap_use_row as (
    bucket smallint, member_id uuid, cap text, over text, points bigint
);

create type cap_use_change as (
    bucket smallint, member_id uuid, cap text, over text, points bigint
)
"""

ALL = ("rule_draft", "rule_version", "cap_use")


def upgrade() -> None:
    for statements in (TABLES, ROWS):
        for statement in statements.strip().split(";\n\n"):
            op.execute(statement)
    for table in ALL:
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy programme_wall on {table}"
            " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
        )
        op.execute(f"grant select, insert on {table} to loyalty_run")
    op.execute("grant update (points) on cap_use to loyalty_run")


def downgrade() -> None:
    for table in ALL:
        op.execute(f"drop table {table}")
    for row in re.findall(r"create type (\w+)", ROWS):
        op.execute(f"drop type {row}")
