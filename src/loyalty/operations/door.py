"""The one door to the ledger: whatever moves points, entitlements or stock is a command in a batch here.

The door knows no verb and no noun. A verb says what it needs and decides; a noun knows how it is stored.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from loyalty.domain.claims import REPLAYS, Claim, Replay, replayed
from loyalty.domain.ids import MemberId, Mint
from loyalty.domain.journal import balances
from loyalty.domain.members import MEMBERS
from loyalty.domain.merges import check_not_merged
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import KeyReused, Refusal
from loyalty.domain.settle import settle
from loyalty.domain.state import Draft, Moment, Need, Shelf, State
from loyalty.operations.command import Command, Receipt, serves_merged
from loyalty.store import shelves
from loyalty.store.database import Database

Render = Callable[[Receipt | Refusal], tuple[int, bytes]]
"""Turns an outcome into a status and bytes; what it gives is frozen with the claim, opaque to the door."""


class Submission(NamedTuple):
    """A command at the door, with its moment, its claim and how to say what came of it."""

    programme: Programme
    command: Command
    moment: Moment
    render: Render
    claim: Claim | None = None
    dry_run: bool = False
    """Decide, answer, and leave no trace: no claim, no write."""


class Answer(NamedTuple):
    """What the sender hears. `outcome` is None for a replay."""

    status: int
    body: bytes
    outcome: Receipt | Refusal | None
    replayed: bool = False


async def commit_batch(database: Database, asks: Sequence[Submission], *, hasty: bool = False) -> list[Answer]:
    """Decide the commands in order and commit them together; all belong to one programme.

    When this returns, everything that was answered is durable. When it raises, the batch has left no trace,
    except that a connection lost in COMMIT leaves open which: a restart finds out by the claims. `hasty`: a
    member locked elsewhere is hardly waited for.
    """
    programme = asks[0].programme
    async with database.transaction(programme.id, hasty=hasty) as connection:
        loaded = State()
        needs = _needs(asks)
        began = await shelves.lock(connection, programme, needs, loaded)
        asks = [_learnt(ask, began) for ask in asks]
        asked = shelves.Asked(programme, needs, _until(asks, loaded), loaded, database.sealer)
        await shelves.load(connection, asked, loaded)
        batch = State(loaded)
        answers = [answer(ask, batch) for ask in asks]
        recorded_at = max(ask.moment.recorded_at for ask in asks)
        await shelves.write(connection, programme, batch, loaded, recorded_at)
    return answers


def answer(ask: Submission, batch: State) -> Answer:
    """Decide one command over the batch and keep what it changed: settle, decide, settle, freeze the answer."""
    if ask.claim is not None and (kept := batch.get(REPLAYS, ask.claim.key)) is not None:
        return _replay(ask, kept)
    settled = Draft(batch, ask.programme, ask.moment, Mint(ask.moment.fact))
    outcome: Receipt | Refusal
    try:
        outcome = _decide(ask, settled)
    except Refusal as refusal:
        outcome = refusal.with_traceback(None)  # its frames would hold the whole batch until the next collection
    status, body = ask.render(outcome)
    if not ask.dry_run:
        if ask.claim is not None and not (isinstance(outcome, Refusal) and outcome.curable):
            settled.put(REPLAYS, ask.claim.key, Replay(ask.claim.fingerprint, status, body))
        batch.keep(settled)
    return Answer(status, body, outcome)


def _decide(ask: Submission, settled: Draft) -> Receipt:
    """The command's receipt, its changes kept on `settled`. Raises Refusal; then only the settling is there."""
    ask.programme.check_not_ahead(ask.moment.occurred_at, ask.moment.recorded_at)
    members = {id_: _effective(ask, settled.get(MEMBERS, id_)) for id_ in _members(ask)}
    due = settled.over()  # should it fail half-way, nothing of it is kept
    for id_, at in members.items():
        settle(due, id_, at)
    settled.keep(due)
    served = serves_merged(ask.command)
    for id_ in members:
        if id_ not in served:
            check_not_merged(settled, id_)
    draft = settled.over()
    receipt = ask.command.decide(draft, members[ask.command.member_id])
    for id_, at in members.items():
        settle(draft, id_, at)  # a late earn may be ripe already
    settled.keep(draft)
    return receipt._replace(balances=balances(settled, receipt.member_id))


def _replay(ask: Submission, kept: Replay) -> Answer:
    """The frozen answer, or the refusal of a key that came with another request."""
    assert ask.claim is not None, "only a claim can be replayed"
    try:
        frozen = replayed(kept, ask.claim)
    except KeyReused as refusal:
        return Answer(*ask.render(refusal), outcome=refusal)
    return Answer(frozen.status, frozen.body, outcome=None, replayed=True)


def _members(ask: Submission) -> list[MemberId]:
    """Whom the command changes, each once."""
    found = dict.fromkeys(need.key for need in ask.command.needs() if need.shelf is MEMBERS)
    return list(found) or [ask.command.member_id]


def _effective(ask: Submission, member: Any) -> datetime:
    """The command's place in a member's history: it never runs backwards."""
    at = ask.programme.reached(ask.moment.occurred_at, ask.moment.recorded_at)
    return at if member is None else max(at, member.effective_at)


def _learnt(ask: Submission, began: datetime) -> Submission:
    """The command as recorded no earlier than its batch began, by the database's clock, however long it has waited.

    So what no running transaction can still bring is certainly known (`store/horizon.py`).
    """
    if ask.moment.recorded_at >= began:
        return ask
    return ask._replace(moment=ask.moment._replace(recorded_at=began))


def _needs(asks: Iterable[Submission]) -> dict[Shelf[Any, Any], list[Need]]:
    """What the commands need, by shelf; and the answers that were given under their keys."""
    needs: dict[Shelf[Any, Any], list[Need]] = {}
    for ask in asks:
        for need in ask.command.needs():
            needs.setdefault(need.shelf, []).append(need)
        if ask.claim is not None:
            needs.setdefault(REPLAYS, []).append(Need(REPLAYS, ask.claim.key))
    return needs


def _until(asks: Iterable[Submission], locked: State) -> dict[MemberId, datetime]:
    """The latest moment at which the batch will settle each member it found."""
    until: dict[MemberId, datetime] = {}
    for ask in asks:
        for member_id in _members(ask):
            member = locked.get(MEMBERS, member_id)
            if member is not None:
                at = _effective(ask, member)
                until[member_id] = max(at, until.get(member_id, at))
    return until
