"""Contract: from now on no row lacks it. A promise about new rows takes the table for a moment and reads no row."""

from alembic import op

revision = "t3"
down_revision = "t2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table lot add constraint lot_tally_there check (tally is not null) not valid")


def downgrade() -> None:
    op.execute("alter table lot drop constraint lot_tally_there")
