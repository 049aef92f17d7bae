"""Until when the points of a book last where they slide. Only expands."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLE = """
create table slide (
    bucket smallint not null,
    programme_id integer not null,
    member_id uuid not null,
    wallet text not null,
    sequence bigint not null,
    ends_at timestamptz not null,
    constraint slide_pkey primary key (bucket, programme_id, member_id, wallet, sequence),
    constraint slide_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15)),
    constraint slide_sequence_positive check (sequence > 0)
)
"""
ROW = "create type slide_row as (bucket smallint, member_id uuid, wallet text, sequence bigint, ends_at timestamptz)"


def upgrade() -> None:
    op.execute(TABLE.strip())
    op.execute(ROW)
    op.execute("alter table slide enable row level security")
    op.execute(
        "create policy programme_wall on slide"
        " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
    )
    op.execute("grant select, insert on slide to loyalty_run")


def downgrade() -> None:
    op.execute("drop table slide")
    op.execute("drop type slide_row")
