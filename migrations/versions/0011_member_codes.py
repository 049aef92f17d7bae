"""Which member code was used last. Only expands."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLE = """
create table code_use (
    bucket smallint not null,
    programme_id integer not null,
    member_id uuid not null,
    step bigint not null,
    constraint code_use_pkey primary key (bucket, programme_id, member_id),
    constraint code_use_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15))
)
"""


def upgrade() -> None:
    op.execute(TABLE.strip())
    for row in ("row", "change"):
        op.execute(f"create type code_use_{row} as (bucket smallint, member_id uuid, step bigint)")
    op.execute("alter table code_use enable row level security")
    op.execute(
        "create policy programme_wall on code_use"
        " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
    )
    op.execute("grant select, insert on code_use to loyalty_run")
    op.execute("grant update (step) on code_use to loyalty_run")


def downgrade() -> None:
    op.execute("drop table code_use")
    for row in ("row", "change"):
        op.execute(f"drop type code_use_{row}")
