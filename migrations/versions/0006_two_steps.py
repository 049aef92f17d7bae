"""Returns in two steps, and purchases that were credited to the wrong person.

A hold may be for a return: of several wallets, or of nothing at all. A reversal may name where its purchase went.

Only expands: what the service before it writes stays right. Where both run side by side, the new verbs wait for the
old one to stop: it would not know how to release a hold of several wallets.
"""

import re

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

HOLD = """
alter table hold add column reserved json;

-- squawk-ignore ban-drop-not-null
alter table hold alter column wallet drop not null;

-- squawk-ignore ban-drop-constraint
alter table hold drop constraint hold_captured_in_range;

-- squawk-ignore ban-drop-constraint
alter table hold drop constraint hold_captures_when_captured;

alter table hold add constraint hold_is_of_a_wallet_or_reserved
    check ((wallet is null) = (reserved is not null)) not valid;

alter table hold add constraint hold_captured_in_range check (
    captured between 0 and points
    and (points > 0 or reserved is not null)
) not valid;

alter table hold add constraint hold_captures_when_captured check (
    case when reserved is null then (captured > 0) = (status = 'captured') else captured = 0 end
) not valid
"""

REVERSAL = """
alter table reversal add column moved_to uuid
"""

ROWS = """
create type hold_row_2 as (
    bucket smallint, id uuid, member_id uuid, wallet text, points bigint, status text, captured bigint,
    opened_at timestamptz, expires_at timestamptz, reserved json
);

create type reversal_row_2 as (
    bucket smallint, entry_id uuid, member_id uuid, points bigint, done json, moved_to uuid
);

create type reversal_change_2 as (
    bucket smallint, entry_id uuid, points bigint, done json, moved_to uuid
)
"""


def upgrade() -> None:
    for statements in (HOLD, REVERSAL, ROWS):
        for statement in statements.strip().split(";\n\n"):
            op.execute(statement)
    op.execute("grant update (moved_to) on reversal to loyalty_run")


def downgrade() -> None:
    for row in re.findall(r"create type (\w+)", ROWS):
        op.execute(f"drop type {row}")
    op.execute("delete from hold where reserved is not null")
    op.execute("alter table hold alter column wallet set not null")
    op.execute("alter table hold drop column reserved")  # and with it the constraints that speak of it
    op.execute(
        "alter table hold add constraint hold_captured_in_range check (points > 0 and captured between 0 and points)"
    )
    op.execute(
        "alter table hold add constraint hold_captures_when_captured check ((captured > 0) = (status = 'captured'))"
    )
    op.execute("alter table reversal drop column moved_to")
