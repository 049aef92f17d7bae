"""The foundation: programmes, members, books, lots, the journal, claims, persons, tiers and the three roles.

`bucket` leads every key of the ledger tables (a shard on a distributed engine); hot tables carry no foreign
keys (a quarter to a half of the write); CHECKs, unique keys and `loyalty verify` stand in.
"""

import re

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROLES = """
do $$
begin
    if not exists (select from pg_roles where rolname = 'loyalty_run') then
        create role loyalty_run nologin;
    end if;
    if not exists (select from pg_roles where rolname = 'loyalty_clean') then
        create role loyalty_clean nologin;
    end if;
end
$$
"""

REFERENCE_TABLES = """
create table programme (
    id integer generated always as identity,
    code text not null,
    settings jsonb not null,
    created_at timestamptz not null default now(),
    constraint programme_pkey primary key (id),
    constraint programme_code_key unique (code),
    constraint programme_code_form check (code ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);

create table api_key (
    id text not null,
    programme_id integer not null,
    client_id text not null,
    role text not null,
    scopes text[] not null,
    secret_hash bytea not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    constraint api_key_pkey primary key (id),
    constraint api_key_programme_id_fkey foreign key (programme_id) references programme (id)
)
"""

MEMBER = """
create table member (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    number text not null,
    status text not null,
    store text,
    enrolled_at timestamptz not null,
    sequence bigint not null,
    head bytea not null,
    effective_at timestamptz not null,
    recorded_at timestamptz not null,
    due_at timestamptz,
    tier text not null,
    tier_since timestamptz not null,
    tier_until timestamptz,
    constraint member_pkey primary key (bucket, programme_id, id),
    constraint member_bucket_is_of_id check (bucket = get_byte(uuid_send(id), 15)),
    constraint member_status_known check (status in ('active', 'earn_only', 'frozen', 'closed')),
    constraint member_head_is_sha256 check (length(head) = 32),
    constraint member_sequence_not_negative check (sequence >= 0)
) with (fillfactor = 60);

create index member_due on member (programme_id, due_at) where due_at is not null
"""

BOOK = """
create table book (
    bucket smallint not null,
    programme_id integer not null,
    member_id uuid not null,
    wallet text not null,
    pending bigint not null,
    available bigint not null,
    held bigint not null,
    owed bigint not null,
    issued bigint not null,
    redeemed bigint not null,
    expired bigint not null,
    forfeited bigint not null,
    adjusted bigint not null,
    transferred bigint not null,
    constraint book_pkey primary key (bucket, programme_id, member_id, wallet),
    constraint book_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15)),
    constraint book_never_negative check (pending >= 0 and available >= 0 and held >= 0 and owed >= 0),
    constraint book_owed_or_available check (owed = 0 or available = 0),
    constraint book_balances check (
        owed + issued
        = pending + available + held + redeemed + expired + forfeited + adjusted + transferred
    )
) with (fillfactor = 60)
"""

LOT = """
create table lot (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    member_id uuid not null,
    wallet text not null,
    state text not null,
    points bigint not null,
    drawn bigint not null,
    restored bigint not null,
    remaining bigint not null generated always as (points - drawn + restored) stored,
    open boolean not null generated always as (points - drawn + restored > 0) stored,
    earned_at timestamptz not null,
    matures_at timestamptz,
    expires_at timestamptz,
    due_at timestamptz not null generated always as (
        coalesce(case state when 'pending' then matures_at else expires_at end, 'infinity'::timestamptz)
    ) stored,
    entry_id uuid not null,
    source text,
    store text,
    funder text,
    constraint lot_pkey primary key (bucket, programme_id, id),
    constraint lot_bucket_is_of_member check (
        bucket = get_byte(uuid_send(member_id), 15)
        and bucket = get_byte(uuid_send(id), 15)
    ),
    constraint lot_state_known check (state in ('pending', 'available')),
    constraint lot_remaining_in_range check (
        points > 0 and drawn >= 0 and restored >= 0 and points - drawn + restored between 0 and points
    ),
    constraint lot_pending_matures check (state = 'available' or matures_at is not null),
    constraint lot_expires_after_it_matures check (expires_at >= matures_at)
) with (fillfactor = 80);

create index lot_due on lot (bucket, programme_id, member_id, wallet, state, due_at, earned_at, id) where open
"""

JOURNAL = """
create table entry (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    member_id uuid not null,
    sequence bigint not null,
    kind text not null,
    fact_id uuid not null,
    occurred_at timestamptz not null,
    effective_at timestamptz not null,
    recorded_at timestamptz not null,
    accounting_date date not null,
    source text,
    reference text,
    store text,
    reason text,
    balances json not null,
    calculation json,
    hash bytea not null,
    constraint entry_pkey primary key (bucket, programme_id, id),
    constraint entry_member_sequence_key unique (bucket, programme_id, member_id, sequence),
    constraint entry_bucket_is_of_member check (
        bucket = get_byte(uuid_send(member_id), 15)
        and bucket = get_byte(uuid_send(id), 15)
    ),
    constraint entry_sequence_positive check (sequence > 0),
    constraint entry_hash_is_sha256 check (length(hash) = 32)
);

create table posting (
    bucket smallint not null,
    programme_id integer not null,
    entry_id uuid not null,
    number integer not null,
    member_id uuid not null,
    wallet text not null,
    debit text not null,
    credit text not null,
    points bigint not null,
    funder text,
    store text,
    accounting_date date not null,
    constraint posting_pkey primary key (bucket, programme_id, entry_id, number),
    constraint posting_bucket_is_of_entry check (bucket = get_byte(uuid_send(entry_id), 15)),
    constraint posting_two_accounts check (debit <> credit),
    constraint posting_points_positive check (points > 0)
);

create table draw (
    bucket smallint not null,
    programme_id integer not null,
    entry_id uuid not null,
    number integer not null,
    lot_id uuid not null,
    wallet text not null,
    points bigint not null,
    constraint draw_pkey primary key (bucket, programme_id, entry_id, number),
    constraint draw_bucket_is_of_lot check (
        bucket = get_byte(uuid_send(entry_id), 15)
        and bucket = get_byte(uuid_send(lot_id), 15)
    ),
    constraint draw_points_not_zero check (points <> 0)
);

create table event (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    member_id uuid not null,
    sequence bigint not null,
    type text not null,
    recorded_at timestamptz not null,
    xid xid8 not null default pg_current_xact_id(),
    constraint event_pkey primary key (bucket, programme_id, id),
    constraint event_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15))
);

create index event_feed on event (programme_id, xid, id)
"""

CLAIMS = """
create table replay (
    bucket smallint not null,
    programme_id integer not null,
    client_id text not null,
    subject text not null,
    key text not null,
    fingerprint bytea not null,
    status smallint not null,
    body bytea not null,
    recorded_at timestamptz not null,
    constraint replay_pkey primary key (bucket, programme_id, client_id, subject, key)
);

create index replay_age on replay using brin (recorded_at);

create table reference (
    bucket smallint not null,
    programme_id integer not null,
    source text not null,
    reference text not null,
    kind text not null,
    business_date text not null,
    entry_id uuid not null,
    constraint reference_pkey primary key (bucket, programme_id, source, reference, kind, business_date)
);

create table identity (
    bucket smallint not null,
    programme_id integer not null,
    channel text not null,
    type text not null,
    lookup bytea not null,
    member_id uuid not null,
    bound_at timestamptz not null,
    constraint identity_pkey primary key (bucket, programme_id, channel, type, lookup)
)
"""

PERSONS = """
create table person (
    bucket smallint not null,
    programme_id integer not null,
    member_id uuid not null,
    sealed bytea not null,
    constraint person_pkey primary key (bucket, programme_id, member_id),
    constraint person_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15))
);

create table consent (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    member_id uuid not null,
    purpose text not null,
    text_version text not null,
    given_at timestamptz not null,
    constraint consent_pkey primary key (bucket, programme_id, id),
    constraint consent_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15))
)
"""

TIERS = """
create table net_spend (
    bucket smallint not null,
    programme_id integer not null,
    member_id uuid not null,
    month date not null,
    amount bigint not null,
    constraint net_spend_pkey primary key (bucket, programme_id, member_id, month),
    constraint net_spend_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15))
) with (fillfactor = 60);

create table tier_step (
    bucket smallint not null,
    programme_id integer not null,
    id uuid not null,
    member_id uuid not null,
    from_tier text not null,
    to_tier text not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    entry_id uuid,
    constraint tier_step_pkey primary key (bucket, programme_id, id),
    constraint tier_step_bucket_is_of_member check (bucket = get_byte(uuid_send(member_id), 15))
);

create index tier_step_history on tier_step (bucket, programme_id, member_id, occurred_at, id)
"""

# What a batch writes travels as one array of these for each table. They are what the service sends, not what the table
# is: a column added to a table leaves them alone, and a service that sends it does so under a new type.
ROWS = """
create type member_row as (
    bucket smallint, id uuid, number text, status text, store text, enrolled_at timestamptz, sequence
    bigint, head bytea, effective_at timestamptz, recorded_at timestamptz, due_at timestamptz, tier text,
    tier_since timestamptz, tier_until timestamptz
);

create type book_row as (
    bucket smallint, member_id uuid, wallet text, pending bigint, available bigint, held bigint, owed
    bigint, issued bigint, redeemed bigint, expired bigint, forfeited bigint, adjusted bigint, transferred
    bigint
);

create type lot_row as (
    bucket smallint, id uuid, member_id uuid, wallet text, state text, points bigint, drawn bigint, restored
    bigint, earned_at timestamptz, matures_at timestamptz, expires_at timestamptz, entry_id uuid, source
    text, store text, funder text
);

create type entry_row as (
    bucket smallint, id uuid, member_id uuid, sequence bigint, kind text, fact_id uuid, occurred_at
    timestamptz, effective_at timestamptz, recorded_at timestamptz, accounting_date date, source text,
    reference text, store text, reason text, balances json, calculation json, hash bytea
);

create type posting_row as (
    bucket smallint, entry_id uuid, number integer, member_id uuid, wallet text, debit text, credit text,
    points bigint, funder text, store text, accounting_date date
);

create type draw_row as (
    bucket smallint, entry_id uuid, number integer, lot_id uuid, wallet text, points bigint
);

create type event_row as (
    bucket smallint, id uuid, member_id uuid, sequence bigint, type text, recorded_at timestamptz
);

create type replay_row as (
    bucket smallint, client_id text, subject text, key text, fingerprint bytea, status smallint, body bytea,
    recorded_at timestamptz
);

create type reference_row as (
    bucket smallint, source text, reference text, kind text, business_date text, entry_id uuid
);

create type identity_row as (
    bucket smallint, channel text, type text, lookup bytea, member_id uuid, bound_at timestamptz
);

create type person_row as (
    bucket smallint, member_id uuid, sealed bytea
);

create type consent_row as (
    bucket smallint, id uuid, member_id uuid, purpose text, text_version text, given_at timestamptz
);

create type net_spend_row as (
    bucket smallint, member_id uuid, month date, amount bigint
);

create type tier_step_row as (
    bucket smallint, id uuid, member_id uuid, from_tier text, to_tier text, occurred_at timestamptz,
    recorded_at timestamptz, entry_id uuid
);

create type member_change as (
    bucket smallint, id uuid, status text, sequence bigint, head bytea, effective_at timestamptz,
    recorded_at timestamptz, due_at timestamptz, tier text, tier_since timestamptz, tier_until timestamptz
);

create type book_change as (
    bucket smallint, member_id uuid, wallet text, pending bigint, available bigint, held bigint, owed
    bigint, issued bigint, redeemed bigint, expired bigint, forfeited bigint, adjusted bigint, transferred
    bigint
);

create type lot_change as (
    bucket smallint, id uuid, state text, drawn bigint, restored bigint
);

create type net_spend_change as (
    bucket smallint, member_id uuid, month date, amount bigint
)
"""

ONLY_INSERTED = (
    "entry",
    "posting",
    "draw",
    "event",
    "replay",
    "reference",
    "identity",
    "person",
    "consent",
    "tier_step",
)
CHANGED = {
    "member": "status, sequence, head, effective_at, recorded_at, due_at, tier, tier_since, tier_until",
    "book": "pending, available, held, owed, issued, redeemed, expired, forfeited, adjusted, transferred",
    "lot": "state, drawn, restored",
    "net_spend": "amount",
}


def upgrade() -> None:
    for statements in (ROLES, REFERENCE_TABLES, MEMBER, BOOK, LOT, JOURNAL, CLAIMS, PERSONS, TIERS, ROWS):
        for statement in _split(statements):
            op.execute(statement)
    for table in (*ONLY_INSERTED, *CHANGED):
        op.execute(f"alter table {table} enable row level security")
        op.execute(
            f"create policy programme_wall on {table}"
            # Not `=`: the planner would take that for a way to find rows, and walk an index for a whole programme.
            " using (programme_id is not distinct from (select current_setting('loyalty.programme_id')::integer))"
        )
        op.execute(f"grant select, insert on {table} to loyalty_run")
    for table, columns in CHANGED.items():
        op.execute(f"grant update ({columns}) on {table} to loyalty_run")
    op.execute("grant select on programme, api_key, alembic_version to loyalty_run, loyalty_clean")
    op.execute("grant select, delete on replay to loyalty_clean")


def downgrade() -> None:
    for table in (*ONLY_INSERTED, *CHANGED, "api_key", "programme"):
        op.execute(f"drop table {table}")
    for row in re.findall(r"create type (\w+)", ROWS):
        op.execute(f"drop type {row}")
    op.execute("revoke select on alembic_version from loyalty_run, loyalty_clean")


def _split(statements: str) -> list[str]:
    """The statements of a block; a `do` block is one."""
    if "$$" in statements:
        return [statements.strip()]
    return [one.strip() for one in statements.split(";\n\n")]
