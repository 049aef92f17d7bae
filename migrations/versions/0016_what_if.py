"""What would have been given by other rules: asked, worked off in the background, and kept. Only expands."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLE = """
create table what_if (
    programme_id integer not null,
    id uuid not null,
    draft_id uuid not null,
    begins date not null,
    ends date not null,
    asked_at timestamptz not null,
    asked_by text not null,
    status text not null,
    done integer not null,
    report json,
    claimed_until timestamptz,
    constraint what_if_pkey primary key (programme_id, id),
    constraint what_if_status_known check (status in ('waiting', 'running', 'done', 'failed')),
    constraint what_if_done_within check (done between 0 and 256)
)
"""
ROW = (
    "id uuid, draft_id uuid, begins date, ends date, asked_at timestamptz, asked_by text, status text, done integer,"
    " report json, claimed_until timestamptz"
)


def upgrade() -> None:
    op.execute(TABLE.strip())
    op.execute(f"create type what_if_row as ({ROW})")
    op.execute("alter table what_if enable row level security")
    op.execute(
        "create policy programme_wall on what_if"
        " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
    )
    op.execute("grant select, insert on what_if to loyalty_run")
    op.execute("grant update (status, done, report, claimed_until) on what_if to loyalty_run")


def downgrade() -> None:
    op.execute("drop table what_if")
    op.execute("drop type what_if_row")
