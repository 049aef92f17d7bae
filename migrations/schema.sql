--
-- PostgreSQL database dump
--

\restrict loyalty

-- Dumped from database version 18.6
-- Dumped by pg_dump version 18.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: adjustment_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.adjustment_change AS (
	bucket smallint,
	id uuid,
	status text,
	decided_by text
);


--
-- Name: adjustment_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.adjustment_row AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	wallet text,
	points bigint,
	reason text,
	source text,
	reference text,
	status text,
	requested_by text,
	decided_by text,
	requested_at timestamp with time zone
);


--
-- Name: book_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.book_change AS (
	bucket smallint,
	member_id uuid,
	wallet text,
	pending bigint,
	available bigint,
	held bigint,
	owed bigint,
	issued bigint,
	redeemed bigint,
	expired bigint,
	forfeited bigint,
	adjusted bigint,
	transferred bigint
);


--
-- Name: book_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.book_row AS (
	bucket smallint,
	member_id uuid,
	wallet text,
	pending bigint,
	available bigint,
	held bigint,
	owed bigint,
	issued bigint,
	redeemed bigint,
	expired bigint,
	forfeited bigint,
	adjusted bigint,
	transferred bigint
);


--
-- Name: cap_use_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.cap_use_change AS (
	bucket smallint,
	member_id uuid,
	cap text,
	over text,
	points bigint
);


--
-- Name: cap_use_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.cap_use_row AS (
	bucket smallint,
	member_id uuid,
	cap text,
	over text,
	points bigint
);


--
-- Name: channel_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.channel_change AS (
	bucket smallint,
	name text,
	points_master text,
	wallet text,
	points_per_unit integer,
	phones_verified boolean,
	secret bytea,
	secret_since timestamp with time zone,
	former_secret bytea,
	former_until timestamp with time zone
);


--
-- Name: channel_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.channel_row AS (
	bucket smallint,
	name text,
	adapter text,
	points_master text,
	wallet text,
	points_per_unit integer,
	phones_verified boolean,
	secret bytea,
	secret_since timestamp with time zone,
	former_secret bytea,
	former_until timestamp with time zone,
	connected_at timestamp with time zone,
	connected_by text
);


--
-- Name: code_use_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.code_use_change AS (
	bucket smallint,
	member_id uuid,
	step bigint
);


--
-- Name: code_use_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.code_use_row AS (
	bucket smallint,
	member_id uuid,
	step bigint
);


--
-- Name: consent_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.consent_row AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	purpose text,
	text_version text,
	given_at timestamp with time zone
);


--
-- Name: difference_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.difference_change AS (
	bucket smallint,
	id uuid,
	status text,
	ended_at timestamp with time zone
);


--
-- Name: difference_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.difference_row AS (
	bucket smallint,
	id uuid,
	channel text,
	member_id uuid,
	points_master text,
	shown_points bigint,
	shown_tier text,
	our_points bigint,
	our_tier text,
	as_of timestamp with time zone,
	found_at timestamp with time zone,
	status text,
	ended_at timestamp with time zone
);


--
-- Name: draw_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.draw_row AS (
	bucket smallint,
	entry_id uuid,
	number integer,
	lot_id uuid,
	wallet text,
	points bigint
);


--
-- Name: entry_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.entry_row AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	sequence bigint,
	kind text,
	fact_id uuid,
	occurred_at timestamp with time zone,
	effective_at timestamp with time zone,
	recorded_at timestamp with time zone,
	accounting_date date,
	source text,
	reference text,
	store text,
	reason text,
	balances json,
	calculation json,
	hash bytea
);


--
-- Name: event_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.event_row AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	sequence bigint,
	type text,
	recorded_at timestamp with time zone
);


--
-- Name: hold_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.hold_change AS (
	bucket smallint,
	id uuid,
	status text,
	captured bigint
);


--
-- Name: hold_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.hold_row AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	wallet text,
	points bigint,
	status text,
	captured bigint,
	opened_at timestamp with time zone,
	expires_at timestamp with time zone
);


--
-- Name: hold_row_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.hold_row_2 AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	wallet text,
	points bigint,
	status text,
	captured bigint,
	opened_at timestamp with time zone,
	expires_at timestamp with time zone,
	reserved json
);


--
-- Name: identity_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.identity_change AS (
	bucket smallint,
	channel text,
	type text,
	lookup bytea,
	member_id uuid,
	bound_at timestamp with time zone,
	was_member_id uuid
);


--
-- Name: identity_change_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.identity_change_2 AS (
	bucket smallint,
	channel text,
	type text,
	lookup bytea,
	member_id uuid,
	bound_at timestamp with time zone,
	proven boolean,
	was_member_id uuid
);


--
-- Name: identity_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.identity_row AS (
	bucket smallint,
	channel text,
	type text,
	lookup bytea,
	member_id uuid,
	bound_at timestamp with time zone
);


--
-- Name: identity_row_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.identity_row_2 AS (
	bucket smallint,
	channel text,
	type text,
	lookup bytea,
	member_id uuid,
	bound_at timestamp with time zone,
	proven boolean
);


--
-- Name: lot_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.lot_change AS (
	bucket smallint,
	id uuid,
	state text,
	drawn bigint,
	restored bigint
);


--
-- Name: lot_change_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.lot_change_2 AS (
	bucket smallint,
	id uuid,
	state text,
	drawn bigint,
	restored bigint,
	lapsed bigint
);


--
-- Name: lot_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.lot_row AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	wallet text,
	state text,
	points bigint,
	drawn bigint,
	restored bigint,
	earned_at timestamp with time zone,
	matures_at timestamp with time zone,
	expires_at timestamp with time zone,
	entry_id uuid,
	source text,
	store text,
	funder text
);


--
-- Name: lot_row_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.lot_row_2 AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	wallet text,
	state text,
	points bigint,
	drawn bigint,
	restored bigint,
	earned_at timestamp with time zone,
	matures_at timestamp with time zone,
	expires_at timestamp with time zone,
	entry_id uuid,
	source text,
	store text,
	funder text,
	lapsed bigint
);


--
-- Name: member_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.member_change AS (
	bucket smallint,
	id uuid,
	status text,
	sequence bigint,
	head bytea,
	effective_at timestamp with time zone,
	recorded_at timestamp with time zone,
	due_at timestamp with time zone,
	tier text,
	tier_since timestamp with time zone,
	tier_until timestamp with time zone
);


--
-- Name: member_change_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.member_change_2 AS (
	bucket smallint,
	id uuid,
	status text,
	sequence bigint,
	head bytea,
	effective_at timestamp with time zone,
	recorded_at timestamp with time zone,
	due_at timestamp with time zone,
	tier text,
	tier_since timestamp with time zone,
	tier_until timestamp with time zone,
	tier_granted boolean
);


--
-- Name: member_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.member_row AS (
	bucket smallint,
	id uuid,
	number text,
	status text,
	store text,
	enrolled_at timestamp with time zone,
	sequence bigint,
	head bytea,
	effective_at timestamp with time zone,
	recorded_at timestamp with time zone,
	due_at timestamp with time zone,
	tier text,
	tier_since timestamp with time zone,
	tier_until timestamp with time zone
);


--
-- Name: member_row_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.member_row_2 AS (
	bucket smallint,
	id uuid,
	number text,
	status text,
	store text,
	enrolled_at timestamp with time zone,
	sequence bigint,
	head bytea,
	effective_at timestamp with time zone,
	recorded_at timestamp with time zone,
	due_at timestamp with time zone,
	tier text,
	tier_since timestamp with time zone,
	tier_until timestamp with time zone,
	tier_granted boolean
);


--
-- Name: merge_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.merge_change AS (
	bucket smallint,
	member_id uuid,
	survivor_id uuid,
	merged_at timestamp with time zone,
	carried json
);


--
-- Name: merge_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.merge_row AS (
	bucket smallint,
	member_id uuid,
	survivor_id uuid,
	merged_at timestamp with time zone,
	carried json
);


--
-- Name: net_spend_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.net_spend_change AS (
	bucket smallint,
	member_id uuid,
	month date,
	amount bigint
);


--
-- Name: net_spend_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.net_spend_row AS (
	bucket smallint,
	member_id uuid,
	month date,
	amount bigint
);


--
-- Name: parked_event_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.parked_event_change AS (
	bucket smallint,
	id uuid,
	status text,
	outcome text
);


--
-- Name: parked_event_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.parked_event_row AS (
	bucket smallint,
	id uuid,
	kind text,
	awaits_bucket smallint,
	awaits_source text,
	awaits_reference text,
	awaits_date text,
	awaits_channel text,
	awaits_type text,
	awaits_lookup bytea,
	asked json,
	source text,
	reference text,
	store text,
	reason text,
	occurred_at timestamp with time zone,
	parked_at timestamp with time zone,
	until timestamp with time zone,
	status text,
	outcome text
);


--
-- Name: person_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.person_row AS (
	bucket smallint,
	member_id uuid,
	sealed bytea
);


--
-- Name: posting_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.posting_row AS (
	bucket smallint,
	entry_id uuid,
	number integer,
	member_id uuid,
	wallet text,
	debit text,
	credit text,
	points bigint,
	funder text,
	store text,
	accounting_date date
);


--
-- Name: reference_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.reference_row AS (
	bucket smallint,
	source text,
	reference text,
	kind text,
	business_date text,
	entry_id uuid
);


--
-- Name: replay_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.replay_row AS (
	bucket smallint,
	client_id text,
	subject text,
	key text,
	fingerprint bytea,
	status smallint,
	body bytea,
	recorded_at timestamp with time zone
);


--
-- Name: reversal_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.reversal_change AS (
	bucket smallint,
	entry_id uuid,
	points bigint,
	done json
);


--
-- Name: reversal_change_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.reversal_change_2 AS (
	bucket smallint,
	entry_id uuid,
	points bigint,
	done json,
	moved_to uuid
);


--
-- Name: reversal_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.reversal_row AS (
	bucket smallint,
	entry_id uuid,
	member_id uuid,
	points bigint,
	done json
);


--
-- Name: reversal_row_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.reversal_row_2 AS (
	bucket smallint,
	entry_id uuid,
	member_id uuid,
	points bigint,
	done json,
	moved_to uuid
);


--
-- Name: review_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.review_change AS (
	bucket smallint,
	id uuid,
	status text,
	resolved_by text,
	reason text,
	resolved_at timestamp with time zone
);


--
-- Name: review_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.review_row AS (
	bucket smallint,
	id uuid,
	kind text,
	member_id uuid,
	wallet text,
	points bigint,
	source text,
	reference text,
	opened_at timestamp with time zone,
	status text,
	resolved_by text,
	reason text,
	resolved_at timestamp with time zone
);


--
-- Name: rule_draft_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.rule_draft_row AS (
	id uuid,
	rules json,
	note text,
	drafted_at timestamp with time zone,
	drafted_by text
);


--
-- Name: rule_version_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.rule_version_row AS (
	version integer,
	draft_id uuid,
	effective_from timestamp with time zone,
	published_at timestamp with time zone,
	published_by text,
	hash bytea
);


--
-- Name: slide_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.slide_row AS (
	bucket smallint,
	member_id uuid,
	wallet text,
	sequence bigint,
	ends_at timestamp with time zone
);


--
-- Name: tag_change_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.tag_change_row AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	number integer,
	tags text,
	reason text,
	changed_at timestamp with time zone,
	changed_by text
);


--
-- Name: tier_count_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.tier_count_change AS (
	bucket smallint,
	member_id uuid,
	metric text,
	first_day date,
	amount bigint
);


--
-- Name: tier_count_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.tier_count_row AS (
	bucket smallint,
	member_id uuid,
	metric text,
	first_day date,
	amount bigint
);


--
-- Name: tier_grant_change; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.tier_grant_change AS (
	bucket smallint,
	member_id uuid,
	tier text,
	until timestamp with time zone,
	locked boolean,
	earned_tier text,
	earned_since timestamp with time zone,
	earned_until timestamp with time zone
);


--
-- Name: tier_grant_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.tier_grant_row AS (
	bucket smallint,
	member_id uuid,
	tier text,
	until timestamp with time zone,
	locked boolean,
	earned_tier text,
	earned_since timestamp with time zone,
	earned_until timestamp with time zone
);


--
-- Name: tier_step_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.tier_step_row AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	from_tier text,
	to_tier text,
	occurred_at timestamp with time zone,
	recorded_at timestamp with time zone,
	entry_id uuid
);


--
-- Name: tier_step_row_2; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.tier_step_row_2 AS (
	bucket smallint,
	id uuid,
	member_id uuid,
	from_tier text,
	to_tier text,
	occurred_at timestamp with time zone,
	recorded_at timestamp with time zone,
	entry_id uuid,
	window_from date,
	window_ends date,
	score bigint,
	needed bigint
);


--
-- Name: what_if_row; Type: TYPE; Schema: public; Owner: -
--

CREATE TYPE public.what_if_row AS (
	id uuid,
	draft_id uuid,
	begins date,
	ends date,
	asked_at timestamp with time zone,
	asked_by text,
	status text,
	done integer,
	report json,
	claimed_until timestamp with time zone
);


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: adjustment; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.adjustment (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    wallet text NOT NULL,
    points bigint NOT NULL,
    reason text NOT NULL,
    source text NOT NULL,
    reference text NOT NULL,
    status text NOT NULL,
    requested_by text NOT NULL,
    decided_by text,
    requested_at timestamp with time zone NOT NULL,
    CONSTRAINT adjustment_bucket_is_of_member CHECK (((bucket = get_byte(uuid_send(member_id), 15)) AND (bucket = get_byte(uuid_send(id), 15)))),
    CONSTRAINT adjustment_points_not_zero CHECK ((points <> 0)),
    CONSTRAINT adjustment_status_known CHECK ((status = ANY (ARRAY['awaiting_approval'::text, 'approved'::text, 'rejected'::text]))),
    CONSTRAINT adjustment_two_people CHECK ((decided_by <> requested_by))
)
WITH (fillfactor='80');


--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: api_key; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.api_key (
    id text NOT NULL,
    programme_id integer NOT NULL,
    client_id text NOT NULL,
    role text NOT NULL,
    scopes text[] NOT NULL,
    secret_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone
);


--
-- Name: book; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.book (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    member_id uuid NOT NULL,
    wallet text NOT NULL,
    pending bigint NOT NULL,
    available bigint NOT NULL,
    held bigint NOT NULL,
    owed bigint NOT NULL,
    issued bigint NOT NULL,
    redeemed bigint NOT NULL,
    expired bigint NOT NULL,
    forfeited bigint NOT NULL,
    adjusted bigint NOT NULL,
    transferred bigint NOT NULL,
    CONSTRAINT book_balances CHECK (((owed + issued) = (((((((pending + available) + held) + redeemed) + expired) + forfeited) + adjusted) + transferred))),
    CONSTRAINT book_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15))),
    CONSTRAINT book_never_negative CHECK (((pending >= 0) AND (available >= 0) AND (held >= 0) AND (owed >= 0))),
    CONSTRAINT book_owed_or_available CHECK (((owed = 0) OR (available = 0)))
)
WITH (fillfactor='60');


--
-- Name: cap_use; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.cap_use (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    member_id uuid NOT NULL,
    cap text NOT NULL,
    over text NOT NULL,
    points bigint NOT NULL,
    CONSTRAINT cap_use_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15)))
);


--
-- Name: channel; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.channel (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    name text NOT NULL,
    adapter text NOT NULL,
    points_master text NOT NULL,
    wallet text NOT NULL,
    points_per_unit integer NOT NULL,
    phones_verified boolean NOT NULL,
    secret bytea NOT NULL,
    secret_since timestamp with time zone NOT NULL,
    former_secret bytea,
    former_until timestamp with time zone,
    connected_at timestamp with time zone NOT NULL,
    connected_by text NOT NULL,
    CONSTRAINT channel_former_secret_ends CHECK ((num_nonnulls(former_secret, former_until) = ANY (ARRAY[0, 2]))),
    CONSTRAINT channel_points_master_known CHECK ((points_master = ANY (ARRAY['ours'::text, 'channel'::text]))),
    CONSTRAINT channel_points_per_unit_positive CHECK ((points_per_unit > 0))
);


--
-- Name: code_use; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.code_use (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    member_id uuid NOT NULL,
    step bigint NOT NULL,
    CONSTRAINT code_use_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15)))
);


--
-- Name: consent; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.consent (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    purpose text NOT NULL,
    text_version text NOT NULL,
    given_at timestamp with time zone NOT NULL,
    CONSTRAINT consent_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15)))
);


--
-- Name: difference; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.difference (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    channel text NOT NULL,
    member_id uuid NOT NULL,
    points_master text NOT NULL,
    shown_points bigint NOT NULL,
    shown_tier text,
    our_points bigint NOT NULL,
    our_tier text,
    as_of timestamp with time zone NOT NULL,
    found_at timestamp with time zone NOT NULL,
    status text NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT difference_bucket_is_of_id CHECK ((bucket = get_byte(uuid_send(id), 15))),
    CONSTRAINT difference_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15))),
    CONSTRAINT difference_ends_once CHECK (((ended_at IS NULL) = (status = 'open'::text))),
    CONSTRAINT difference_points_master_known CHECK ((points_master = ANY (ARRAY['ours'::text, 'channel'::text]))),
    CONSTRAINT difference_status_known CHECK ((status = ANY (ARRAY['open'::text, 'settled'::text, 'replaced'::text])))
);


--
-- Name: draw; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.draw (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    entry_id uuid NOT NULL,
    number integer NOT NULL,
    lot_id uuid NOT NULL,
    wallet text NOT NULL,
    points bigint NOT NULL,
    CONSTRAINT draw_bucket_is_of_lot CHECK (((bucket = get_byte(uuid_send(entry_id), 15)) AND (bucket = get_byte(uuid_send(lot_id), 15)))),
    CONSTRAINT draw_points_not_zero CHECK ((points <> 0))
);


--
-- Name: entry; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.entry (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    sequence bigint NOT NULL,
    kind text NOT NULL,
    fact_id uuid NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    effective_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    accounting_date date NOT NULL,
    source text,
    reference text,
    store text,
    reason text,
    balances json NOT NULL,
    calculation json,
    hash bytea NOT NULL,
    CONSTRAINT entry_bucket_is_of_member CHECK (((bucket = get_byte(uuid_send(member_id), 15)) AND (bucket = get_byte(uuid_send(id), 15)))),
    CONSTRAINT entry_hash_is_sha256 CHECK ((length(hash) = 32)),
    CONSTRAINT entry_sequence_positive CHECK ((sequence > 0))
);


--
-- Name: event; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.event (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    xid xid8 DEFAULT GREATEST(pg_current_xact_id(), (((((pg_snapshot_xmax(pg_current_snapshot()))::text)::bigint - 1))::text)::xid8) NOT NULL,
    CONSTRAINT event_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15)))
);


--
-- Name: hold; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.hold (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    wallet text,
    points bigint NOT NULL,
    status text NOT NULL,
    captured bigint NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    reserved json,
    CONSTRAINT hold_bucket_is_of_member CHECK (((bucket = get_byte(uuid_send(member_id), 15)) AND (bucket = get_byte(uuid_send(id), 15)))),
    CONSTRAINT hold_captured_in_range CHECK ((((captured >= 0) AND (captured <= points)) AND ((points > 0) OR (reserved IS NOT NULL)))),
    CONSTRAINT hold_captures_when_captured CHECK (
CASE
    WHEN (reserved IS NULL) THEN ((captured > 0) = (status = 'captured'::text))
    ELSE (captured = 0)
END),
    CONSTRAINT hold_ends_after_it_begins CHECK ((expires_at > opened_at)),
    CONSTRAINT hold_is_of_a_wallet_or_reserved CHECK (((wallet IS NULL) = (reserved IS NOT NULL))),
    CONSTRAINT hold_status_known CHECK ((status = ANY (ARRAY['open'::text, 'captured'::text, 'released'::text, 'expired'::text])))
)
WITH (fillfactor='80');


--
-- Name: identity; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.identity (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    channel text NOT NULL,
    type text NOT NULL,
    lookup bytea NOT NULL,
    member_id uuid,
    bound_at timestamp with time zone NOT NULL,
    proven boolean DEFAULT false NOT NULL
);


--
-- Name: lot; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.lot (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    wallet text NOT NULL,
    state text NOT NULL,
    points bigint NOT NULL,
    drawn bigint NOT NULL,
    restored bigint NOT NULL,
    remaining bigint GENERATED ALWAYS AS (((points - drawn) + restored)) STORED NOT NULL,
    open boolean GENERATED ALWAYS AS ((((points - drawn) + restored) > 0)) STORED NOT NULL,
    earned_at timestamp with time zone NOT NULL,
    matures_at timestamp with time zone,
    expires_at timestamp with time zone,
    due_at timestamp with time zone GENERATED ALWAYS AS (COALESCE(
CASE state
    WHEN 'pending'::text THEN matures_at
    ELSE expires_at
END, 'infinity'::timestamp with time zone)) STORED NOT NULL,
    entry_id uuid NOT NULL,
    source text,
    store text,
    funder text,
    lapsed bigint DEFAULT 0 NOT NULL,
    CONSTRAINT lot_bucket_is_of_member CHECK (((bucket = get_byte(uuid_send(member_id), 15)) AND (bucket = get_byte(uuid_send(id), 15)))),
    CONSTRAINT lot_expires_after_it_matures CHECK ((expires_at >= matures_at)),
    CONSTRAINT lot_pending_matures CHECK (((state = 'available'::text) OR (matures_at IS NOT NULL))),
    CONSTRAINT lot_remaining_in_range CHECK (((points > 0) AND (drawn >= 0) AND (restored >= 0) AND ((((points - drawn) + restored) >= 0) AND (((points - drawn) + restored) <= points)))),
    CONSTRAINT lot_state_known CHECK ((state = ANY (ARRAY['pending'::text, 'available'::text])))
)
WITH (fillfactor='80');


--
-- Name: member; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.member (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    number text NOT NULL,
    status text NOT NULL,
    store text,
    enrolled_at timestamp with time zone NOT NULL,
    sequence bigint NOT NULL,
    head bytea NOT NULL,
    effective_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone,
    tier text NOT NULL,
    tier_since timestamp with time zone NOT NULL,
    tier_until timestamp with time zone,
    tier_granted boolean DEFAULT false NOT NULL,
    CONSTRAINT member_bucket_is_of_id CHECK ((bucket = get_byte(uuid_send(id), 15))),
    CONSTRAINT member_head_is_sha256 CHECK ((length(head) = 32)),
    CONSTRAINT member_sequence_not_negative CHECK ((sequence >= 0))
)
WITH (fillfactor='60');


--
-- Name: merge; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.merge (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    member_id uuid NOT NULL,
    survivor_id uuid NOT NULL,
    merged_at timestamp with time zone NOT NULL,
    carried json NOT NULL,
    CONSTRAINT merge_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15))),
    CONSTRAINT merge_of_two CHECK ((member_id <> survivor_id))
);


--
-- Name: net_spend; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.net_spend (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    member_id uuid NOT NULL,
    month date NOT NULL,
    amount bigint NOT NULL,
    CONSTRAINT net_spend_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15)))
)
WITH (fillfactor='60');


--
-- Name: parked_event; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.parked_event (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    awaits_bucket smallint,
    awaits_source text,
    awaits_reference text,
    awaits_date text,
    awaits_channel text,
    awaits_type text,
    awaits_lookup bytea,
    asked json NOT NULL,
    source text NOT NULL,
    reference text NOT NULL,
    store text,
    reason text,
    occurred_at timestamp with time zone NOT NULL,
    parked_at timestamp with time zone NOT NULL,
    until timestamp with time zone NOT NULL,
    status text NOT NULL,
    outcome text,
    CONSTRAINT parked_event_awaits_one_thing CHECK ((((num_nonnulls(awaits_source, awaits_reference, awaits_date) = 3) AND (num_nonnulls(awaits_channel, awaits_type, awaits_lookup) = 0)) OR ((num_nonnulls(awaits_source, awaits_reference, awaits_date) = 0) AND (num_nonnulls(awaits_bucket, awaits_channel, awaits_type, awaits_lookup) = 4)))),
    CONSTRAINT parked_event_bucket_is_of_id CHECK ((bucket = get_byte(uuid_send(id), 15))),
    CONSTRAINT parked_event_kind_known CHECK ((kind = ANY (ARRAY['accrual'::text, 'return'::text]))),
    CONSTRAINT parked_event_outcome_said CHECK (((status = ANY (ARRAY['cured'::text, 'refused'::text])) = (outcome IS NOT NULL))),
    CONSTRAINT parked_event_status_known CHECK ((status = ANY (ARRAY['waiting'::text, 'cured'::text, 'refused'::text, 'lapsed'::text])))
);


--
-- Name: person; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.person (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    member_id uuid NOT NULL,
    sealed bytea NOT NULL,
    CONSTRAINT person_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15)))
);


--
-- Name: posting; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.posting (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    entry_id uuid NOT NULL,
    number integer NOT NULL,
    member_id uuid NOT NULL,
    wallet text NOT NULL,
    debit text NOT NULL,
    credit text NOT NULL,
    points bigint NOT NULL,
    funder text,
    store text,
    accounting_date date NOT NULL,
    CONSTRAINT posting_bucket_is_of_entry CHECK ((bucket = get_byte(uuid_send(entry_id), 15))),
    CONSTRAINT posting_points_positive CHECK ((points > 0)),
    CONSTRAINT posting_two_accounts CHECK ((debit <> credit))
);


--
-- Name: programme; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.programme (
    id integer NOT NULL,
    code text NOT NULL,
    settings jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT programme_code_form CHECK ((code ~ '^[a-z0-9][a-z0-9-]{0,62}$'::text))
);


--
-- Name: programme_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.programme ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.programme_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: reference; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.reference (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    source text NOT NULL,
    reference text NOT NULL,
    kind text NOT NULL,
    business_date text NOT NULL,
    entry_id uuid NOT NULL
);


--
-- Name: replay; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.replay (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    client_id text NOT NULL,
    subject text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    recorded_at timestamp with time zone NOT NULL
);


--
-- Name: reversal; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.reversal (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    entry_id uuid NOT NULL,
    member_id uuid NOT NULL,
    points bigint NOT NULL,
    done json NOT NULL,
    moved_to uuid,
    CONSTRAINT reversal_bucket_is_of_member CHECK (((bucket = get_byte(uuid_send(member_id), 15)) AND (bucket = get_byte(uuid_send(entry_id), 15)))),
    CONSTRAINT reversal_points_not_negative CHECK ((points >= 0))
)
WITH (fillfactor='80');


--
-- Name: review; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.review (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    member_id uuid,
    wallet text,
    points bigint,
    source text NOT NULL,
    reference text NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    status text NOT NULL,
    resolved_by text,
    reason text,
    resolved_at timestamp with time zone,
    CONSTRAINT review_bucket_is_of_id CHECK ((bucket = get_byte(uuid_send(id), 15))),
    CONSTRAINT review_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15))),
    CONSTRAINT review_kind_known CHECK ((kind = ANY (ARRAY['redemption.not_covered'::text, 'parked.refused'::text, 'parked.lapsed'::text]))),
    CONSTRAINT review_points_positive CHECK ((points > 0)),
    CONSTRAINT review_resolved_by_somebody CHECK ((num_nonnulls(resolved_by, reason, resolved_at) =
CASE status
    WHEN 'resolved'::text THEN 3
    ELSE 0
END)),
    CONSTRAINT review_says_what_was_not_covered CHECK ((num_nonnulls(member_id, wallet, points) =
CASE kind
    WHEN 'redemption.not_covered'::text THEN 3
    ELSE 0
END)),
    CONSTRAINT review_status_known CHECK ((status = ANY (ARRAY['open'::text, 'resolved'::text])))
);


--
-- Name: rule_draft; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rule_draft (
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    rules json NOT NULL,
    note text,
    drafted_at timestamp with time zone NOT NULL,
    drafted_by text NOT NULL
);


--
-- Name: rule_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.rule_version (
    programme_id integer NOT NULL,
    version integer NOT NULL,
    draft_id uuid NOT NULL,
    effective_from timestamp with time zone NOT NULL,
    published_at timestamp with time zone NOT NULL,
    published_by text NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT rule_version_positive CHECK ((version > 0))
);


--
-- Name: slide; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.slide (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    member_id uuid NOT NULL,
    wallet text NOT NULL,
    sequence bigint NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    CONSTRAINT slide_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15))),
    CONSTRAINT slide_sequence_positive CHECK ((sequence > 0))
);


--
-- Name: tag_change; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tag_change (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    number integer NOT NULL,
    tags text NOT NULL,
    reason text,
    changed_at timestamp with time zone NOT NULL,
    changed_by text,
    CONSTRAINT tag_change_bucket_is_of_id CHECK ((bucket = get_byte(uuid_send(id), 15))),
    CONSTRAINT tag_change_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15))),
    CONSTRAINT tag_change_number_positive CHECK ((number > 0)),
    CONSTRAINT tag_change_words CHECK ((tags ~ '^([a-z][a-z0-9_]{0,31}( [a-z][a-z0-9_]{0,31})*)?$'::text))
);


--
-- Name: tier_count; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tier_count (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    member_id uuid NOT NULL,
    metric text NOT NULL,
    first_day date NOT NULL,
    amount bigint NOT NULL,
    CONSTRAINT tier_count_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15)))
)
WITH (fillfactor='60');


--
-- Name: tier_grant; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tier_grant (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    member_id uuid NOT NULL,
    tier text NOT NULL,
    until timestamp with time zone,
    locked boolean NOT NULL,
    earned_tier text NOT NULL,
    earned_since timestamp with time zone NOT NULL,
    earned_until timestamp with time zone,
    CONSTRAINT tier_grant_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15)))
)
WITH (fillfactor='60');


--
-- Name: tier_step; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tier_step (
    bucket smallint NOT NULL,
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    member_id uuid NOT NULL,
    from_tier text NOT NULL,
    to_tier text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    entry_id uuid,
    window_from date,
    window_ends date,
    score bigint,
    needed bigint,
    CONSTRAINT tier_step_bucket_is_of_member CHECK ((bucket = get_byte(uuid_send(member_id), 15)))
);


--
-- Name: what_if; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.what_if (
    programme_id integer NOT NULL,
    id uuid NOT NULL,
    draft_id uuid NOT NULL,
    begins date NOT NULL,
    ends date NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    asked_by text NOT NULL,
    status text NOT NULL,
    done integer NOT NULL,
    report json,
    claimed_until timestamp with time zone,
    CONSTRAINT what_if_done_within CHECK (((done >= 0) AND (done <= 256))),
    CONSTRAINT what_if_status_known CHECK ((status = ANY (ARRAY['waiting'::text, 'running'::text, 'done'::text, 'failed'::text])))
);


--
-- Name: adjustment adjustment_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.adjustment
    ADD CONSTRAINT adjustment_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: api_key api_key_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);


--
-- Name: book book_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.book
    ADD CONSTRAINT book_pkey PRIMARY KEY (bucket, programme_id, member_id, wallet);


--
-- Name: cap_use cap_use_not_negative; Type: CHECK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE public.cap_use
    ADD CONSTRAINT cap_use_not_negative CHECK ((points >= 0)) NOT VALID;


--
-- Name: cap_use cap_use_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.cap_use
    ADD CONSTRAINT cap_use_pkey PRIMARY KEY (bucket, programme_id, member_id, cap, over);


--
-- Name: channel channel_named_once; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.channel
    ADD CONSTRAINT channel_named_once UNIQUE (programme_id, name);


--
-- Name: channel channel_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.channel
    ADD CONSTRAINT channel_pkey PRIMARY KEY (bucket, programme_id, name);


--
-- Name: code_use code_use_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.code_use
    ADD CONSTRAINT code_use_pkey PRIMARY KEY (bucket, programme_id, member_id);


--
-- Name: consent consent_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.consent
    ADD CONSTRAINT consent_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: difference difference_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.difference
    ADD CONSTRAINT difference_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: draw draw_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.draw
    ADD CONSTRAINT draw_pkey PRIMARY KEY (bucket, programme_id, entry_id, number);


--
-- Name: entry entry_member_sequence_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entry
    ADD CONSTRAINT entry_member_sequence_key UNIQUE (bucket, programme_id, member_id, sequence);


--
-- Name: entry entry_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entry
    ADD CONSTRAINT entry_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: event event_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: hold hold_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.hold
    ADD CONSTRAINT hold_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: identity identity_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.identity
    ADD CONSTRAINT identity_pkey PRIMARY KEY (bucket, programme_id, channel, type, lookup);


--
-- Name: lot lot_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.lot
    ADD CONSTRAINT lot_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: member member_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.member
    ADD CONSTRAINT member_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: member member_status_known; Type: CHECK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE public.member
    ADD CONSTRAINT member_status_known CHECK ((status = ANY (ARRAY['active'::text, 'earn_only'::text, 'frozen'::text, 'closed'::text, 'merged'::text]))) NOT VALID;


--
-- Name: merge merge_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.merge
    ADD CONSTRAINT merge_pkey PRIMARY KEY (bucket, programme_id, member_id);


--
-- Name: net_spend net_spend_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.net_spend
    ADD CONSTRAINT net_spend_pkey PRIMARY KEY (bucket, programme_id, member_id, month);


--
-- Name: parked_event parked_event_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.parked_event
    ADD CONSTRAINT parked_event_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: person person_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.person
    ADD CONSTRAINT person_pkey PRIMARY KEY (bucket, programme_id, member_id);


--
-- Name: posting posting_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.posting
    ADD CONSTRAINT posting_pkey PRIMARY KEY (bucket, programme_id, entry_id, number);


--
-- Name: programme programme_code_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.programme
    ADD CONSTRAINT programme_code_key UNIQUE (code);


--
-- Name: programme programme_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.programme
    ADD CONSTRAINT programme_pkey PRIMARY KEY (id);


--
-- Name: reference reference_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.reference
    ADD CONSTRAINT reference_pkey PRIMARY KEY (bucket, programme_id, source, reference, kind, business_date);


--
-- Name: replay replay_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.replay
    ADD CONSTRAINT replay_pkey PRIMARY KEY (bucket, programme_id, client_id, subject, key);


--
-- Name: reversal reversal_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.reversal
    ADD CONSTRAINT reversal_pkey PRIMARY KEY (bucket, programme_id, entry_id);


--
-- Name: review review_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.review
    ADD CONSTRAINT review_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: rule_draft rule_draft_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rule_draft
    ADD CONSTRAINT rule_draft_pkey PRIMARY KEY (programme_id, id);


--
-- Name: rule_version rule_version_draft_once; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rule_version
    ADD CONSTRAINT rule_version_draft_once UNIQUE (programme_id, draft_id);


--
-- Name: rule_version rule_version_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.rule_version
    ADD CONSTRAINT rule_version_pkey PRIMARY KEY (programme_id, version);


--
-- Name: slide slide_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.slide
    ADD CONSTRAINT slide_pkey PRIMARY KEY (bucket, programme_id, member_id, wallet, sequence);


--
-- Name: tag_change tag_change_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tag_change
    ADD CONSTRAINT tag_change_pkey PRIMARY KEY (bucket, programme_id, member_id, number);


--
-- Name: tag_change tag_change_told_once; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tag_change
    ADD CONSTRAINT tag_change_told_once UNIQUE (bucket, programme_id, id);


--
-- Name: tier_count tier_count_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tier_count
    ADD CONSTRAINT tier_count_pkey PRIMARY KEY (bucket, programme_id, member_id, metric, first_day);


--
-- Name: tier_grant tier_grant_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tier_grant
    ADD CONSTRAINT tier_grant_pkey PRIMARY KEY (bucket, programme_id, member_id);


--
-- Name: tier_step tier_step_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tier_step
    ADD CONSTRAINT tier_step_pkey PRIMARY KEY (bucket, programme_id, id);


--
-- Name: what_if what_if_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.what_if
    ADD CONSTRAINT what_if_pkey PRIMARY KEY (programme_id, id);


--
-- Name: difference_listed; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX difference_listed ON public.difference USING btree (programme_id, channel, id) WHERE (status = 'open'::text);


--
-- Name: difference_open; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX difference_open ON public.difference USING btree (bucket, programme_id, member_id, channel) WHERE (status = 'open'::text);


--
-- Name: event_order; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX event_order ON public.event USING btree (programme_id, xid, member_id, sequence, ((NOT starts_with(type, 'entry.'::text))), id);


--
-- Name: hold_open; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX hold_open ON public.hold USING btree (bucket, programme_id, member_id) WHERE (status = 'open'::text);


--
-- Name: identity_of_member; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX identity_of_member ON public.identity USING btree (member_id, programme_id);


--
-- Name: lot_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX lot_due ON public.lot USING btree (bucket, programme_id, member_id, wallet, state, due_at, earned_at, id) WHERE open;


--
-- Name: member_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX member_due ON public.member USING btree (programme_id, due_at) WHERE (due_at IS NOT NULL);


--
-- Name: merge_survivor; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX merge_survivor ON public.merge USING btree (programme_id, survivor_id);


--
-- Name: parked_event_awaits_member; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parked_event_awaits_member ON public.parked_event USING btree (programme_id, awaits_channel, awaits_type, awaits_lookup) WHERE ((status = 'waiting'::text) AND (awaits_channel IS NOT NULL));


--
-- Name: parked_event_awaits_sale; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parked_event_awaits_sale ON public.parked_event USING btree (programme_id, awaits_source, awaits_reference, awaits_date) WHERE ((status = 'waiting'::text) AND (awaits_source IS NOT NULL));


--
-- Name: parked_event_of_status; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parked_event_of_status ON public.parked_event USING btree (programme_id, status, id);


--
-- Name: parked_event_overdue; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parked_event_overdue ON public.parked_event USING btree (programme_id, until, id) WHERE (status = 'waiting'::text);


--
-- Name: parked_event_waiting; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX parked_event_waiting ON public.parked_event USING btree (programme_id, kind, id) WHERE (status = 'waiting'::text);


--
-- Name: replay_age; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX replay_age ON public.replay USING brin (recorded_at);


--
-- Name: review_of_status; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX review_of_status ON public.review USING btree (programme_id, status, opened_at, id);


--
-- Name: tier_step_history; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX tier_step_history ON public.tier_step USING btree (bucket, programme_id, member_id, occurred_at, id);


--
-- Name: api_key api_key_programme_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.api_key
    ADD CONSTRAINT api_key_programme_id_fkey FOREIGN KEY (programme_id) REFERENCES public.programme(id);


--
-- Name: adjustment; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.adjustment ENABLE ROW LEVEL SECURITY;

--
-- Name: book; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.book ENABLE ROW LEVEL SECURITY;

--
-- Name: cap_use; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.cap_use ENABLE ROW LEVEL SECURITY;

--
-- Name: channel; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.channel ENABLE ROW LEVEL SECURITY;

--
-- Name: code_use; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.code_use ENABLE ROW LEVEL SECURITY;

--
-- Name: consent; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.consent ENABLE ROW LEVEL SECURITY;

--
-- Name: difference; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.difference ENABLE ROW LEVEL SECURITY;

--
-- Name: draw; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.draw ENABLE ROW LEVEL SECURITY;

--
-- Name: entry; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.entry ENABLE ROW LEVEL SECURITY;

--
-- Name: event; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.event ENABLE ROW LEVEL SECURITY;

--
-- Name: hold; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.hold ENABLE ROW LEVEL SECURITY;

--
-- Name: identity; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.identity ENABLE ROW LEVEL SECURITY;

--
-- Name: lot; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.lot ENABLE ROW LEVEL SECURITY;

--
-- Name: member; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.member ENABLE ROW LEVEL SECURITY;

--
-- Name: merge; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.merge ENABLE ROW LEVEL SECURITY;

--
-- Name: net_spend; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.net_spend ENABLE ROW LEVEL SECURITY;

--
-- Name: parked_event; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.parked_event ENABLE ROW LEVEL SECURITY;

--
-- Name: person; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.person ENABLE ROW LEVEL SECURITY;

--
-- Name: posting; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.posting ENABLE ROW LEVEL SECURITY;

--
-- Name: adjustment programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.adjustment USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: book programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.book USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: cap_use programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.cap_use USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: channel programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.channel USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: code_use programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.code_use USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: consent programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.consent USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: difference programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.difference USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: draw programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.draw USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: entry programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.entry USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: event programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.event USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: hold programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.hold USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: identity programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.identity USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: lot programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.lot USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: member programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.member USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: merge programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.merge USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: net_spend programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.net_spend USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: parked_event programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.parked_event USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: person programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.person USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: posting programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.posting USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: reference programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.reference USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: replay programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.replay USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: reversal programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.reversal USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: review programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.review USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: rule_draft programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.rule_draft USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: rule_version programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.rule_version USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: slide programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.slide USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: tag_change programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.tag_change USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: tier_count programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.tier_count USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: tier_grant programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.tier_grant USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: tier_step programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.tier_step USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: what_if programme_wall; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY programme_wall ON public.what_if USING ((NOT (programme_id IS DISTINCT FROM ( SELECT (current_setting('loyalty.programme_id'::text))::integer AS current_setting))));


--
-- Name: reference; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.reference ENABLE ROW LEVEL SECURITY;

--
-- Name: replay; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.replay ENABLE ROW LEVEL SECURITY;

--
-- Name: reversal; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.reversal ENABLE ROW LEVEL SECURITY;

--
-- Name: review; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.review ENABLE ROW LEVEL SECURITY;

--
-- Name: rule_draft; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.rule_draft ENABLE ROW LEVEL SECURITY;

--
-- Name: rule_version; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.rule_version ENABLE ROW LEVEL SECURITY;

--
-- Name: slide; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.slide ENABLE ROW LEVEL SECURITY;

--
-- Name: tag_change; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.tag_change ENABLE ROW LEVEL SECURITY;

--
-- Name: tier_count; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.tier_count ENABLE ROW LEVEL SECURITY;

--
-- Name: tier_grant; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.tier_grant ENABLE ROW LEVEL SECURITY;

--
-- Name: tier_step; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.tier_step ENABLE ROW LEVEL SECURITY;

--
-- Name: what_if; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.what_if ENABLE ROW LEVEL SECURITY;

--
-- Name: TABLE adjustment; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.adjustment TO loyalty_run;


--
-- Name: COLUMN adjustment.status; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(status) ON TABLE public.adjustment TO loyalty_run;


--
-- Name: COLUMN adjustment.decided_by; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(decided_by) ON TABLE public.adjustment TO loyalty_run;


--
-- Name: TABLE alembic_version; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.alembic_version TO loyalty_run;
GRANT SELECT ON TABLE public.alembic_version TO loyalty_clean;


--
-- Name: TABLE api_key; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.api_key TO loyalty_run;
GRANT SELECT ON TABLE public.api_key TO loyalty_clean;


--
-- Name: TABLE book; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.pending; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(pending) ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.available; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(available) ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.held; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(held) ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.owed; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(owed) ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.issued; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(issued) ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.redeemed; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(redeemed) ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.expired; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(expired) ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.forfeited; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(forfeited) ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.adjusted; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(adjusted) ON TABLE public.book TO loyalty_run;


--
-- Name: COLUMN book.transferred; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(transferred) ON TABLE public.book TO loyalty_run;


--
-- Name: TABLE cap_use; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.cap_use TO loyalty_run;


--
-- Name: COLUMN cap_use.points; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(points) ON TABLE public.cap_use TO loyalty_run;


--
-- Name: TABLE channel; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.channel TO loyalty_run;


--
-- Name: COLUMN channel.points_master; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(points_master) ON TABLE public.channel TO loyalty_run;


--
-- Name: COLUMN channel.wallet; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(wallet) ON TABLE public.channel TO loyalty_run;


--
-- Name: COLUMN channel.points_per_unit; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(points_per_unit) ON TABLE public.channel TO loyalty_run;


--
-- Name: COLUMN channel.phones_verified; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(phones_verified) ON TABLE public.channel TO loyalty_run;


--
-- Name: COLUMN channel.secret; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(secret) ON TABLE public.channel TO loyalty_run;


--
-- Name: COLUMN channel.secret_since; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(secret_since) ON TABLE public.channel TO loyalty_run;


--
-- Name: COLUMN channel.former_secret; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(former_secret) ON TABLE public.channel TO loyalty_run;


--
-- Name: COLUMN channel.former_until; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(former_until) ON TABLE public.channel TO loyalty_run;


--
-- Name: TABLE code_use; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.code_use TO loyalty_run;


--
-- Name: COLUMN code_use.step; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(step) ON TABLE public.code_use TO loyalty_run;


--
-- Name: TABLE consent; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.consent TO loyalty_run;


--
-- Name: TABLE difference; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.difference TO loyalty_run;


--
-- Name: COLUMN difference.status; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(status) ON TABLE public.difference TO loyalty_run;


--
-- Name: COLUMN difference.ended_at; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(ended_at) ON TABLE public.difference TO loyalty_run;


--
-- Name: TABLE draw; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.draw TO loyalty_run;


--
-- Name: TABLE entry; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.entry TO loyalty_run;


--
-- Name: TABLE event; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.event TO loyalty_run;


--
-- Name: TABLE hold; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.hold TO loyalty_run;


--
-- Name: COLUMN hold.status; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(status) ON TABLE public.hold TO loyalty_run;


--
-- Name: COLUMN hold.captured; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(captured) ON TABLE public.hold TO loyalty_run;


--
-- Name: TABLE identity; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.identity TO loyalty_run;


--
-- Name: COLUMN identity.member_id; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(member_id) ON TABLE public.identity TO loyalty_run;


--
-- Name: COLUMN identity.bound_at; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(bound_at) ON TABLE public.identity TO loyalty_run;


--
-- Name: COLUMN identity.proven; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(proven) ON TABLE public.identity TO loyalty_run;


--
-- Name: TABLE lot; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.lot TO loyalty_run;


--
-- Name: COLUMN lot.state; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(state) ON TABLE public.lot TO loyalty_run;


--
-- Name: COLUMN lot.drawn; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(drawn) ON TABLE public.lot TO loyalty_run;


--
-- Name: COLUMN lot.restored; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(restored) ON TABLE public.lot TO loyalty_run;


--
-- Name: COLUMN lot.lapsed; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(lapsed) ON TABLE public.lot TO loyalty_run;


--
-- Name: TABLE member; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.status; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(status) ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.sequence; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(sequence) ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.head; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(head) ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.effective_at; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(effective_at) ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.recorded_at; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(recorded_at) ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.due_at; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(due_at) ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.tier; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(tier) ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.tier_since; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(tier_since) ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.tier_until; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(tier_until) ON TABLE public.member TO loyalty_run;


--
-- Name: COLUMN member.tier_granted; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(tier_granted) ON TABLE public.member TO loyalty_run;


--
-- Name: TABLE merge; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.merge TO loyalty_run;


--
-- Name: COLUMN merge.survivor_id; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(survivor_id) ON TABLE public.merge TO loyalty_run;


--
-- Name: COLUMN merge.merged_at; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(merged_at) ON TABLE public.merge TO loyalty_run;


--
-- Name: COLUMN merge.carried; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(carried) ON TABLE public.merge TO loyalty_run;


--
-- Name: TABLE net_spend; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.net_spend TO loyalty_run;


--
-- Name: COLUMN net_spend.amount; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(amount) ON TABLE public.net_spend TO loyalty_run;


--
-- Name: TABLE parked_event; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.parked_event TO loyalty_run;


--
-- Name: COLUMN parked_event.status; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(status) ON TABLE public.parked_event TO loyalty_run;


--
-- Name: COLUMN parked_event.outcome; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(outcome) ON TABLE public.parked_event TO loyalty_run;


--
-- Name: TABLE person; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.person TO loyalty_run;


--
-- Name: TABLE posting; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.posting TO loyalty_run;


--
-- Name: TABLE programme; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.programme TO loyalty_run;
GRANT SELECT ON TABLE public.programme TO loyalty_clean;


--
-- Name: TABLE reference; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.reference TO loyalty_run;


--
-- Name: TABLE replay; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.replay TO loyalty_run;
GRANT SELECT,DELETE ON TABLE public.replay TO loyalty_clean;


--
-- Name: TABLE reversal; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.reversal TO loyalty_run;


--
-- Name: COLUMN reversal.points; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(points) ON TABLE public.reversal TO loyalty_run;


--
-- Name: COLUMN reversal.done; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(done) ON TABLE public.reversal TO loyalty_run;


--
-- Name: COLUMN reversal.moved_to; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(moved_to) ON TABLE public.reversal TO loyalty_run;


--
-- Name: TABLE review; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.review TO loyalty_run;


--
-- Name: COLUMN review.status; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(status) ON TABLE public.review TO loyalty_run;


--
-- Name: COLUMN review.resolved_by; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(resolved_by) ON TABLE public.review TO loyalty_run;


--
-- Name: COLUMN review.reason; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(reason) ON TABLE public.review TO loyalty_run;


--
-- Name: COLUMN review.resolved_at; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(resolved_at) ON TABLE public.review TO loyalty_run;


--
-- Name: TABLE rule_draft; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.rule_draft TO loyalty_run;


--
-- Name: TABLE rule_version; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.rule_version TO loyalty_run;


--
-- Name: TABLE slide; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.slide TO loyalty_run;


--
-- Name: TABLE tag_change; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.tag_change TO loyalty_run;


--
-- Name: TABLE tier_count; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.tier_count TO loyalty_run;


--
-- Name: COLUMN tier_count.amount; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(amount) ON TABLE public.tier_count TO loyalty_run;


--
-- Name: TABLE tier_grant; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.tier_grant TO loyalty_run;


--
-- Name: COLUMN tier_grant.tier; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(tier) ON TABLE public.tier_grant TO loyalty_run;


--
-- Name: COLUMN tier_grant.until; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(until) ON TABLE public.tier_grant TO loyalty_run;


--
-- Name: COLUMN tier_grant.locked; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(locked) ON TABLE public.tier_grant TO loyalty_run;


--
-- Name: COLUMN tier_grant.earned_tier; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(earned_tier) ON TABLE public.tier_grant TO loyalty_run;


--
-- Name: COLUMN tier_grant.earned_since; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(earned_since) ON TABLE public.tier_grant TO loyalty_run;


--
-- Name: COLUMN tier_grant.earned_until; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(earned_until) ON TABLE public.tier_grant TO loyalty_run;


--
-- Name: TABLE tier_step; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.tier_step TO loyalty_run;


--
-- Name: TABLE what_if; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT,INSERT ON TABLE public.what_if TO loyalty_run;


--
-- Name: COLUMN what_if.status; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(status) ON TABLE public.what_if TO loyalty_run;


--
-- Name: COLUMN what_if.done; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(done) ON TABLE public.what_if TO loyalty_run;


--
-- Name: COLUMN what_if.report; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(report) ON TABLE public.what_if TO loyalty_run;


--
-- Name: COLUMN what_if.claimed_until; Type: ACL; Schema: public; Owner: -
--

GRANT UPDATE(claimed_until) ON TABLE public.what_if TO loyalty_run;


--
-- PostgreSQL database dump complete
--

\unrestrict loyalty

