"""From a card number, a phone or a platform's identity to the member.

Members' own card numbers are remembered: whose they are changes with a merge only, and then the door says so. The card
of a member who was merged leads to the survivor as long as the merge stands, which nobody else would hear the end of.
"""

from collections import OrderedDict

from loyalty.domain.identities import Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import MemberNotFound
from loyalty.store import identities
from loyalty.store.coalesce import Coalescer
from loyalty.store.database import Database

REMEMBERED = 150_000
"""Card numbers kept in memory by each process, about 40 MB."""


class Resolver:
    """Looks identities up, all that are asked for in one turn of the event loop in one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[int, Identity], MemberId] = OrderedDict()
        self._look_up = Coalescer(self._fetch)

    async def member(self, programme: Programme, identity: Identity) -> MemberId:
        """Whose identity it is. Raises MemberNotFound."""
        known = self._known.get((programme.id, identity))
        if known is not None:
            return known
        found = await self._look_up.get(programme, identity)
        if found is None:
            raise MemberNotFound("No member of this programme is known by that.")
        if found.by_own_card:  # all others can be unbound
            self._remember((programme.id, identity), found.member_id)
        return found.member_id

    def forget(self, programme: Programme, member_id: MemberId) -> None:
        """The member was merged into another: its cards are the survivor's."""
        for asked in [one for one, holder in self._known.items() if holder == member_id and one[0] == programme.id]:
            del self._known[asked]

    def _remember(self, asked: tuple[int, Identity], member_id: MemberId) -> None:
        self._known[asked] = member_id
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _fetch(self, programme: Programme, wanted: list[Identity]) -> dict[Identity, identities.Holder]:
        async with self._database.single() as connection:
            return await identities.holders(connection, programme.id, wanted)
