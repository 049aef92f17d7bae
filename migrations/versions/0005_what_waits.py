"""What waits: every event that came too early, not only a return before its sale; and what somebody has to look at.

Expands, copies the parked returns and contracts in one transaction: they are few, and what parks one meanwhile waits
for as long as that takes. The bucket of what a copied one waits for was never kept: null, it may lie in any.

What was not covered, refused or given up before gets its review item here, from the journal and the parked returns,
read without a lock. A server of before opens none: a redemption that it forces after this has none, and
`loyalty verify` names it.
"""

import re

from alembic import context, op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PARKED = """
create table parked_event (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    kind text not null,
    awaits_bucket smallint,
    awaits_source text,
    awaits_reference text,
    awaits_date text,
    awaits_channel text,
    awaits_type text,
    awaits_lookup bytea,
    asked json not null,
    source text not null,
    reference text not null,
    store text,
    reason text,
    occurred_at timestamptz not null,
    parked_at timestamptz not null,
    until timestamptz not null,
    status text not null,
    outcome text,
    constraint parked_event_pkey primary key (bucket, programme_id, id),
    constraint parked_event_bucket_is_of_id check (bucket = get_byte(uuid_send(id), 15)),
    constraint parked_event_kind_known check (kind in ('accrual', 'return')),
    constraint parked_event_awaits_one_thing check (
        num_nonnulls(awaits_source, awaits_reference, awaits_date) = 3
        and num_nonnulls(awaits_channel, awaits_type, awaits_lookup) = 0
        or num_nonnulls(awaits_source, awaits_reference, awaits_date) = 0
        and num_nonnulls(awaits_bucket, awaits_channel, awaits_type, awaits_lookup) = 4
    ),
    constraint parked_event_status_known check (status in ('waiting', 'cured', 'refused', 'lapsed')),
    constraint parked_event_outcome_said check ((status in ('cured', 'refused')) = (outcome is not null))
);

create index parked_event_of_status on parked_event (programme_id, status, id);

create index parked_event_waiting on parked_event (programme_id, kind, id) where status = 'waiting';

create index parked_event_overdue on parked_event (programme_id, until, id) where status = 'waiting';

create index parked_event_awaits_sale on parked_event (programme_id, awaits_source, awaits_reference, awaits_date)
    where status = 'waiting' and awaits_source is not null;

create index parked_event_awaits_member on parked_event (programme_id, awaits_channel, awaits_type, awaits_lookup)
    where status = 'waiting' and awaits_channel is not null
"""

REVIEW = """
create table review (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    kind text not null,
    member_id uuid,
    wallet text,
    points bigint,
    source text not null,
    reference text not null,
    opened_at timestamptz not null,
    status text not null,
    resolved_by text,
    reason text,
    resolved_at timestamptz,
    constraint review_pkey primary key (bucket, programme_id, id),
    constraint review_bucket_is_of_id check (bucket = get_byte(uuid_send(id), 15)),
    constraint review_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15)),
    constraint review_kind_known check (kind in ('redemption.not_covered', 'parked.refused', 'parked.lapsed')),
    constraint review_says_what_was_not_covered check (
        num_nonnulls(member_id, wallet, points) = case kind when 'redemption.not_covered' then 3 else 0 end
    ),
    constraint review_points_positive check (points > 0),
    constraint review_status_known check (status in ('open', 'resolved')),
    constraint review_resolved_by_somebody check (
        num_nonnulls(resolved_by, reason, resolved_at) = case status when 'resolved' then 3 else 0 end
    )
);

create index review_of_status on review (programme_id, status, opened_at, id)
"""

ROWS = """
create type parked_event_row as (
    bucket smallint, id uuid, kind text, awaits_bucket smallint, awaits_source text, awaits_reference text,
    awaits_date text, awaits_channel text, awaits_type text, awaits_lookup bytea, asked json, source text,
    reference text, store text, reason text, occurred_at timestamptz, parked_at timestamptz, until timestamptz,
    status text, outcome text
);

create type parked_event_change as (
    bucket smallint, id uuid, status text, outcome text
);

create type review_row as (
    bucket smallint, id uuid, kind text, member_id uuid, wallet text, points bigint, source text, reference text,
    opened_at timestamptz, status text, resolved_by text, reason text, resolved_at timestamptz
);

create type review_change as (
    bucket smallint, id uuid, status text, resolved_by text, reason text, resolved_at timestamptz
)
"""

COPY = """
lock table parked_return in access exclusive mode;

insert into parked_event (
    bucket, programme_id, id, kind, awaits_source, awaits_reference, awaits_date, asked, source, reference, store,
    reason, occurred_at, parked_at, until, status, outcome)
select bucket, programme_id, id, 'return', awaits_source, awaits_reference, awaits_date,
       json_build_object('lines', lines), source, reference, store, reason, occurred_at, parked_at, until, status,
       outcome
  from parked_return
"""

OPEN = """
insert into review (
    bucket, programme_id, id, kind, member_id, wallet, points, source, reference, opened_at, status)
select e.bucket, e.programme_id, e.id, 'redemption.not_covered', e.member_id, p.wallet, p.points, e.source,
       e.reference, e.recorded_at, 'open'
  from posting p
  join entry e on e.bucket = p.bucket and e.programme_id = p.programme_id and e.id = p.entry_id
 where p.debit = 'owed' and p.credit = 'redeemed';

insert into review (bucket, programme_id, id, kind, source, reference, opened_at, status)
select bucket, programme_id, id, 'parked.' || status, source, reference, parked_at, 'open'
  from parked_event
 where status in ('refused', 'lapsed')
"""

CONTRACT = """
-- squawk-ignore ban-drop-table
drop table parked_return;

-- squawk-ignore ban-drop-type
drop type parked_return_row, parked_return_change
"""

COPY_BACK = """
insert into parked_return (
    bucket, programme_id, id, awaits_source, awaits_reference, awaits_date, lines, source, reference, store, reason,
    occurred_at, parked_at, until, status, outcome)
select bucket, programme_id, id, awaits_source, awaits_reference, awaits_date,
       nullif((asked -> 'lines')::text, 'null')::json, source, reference, store, reason, occurred_at, parked_at, until,
       status, outcome
  from parked_event
 where kind = 'return'
"""

CHANGED = {
    "parked_event": "status, outcome",
    "review": "status, resolved_by, reason, resolved_at",
}


def upgrade() -> None:
    for statements in (PARKED, REVIEW, ROWS, COPY, OPEN, CONTRACT):
        for statement in statements.strip().split(";\n\n"):
            op.execute(statement)
    for table, columns in CHANGED.items():
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy programme_wall on {table}"
            " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
        )
        op.execute(f"grant select, insert on {table} to loyalty_run")
        op.execute(f"grant update ({columns}) on {table} to loyalty_run")


def downgrade() -> None:
    """The accruals that wait and the review items have no place in the tables of before, and are gone."""
    context.script.get_revision("0004").module.upgrade()
    op.execute(COPY_BACK)
    for table in CHANGED:
        op.execute(f"drop table {table}")
    for row in re.findall(r"create type (\w+)", ROWS):
        op.execute(f"drop type {row}")
