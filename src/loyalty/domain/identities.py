"""Identities: what the channels know a member by. Each is one member's at a time; of each kind a member has one."""

import hashlib
from datetime import datetime
from typing import Final, NamedTuple

from loyalty.domain.ids import MemberId, bucket_of_key
from loyalty.domain.refusals import CardNumberStays, IdentityConflict, IdentityNotFound, IdentityTaken
from loyalty.domain.state import Draft, Shelf

CARD_CHANNEL: Final = "programme"
CARD_TYPE: Final = "number"
PHONE: Final = "phone"
RESERVED_CHANNELS: Final = frozenset({CARD_CHANNEL, PHONE})
"""Card numbers are given out by us and phones are normalised first: nobody binds them as a channel's identity."""
MOST_OF_A_MEMBER: Final = 32
"""Identities that a member is known by at a time, card number and phone included."""


class Identity(NamedTuple):
    """What a channel knows the member by. `lookup` is a keyed hash wherever the value is personal."""

    channel: str
    type: str
    lookup: bytes

    @property
    def bucket(self) -> int:
        """Where the claim on it lies: it follows from the identity alone, or two members could bind it."""
        return bucket_of_key(self.channel, self.type, self.lookup.hex())

    @property
    def id(self) -> str:
        """32 hexadecimal digits that name it and give nothing of it away."""
        content = b"\x1f".join((self.channel.encode(), self.type.encode(), self.lookup))
        return f"{hashlib.sha256(content).hexdigest()[:30]}{self.bucket:02x}"


class Binding(NamedTuple):
    """Whose an identity is."""

    member_id: MemberId | None
    """None: nobody's any more."""
    since: datetime
    proven: bool = False
    """Whether they have shown that they hold it: a phone may have been mistyped, or somebody else's."""


IDENTITIES: Shelf[Identity, Binding] = Shelf("identity")
IDENTITIES_OF: Shelf[MemberId, tuple[Identity, ...]] = Shelf("identities of a member")
"""Those of a member that a batch knows of: all of them, whenever it binds one more. Not a table."""


def bind(draft: Draft, identity: Identity, member_id: MemberId, *, proven: bool = True) -> Binding:
    """The member is known by it from now on. Raises IdentityTaken, IdentityConflict. Theirs are known.

    A channel vouches for its own; who typed a phone has proven nothing.
    """
    earlier = draft.get(IDENTITIES, identity)
    if earlier is not None and earlier.member_id is not None:
        raise IdentityTaken(
            "One of the identities already belongs to a member of this programme.",
            channel=identity.channel,
            identity_type=identity.type,
        )
    theirs = draft.get(IDENTITIES_OF, member_id) or ()
    if identity[:2] in {other[:2] for other in theirs}:
        raise IdentityConflict(
            "The member is known by another identity of that channel and type; unbind that first.",
            channel=identity.channel,
            identity_type=identity.type,
        )
    if len(theirs) >= MOST_OF_A_MEMBER:
        raise IdentityConflict(f"A member has at most {MOST_OF_A_MEMBER} identities.", maximum=MOST_OF_A_MEMBER)
    binding = Binding(member_id, draft.moment.recorded_at, proven)
    draft.put(IDENTITIES, identity, binding)
    draft.put(IDENTITIES_OF, member_id, (*theirs, identity))
    return binding


def unbind(draft: Draft, identity: Identity, member_id: MemberId) -> Binding:
    """The member is not known by it any more, and somebody else may be; how it was bound.

    Raises IdentityNotFound, CardNumberStays. The member's identities are known.
    """
    binding = draft.get(IDENTITIES, identity)
    if binding is None or binding.member_id != member_id:
        raise IdentityNotFound("The member is not known by that identity.")
    if identity.channel == CARD_CHANNEL:
        raise CardNumberStays("A member keeps its card number.")
    theirs = draft.get(IDENTITIES_OF, member_id) or ()
    draft.put(IDENTITIES, identity, Binding(None, draft.moment.recorded_at))
    draft.put(IDENTITIES_OF, member_id, tuple(other for other in theirs if other != identity))
    return binding
