"""Slides: from which entry on the points of a book last until when. Rows here are only ever inserted.

The newest of a book says its end; the newest up to an entry says what it was then.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.programme import Programme
from loyalty.domain.sliding import SLIDES, Slide
from loyalty.domain.state import State
from loyalty.store.parts import Insert, Load, Write, keys, look_up, rows_of
from loyalty.store.schema import BIGINT, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

slide = ledger_table("slide", member_id=UUID, wallet=TEXT, sequence=BIGINT, ends_at=TIMESTAMPTZ)

NOW: Final = 2**63 - 1
"""After every entry."""
_INSERT = Insert(slide)
_LOAD = rows_of(
    ["n.member_id", "n.wallet", "n.sequence", "n.ends_at"],
    f"""from {keys(bucket="slide_buckets", member_id="slide_members", wallet="slide_wallets", upto="slide_upto")}
        cross join lateral (
              select s.member_id, s.wallet, s.sequence, s.ends_at from slide s
               where s.bucket = k.bucket and s.programme_id = k.programme_id and s.member_id = k.member_id
                 and s.wallet = k.wallet and s.sequence <= k.upto
               order by s.sequence desc limit 1) n""",  # noqa: S608 - only our own constants
)


def books_of(programme: Programme, ids: Iterable[MemberId]) -> list[tuple[MemberId, str]]:
    """The books of members in which points slide."""
    wallets = [name for name, wallet in programme.wallets.items() if wallet.expiry.slides]
    return [(id_, name) for id_ in ids for name in wallets] if wallets else []


def load(books: Sequence[tuple[MemberId, str]], upto: int = NOW) -> Load:
    """The newest slide of each book up to an entry."""
    return Load(
        _LOAD,
        {
            "slide_buckets": ([bucket_of(id_) for id_, _ in books], SMALLINT.array),
            "slide_members": ([id_ for id_, _ in books], UUID.array),
            "slide_wallets": ([wallet for _, wallet in books], TEXT.array),
            "slide_upto": ([upto] * len(books), BIGINT.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    for row in rows:
        found = Slide(MemberId(row[0].hex), *row[1:])
        into.put(SLIDES, (found.member_id, found.wallet), found)


def write(slides: Sequence[Slide]) -> Iterable[Write]:
    """The part of the write that slides contribute. The member's lock guards them."""
    if slides:
        yield _INSERT.write([(bucket_of(one.member_id), *one) for one in slides])


async def find(
    connection: AsyncConnection, programme: Programme, member_id: MemberId, into: State, *, upto: int = NOW
) -> None:
    """Put the ends of a member's books on the state, as they were with an entry. Locks nothing."""
    books = books_of(programme, [member_id])
    if books:
        place(await look_up(connection, programme.id, load(books, upto)), into)


async def ends(connection: AsyncConnection, programme: Programme, member_id: MemberId) -> Mapping[str, Any]:
    """When the points of a member's books end that slide, by wallet. Locks nothing."""
    found = State()
    await find(connection, programme, member_id, found)
    return {wallet: one.ends_at for (_, wallet), one in found.own(SLIDES)}
