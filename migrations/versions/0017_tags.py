"""What members are called for the earning rules. Only expands."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

WORD = "[a-z][a-z0-9_]{0,31}"
TABLE = f"""
create table tag_change (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    member_id uuid not null,
    number integer not null,
    tags text not null,
    reason text,
    changed_at timestamptz not null,
    changed_by text,
    constraint tag_change_pkey primary key (bucket, programme_id, member_id, number),
    constraint tag_change_told_once unique (bucket, programme_id, id),
    constraint tag_change_bucket_is_of_id check (bucket = get_byte(uuid_send(id), 15)),
    constraint tag_change_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15)),
    constraint tag_change_number_positive check (number > 0),
    constraint tag_change_words check (tags ~ '^({WORD}( {WORD})*)?$')
)
"""
ROW = """
create type tag_change_row as (
    bucket smallint, id uuid, member_id uuid, number integer, tags text, reason text, changed_at timestamptz,
    changed_by text
)
"""


def upgrade() -> None:
    op.execute(TABLE.strip())
    op.execute(ROW.strip())
    op.execute("alter table tag_change enable row level security")
    op.execute(
        "create policy programme_wall on tag_change"
        " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
    )
    op.execute("grant select, insert on tag_change to loyalty_run")


def downgrade() -> None:
    op.execute("drop table tag_change")
    op.execute("drop type tag_change_row")
