"""Expand: a column that new rows have by its default. Both statements take the table for a moment and read no row."""

from alembic import op

from loyalty.store.migrations import newest_revision

revision = "t1"
down_revision = newest_revision()
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table lot add column tally bigint")
    op.execute("alter table lot alter column tally set default 0")


def downgrade() -> None:
    op.execute("alter table lot drop column tally")
