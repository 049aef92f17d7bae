"""The checks of holds, proven of the rows there are: by themselves, for that keeps nobody from writing."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CHECKS = ("hold_is_of_a_wallet_or_reserved", "hold_captured_in_range", "hold_captures_when_captured")


def upgrade() -> None:
    for check in CHECKS:
        op.execute(f"alter table hold validate constraint {check}")


def downgrade() -> None:
    """Nothing to undo: what was proven stays true."""
