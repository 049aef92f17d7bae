"""An identity can be unbound, and bound again: whose it is may be nobody.

Only expands. A service of before fails where it meets an identity that was unbound: where both run side by side,
unbinding waits for the old one to stop.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

IDENTITY = """
-- squawk-ignore ban-drop-not-null
alter table identity alter column member_id drop not null
"""

CHANGE = """
create type identity_change as (
    bucket smallint, channel text, type text, lookup bytea, member_id uuid, bound_at timestamptz, was_member_id uuid
)
"""


def upgrade() -> None:
    op.execute(IDENTITY.strip())
    op.execute(CHANGE.strip())
    op.execute("grant update (member_id, bound_at) on identity to loyalty_run")


def downgrade() -> None:
    op.execute("revoke update (member_id, bound_at) on identity from loyalty_run")
    op.execute("drop type identity_change")
    op.execute("delete from identity where member_id is null")
    op.execute("alter table identity alter column member_id set not null")
