"""What decided a step of a tier history: the window, what it added up to, and what was needed. Only expands."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ROW = """
create type tier_step_row_2 as (
    bucket smallint,
    id uuid,
    member_id uuid,
    from_tier text,
    to_tier text,
    occurred_at timestamptz,
    recorded_at timestamptz,
    entry_id uuid,
    window_from date,
    window_ends date,
    score bigint,
    needed bigint
)
"""


def upgrade() -> None:
    # Null of a step that no window decided, and of those from before.
    op.execute(
        "alter table tier_step add column window_from date, add column window_ends date,"
        " add column score bigint, add column needed bigint"
    )
    op.execute(ROW.strip())


def downgrade() -> None:
    op.execute("drop type tier_step_row_2")
    op.execute(
        "alter table tier_step drop column window_from, drop column window_ends, drop column score, drop column needed"
    )
