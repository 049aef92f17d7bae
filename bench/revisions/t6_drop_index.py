"""A later release that no longer wants it: first the index, while the table is in use."""

from alembic import op

from loyalty.store.gently import gently

revision = "t6"
down_revision = "t5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with gently():
        op.execute("drop index concurrently if exists lot_tally")


def downgrade() -> None:
    pass
