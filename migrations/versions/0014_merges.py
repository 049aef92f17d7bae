"""Members that were merged into others. Only expands."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLE = """
create table merge (
    bucket smallint not null,
    programme_id integer not null,
    member_id uuid not null,
    survivor_id uuid not null,
    merged_at timestamptz not null,
    carried json not null,
    constraint merge_pkey primary key (bucket, programme_id, member_id),
    constraint merge_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15)),
    constraint merge_of_two check (member_id <> survivor_id)
)
"""
STATES = "'active', 'earn_only', 'frozen', 'closed'"
ROW = "bucket smallint, member_id uuid, survivor_id uuid, merged_at timestamptz, carried json"


def upgrade() -> None:
    op.execute(TABLE.strip())
    op.execute("create index merge_survivor on merge (programme_id, survivor_id)")
    for row in ("row", "change"):
        op.execute(f"create type merge_{row} as ({ROW})")
    op.execute("alter table merge enable row level security")
    op.execute(
        "create policy programme_wall on merge"
        " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
    )
    op.execute("grant select, insert on merge to loyalty_run")
    op.execute("grant update (survivor_id, merged_at, carried) on merge to loyalty_run")
    op.execute(
        # It is replaced by a wider one in the same transaction.
        "-- squawk-ignore ban-drop-constraint\nalter table member drop constraint member_status_known"
    )
    op.execute(
        f"alter table member add constraint member_status_known check (status in ({STATES}, 'merged')) not valid"
    )


def downgrade() -> None:
    op.execute("alter table member drop constraint member_status_known")
    op.execute(f"alter table member add constraint member_status_known check (status in ({STATES})) not valid")
    op.execute("drop table merge")
    for row in ("row", "change"):
        op.execute(f"drop type merge_{row}")
