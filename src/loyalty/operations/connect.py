"""A programme is connected to a channel; its settings change; its secret is replaced."""

from datetime import datetime
from typing import NamedTuple

from loyalty.domain.channels import CHANNELS, Channel, ChannelSettings, connect, connected, rotated, settle_on
from loyalty.domain.ids import MemberId
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class Connect(NamedTuple):
    """Connect the programme to a channel, with its first secret, sealed."""

    name: str
    adapter: str
    settings: ChannelSettings
    secret: bytes
    by: str
    lane: MemberId
    """Any id: a channel belongs to no member."""

    @property
    def member_id(self) -> MemberId:
        return self.lane

    def needs(self) -> tuple[Need, ...]:
        return (Need(CHANNELS, self.name),)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The channel. Raises ChannelConnected, UnknownWallet."""
        now = draft.moment.recorded_at
        channel = Channel(self.name, self.adapter, self.settings, self.secret, now, None, None, now, self.by)
        connect(draft, channel)
        return Receipt(self.lane, (), channel)


class ChangeChannel(NamedTuple):
    """Let a channel have other settings; those that are not named stay."""

    name: str
    changes: dict[str, object]
    """By the names of `ChannelSettings`."""
    lane: MemberId

    @property
    def member_id(self) -> MemberId:
        return self.lane

    def needs(self) -> tuple[Need, ...]:
        return (Need(CHANNELS, self.name),)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The channel as it is now. Raises ChannelNotFound, UnknownWallet."""
        channel = connected(draft, self.name)
        settings = ChannelSettings(**{**channel.settings._asdict(), **self.changes})
        return Receipt(self.lane, (), settle_on(draft, channel, settings))


class RotateSecret(NamedTuple):
    """Give a channel a new secret, sealed."""

    name: str
    secret: bytes
    former_until: datetime | None
    """How long the one of now stays good: while the platform changes over. None: it ends at once."""
    lane: MemberId

    @property
    def member_id(self) -> MemberId:
        return self.lane

    def needs(self) -> tuple[Need, ...]:
        return (Need(CHANNELS, self.name),)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The channel as it is now. Raises ChannelNotFound."""
        channel = connected(draft, self.name)
        changed = rotated(channel, self.secret, at=draft.moment.recorded_at, former_until=self.former_until)
        draft.put(CHANNELS, self.name, changed)
        return Receipt(self.lane, (), changed)
