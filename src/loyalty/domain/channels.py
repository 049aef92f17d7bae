"""Channels: the platforms that a programme is connected to. Each signs what it sends with a secret that both know."""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from loyalty.domain.refusals import ChannelConnected, ChannelNotFound
from loyalty.domain.state import Draft, Shelf, State

CHANNEL_NAME: Final = "[a-z][a-z0-9_-]{0,31}"
"""What a channel may be called: the name stands in the addresses that its platform sends to."""
CHANNEL_SOURCE: Final = "channel:"
"""What comes from a channel has this and its name for its source, and nothing else has."""
MAX_POINTS_PER_UNIT: Final = 1_000_000


class PointsMaster(StrEnum):
    """Whose figure stands where two differ; each channel has one."""

    OURS = "ours"
    CHANNEL = "channel"


class ChannelSettings(NamedTuple):
    """What may be changed of a channel while it is connected."""

    points_master: str
    wallet: str
    """The points that the channel credits, debits and shows."""
    points_per_unit: int
    """The channel shows its members' points divided by this, rounded down."""
    phones_verified: bool
    """Whether the platform vouches that a phone it sends has been proven by whoever joins."""


class Channel(NamedTuple):
    """A platform that a programme is connected to. Its secrets are sealed; nobody is ever shown them again."""

    name: str
    """As in the identities of its members."""
    adapter: str
    """Which file of `channels/` speaks for it."""
    settings: ChannelSettings
    secret: bytes
    secret_since: datetime
    former_secret: bytes | None
    """The one before, as long as it was told to stay good."""
    former_until: datetime | None
    connected_at: datetime
    connected_by: str

    def secrets_at(self, at: datetime) -> tuple[bytes, ...]:
        """The sealed secrets that a message of now may be signed with, the newest first."""
        if self.former_secret is None or self.former_until is None or self.former_until <= at:
            return (self.secret,)
        return (self.secret, self.former_secret)


CHANNELS: Shelf[str, Channel] = Shelf("channel")


def connected(state: State, name: str) -> Channel:
    """The channel. Raises ChannelNotFound."""
    found = state.get(CHANNELS, name)
    if found is None:
        raise ChannelNotFound("The programme is not connected to such a channel.")
    return found


def connect(draft: Draft, channel: Channel) -> None:
    """The programme is connected to it. Raises ChannelConnected, UnknownWallet."""
    if draft.get(CHANNELS, channel.name) is not None:
        raise ChannelConnected("The programme is connected to a channel of that name.")
    settle_on(draft, channel, channel.settings)


def settle_on(draft: Draft, channel: Channel, settings: ChannelSettings) -> Channel:
    """The channel with these settings from now on. Raises UnknownWallet."""
    draft.programme.wallet(settings.wallet)
    changed = channel._replace(settings=settings)
    draft.put(CHANNELS, channel.name, changed)
    return changed


def rotated(channel: Channel, secret: bytes, *, at: datetime, former_until: datetime | None) -> Channel:
    """The channel with a new secret; the one of now stays good until `former_until`, or ends at once."""
    return channel._replace(
        secret=secret,
        secret_since=at,
        former_secret=None if former_until is None else channel.secret,
        former_until=former_until,
    )
