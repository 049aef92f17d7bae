"""Then the column: gone from the catalogue, its bytes as rows are written anew."""

from alembic import op

revision = "t7"
down_revision = "t6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table lot drop column tally")


def downgrade() -> None:
    pass
