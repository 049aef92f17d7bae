-- P1: what Postgres itself can do. One call is one purchase accrual: in one transaction and one round trip it
-- claims, locks, decides and writes the rows that the service writes (`tests/test_bench_baselines.py` compares them).
--
-- In P1's favour: it runs as the owner, so there is no row-level security; it knows one wallet, one rule and one time
-- zone by heart; it has no tiers, no settling and no refusals; the buckets of its claims come from a hash that Postgres
-- has built in; its answer is padded to the length of the service's instead of being said in full.
-- Tried and no faster: all writes as parts of one statement; everything, lock included, as one statement.

create function p1_bucket(key text) returns smallint
    language sql immutable strict parallel safe
    return (hashtext(key) & 255)::smallint;

-- An id of the fact in the member's bucket: its last three bytes are the ordinal and the bucket.
create function p1_id(fact uuid, ordinal text, bucket smallint) returns uuid
    language sql immutable strict parallel safe
    return (left(fact::text, 30) || ordinal || lpad(to_hex(bucket::integer), 2, '0'))::uuid;

create function p1_accrue(
    the_programme integer, the_card text, the_key text, the_source text, the_reference text, the_store text,
    the_amount bigint, the_lines text, the_fingerprint bytea, answer_bytes integer
) returns text language plpgsql as $$
declare
    fact constant uuid := uuidv7();
    now_at constant timestamptz := clock_timestamp();
    day constant date := (now_at at time zone 'Asia/Shanghai')::date;
    earned constant bigint := the_amount / 100;
    matures constant timestamptz := now_at + interval '7 days';
    expires constant timestamptz := make_date(extract(year from day)::integer + 2, 1, 1)::timestamp
                                    at time zone 'Asia/Shanghai';
    who uuid;
    one record;
    book_now record;
    the_entry uuid;
    the_lot uuid;
    the_balances text;
    the_calculation text;
    the_hash bytea;
    answer text;
begin
    -- A retry hears what was said the first time.
    select convert_from(body, 'UTF8') into answer from replay
     where bucket = p1_bucket(the_key) and programme_id = the_programme
       and client_id = 'till' and subject = '' and key = the_key and fingerprint = the_fingerprint;
    if found then
        return answer;
    end if;

    select member_id into strict who from identity
     where bucket = p1_bucket(the_card) and programme_id = the_programme
       and channel = 'programme' and type = 'number' and lookup = the_card::bytea;

    -- The lock, in a statement of its own: what follows sees what was committed while it waited.
    select bucket, sequence + 1 as sequence, head, greatest(effective_at, now_at) as effective_at,
           greatest(recorded_at, now_at) as recorded_at
      into strict one from member
     where bucket = get_byte(uuid_send(who), 15) and programme_id = the_programme and id = who
       and status in ('active', 'earn_only')
       for no key update;

    update book set pending = pending + earned, issued = issued + earned
     where bucket = one.bucket and programme_id = the_programme and member_id = who and wallet = 'points'
    returning pending, available, held, owed into book_now;
    if not found then
        insert into book values (one.bucket, the_programme, who, 'points', earned, 0, 0, 0, earned, 0, 0, 0, 0, 0)
        returning pending, available, held, owed into book_now;
    end if;

    the_entry := p1_id(fact, '0001', one.bucket);
    the_lot := p1_id(fact, '0002', one.bucket);
    the_balances := format(
        '{"points":[%s,%s,%s,%s]}', book_now.pending, book_now.available, book_now.held, book_now.owed
    );
    the_calculation := format(
        '{"rule":"base","rates":{"points":[1,100]},"currency":"CNY","net_spend":%s,"lines":%s,"points":{"points":%s}}',
        the_amount, the_lines, earned
    );
    -- The hash covers the head before it and everything the entry says.
    the_hash := sha256(one.head || convert_to(format(
        '[1,%s,"%s",%s,"%s","earn","%s","%s","%s","%s","%s",["%s","%s","%s",null],'
        '[["points","issued","pending",%s,null]],[],[["%s","points",%s,"%s","%s","%s",null]],%s,%s]',
        the_programme, who, one.sequence, the_entry, fact, now_at, one.effective_at, one.recorded_at, day,
        the_source, the_reference, the_store, earned, the_lot, earned, now_at, matures, expires, the_balances,
        to_json(the_calculation)
    ), 'UTF8'));
    answer := rpad(format(
        '{"entry":{"id":"ent_%s","kind":"earn","sequence":%s,"occurred_at":"%s","source":"%s","reference":"%s"},'
        '"balances":%s,"points":%s}',
        the_entry, one.sequence, now_at, the_source, the_reference, the_balances, earned
    ), answer_bytes);

    insert into replay
    values (p1_bucket(the_key), the_programme, 'till', '', the_key, the_fingerprint, 201,
            convert_to(answer, 'UTF8'), one.recorded_at)
    on conflict do nothing;
    if not found then
        raise exception 'another call took the key'; -- all is undone; asked again, it is a retry
    end if;
    insert into reference
    values (p1_bucket(the_reference), the_programme, the_source, the_reference, 'accrual', '', the_entry)
    on conflict do nothing;
    if not found then
        raise exception 'the reference was used before';
    end if;

    insert into entry
    values (one.bucket, the_programme, the_entry, who, one.sequence, 'earn', fact, now_at, one.effective_at,
            one.recorded_at, day, the_source, the_reference, the_store, null, the_balances::json,
            the_calculation::json, the_hash);
    insert into posting
    values (one.bucket, the_programme, the_entry, 0, who, 'points', 'issued', 'pending', earned, null, the_store, day);
    insert into lot (bucket, programme_id, id, member_id, wallet, state, points, drawn, restored,
                     earned_at, matures_at, expires_at, entry_id, source, store)
    values (one.bucket, the_programme, the_lot, who, 'points', 'pending', earned, 0, 0,
            now_at, matures, expires, the_entry, the_source, the_store);
    insert into event
    values (one.bucket, the_programme, the_entry, who, one.sequence, 'entry.earn', one.recorded_at);
    insert into net_spend
    values (one.bucket, the_programme, who, date_trunc('month', day)::date, the_amount)
    on conflict on constraint net_spend_pkey do update set amount = net_spend.amount + excluded.amount;
    update member
       set sequence = one.sequence, head = the_hash, effective_at = one.effective_at,
           recorded_at = one.recorded_at, due_at = least(due_at, matures)
     where bucket = one.bucket and programme_id = the_programme and id = who;
    return answer;
end
$$;
