"""Not null, which the validated promise proves: no row is read."""

from alembic import op

revision = "t5"
down_revision = "t4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table lot alter column tally set not null")
    op.execute("alter table lot drop constraint lot_tally_there")


def downgrade() -> None:
    op.execute("alter table lot alter column tally drop not null")
