"""What a member is known by is found by the member."""

from alembic import op

from loyalty.store.gently import build_index, gently

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with gently():
        build_index("identity_of_member", "identity (member_id, programme_id)")


def downgrade() -> None:
    with gently():
        op.execute("drop index concurrently if exists identity_of_member")
