"""Backfill: the rows that were there before, and an index on all of them."""

from loyalty.store.gently import backfill, build_index, gently

revision = "t2"
down_revision = "t1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with gently():
        backfill("lot", fill="tally = points", where="t.tally is null")
        build_index("lot_tally", "lot (bucket, programme_id, tally)")


def downgrade() -> None:
    pass
