"""What reading asks for: a place for every event that keeps each member's own order, and an index in that order.

A transaction takes its xid with its first lock and may then wait for its second: a younger one can pass it, and commit
an earlier event of the second member. So the place of an event is not the xid alone but the xid or, where that is
more, the youngest that had ended when the event was written, which is after all members were locked.

The index is built in the revision's own transaction, which stops writers for as long: nothing is released yet.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "alter table event alter column xid"
        " set default greatest("
        "pg_current_xact_id(), (pg_snapshot_xmax(pg_current_snapshot())::text::bigint - 1)::text::xid8)"
    )
    op.execute(
        "-- squawk-ignore require-concurrent-index-creation\n"
        "create index event_order on event"
        " (programme_id, xid, member_id, sequence, (not starts_with(type, 'entry.')), id)"
    )
    op.execute("-- squawk-ignore require-concurrent-index-deletion\ndrop index event_feed")  # nothing has read it


def downgrade() -> None:
    op.execute("create index event_feed on event (programme_id, xid, id)")
    op.execute("drop index event_order")
    op.execute("alter table event alter column xid set default pg_current_xact_id()")
