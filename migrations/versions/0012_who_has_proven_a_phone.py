"""Whether a phone was proven when it was bound. Only expands: phones from before count as not proven."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

COLUMNS = "bucket smallint, channel text, type text, lookup bytea, member_id uuid, bound_at timestamptz, proven boolean"


def upgrade() -> None:
    op.execute("alter table identity add column proven boolean not null default false")
    op.execute(f"create type identity_row_2 as ({COLUMNS})")
    op.execute(f"create type identity_change_2 as ({COLUMNS}, was_member_id uuid)")
    op.execute("grant update (proven) on identity to loyalty_run")


def downgrade() -> None:
    op.execute("drop type identity_change_2")
    op.execute("drop type identity_row_2")
    op.execute("alter table identity drop column proven")
