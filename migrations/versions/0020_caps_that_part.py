"""What somebody merged had used of a cap counts for the survivor until they part: then use may come to nothing."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table cap_use add constraint cap_use_not_negative check (points >= 0) not valid")
    op.execute(
        # It is replaced by a wider one in the same transaction.
        "-- squawk-ignore ban-drop-constraint\nalter table cap_use drop constraint cap_use_positive"
    )


def downgrade() -> None:
    op.execute("alter table cap_use add constraint cap_use_positive check (points > 0) not valid")
    op.execute("alter table cap_use drop constraint cap_use_not_negative")
