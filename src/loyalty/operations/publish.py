"""Earning rules are drafted, then published as the next version. Neither ever changes afterwards."""

from datetime import datetime
from typing import NamedTuple

from loyalty.domain.ids import MemberId
from loyalty.domain.publishing import (
    DRAFTED,
    LAST_VERSIONS,
    VERSIONS,
    Drafted,
    RulesId,
    Version,
    check_sound,
    ends,
    next_version,
)
from loyalty.domain.refusals import RulesNotFound
from loyalty.domain.rules import Rule
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class RulesSaid(NamedTuple):
    """A draft, and what it was published as."""

    drafted: Drafted
    version: Version | None
    until: datetime | None = None
    """When other rules take effect; the version's own moment where they replaced it before it came."""


class DraftRules(NamedTuple):
    """Write a set of rules down."""

    rules: tuple[Rule, ...]
    note: str | None
    by: str
    lane: MemberId
    """Any id: rules belong to no member."""

    @property
    def member_id(self) -> MemberId:
        return self.lane

    def needs(self) -> tuple[Need, ...]:
        return ()

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The draft. Raises RulesUnsound."""
        check_sound(draft.programme, self.rules)
        moment = draft.moment
        drafted = Drafted(RulesId(moment.fact), self.rules, self.note, moment.recorded_at, self.by)
        draft.put(DRAFTED, drafted.id, drafted)
        return Receipt(self.lane, (), RulesSaid(drafted, None))


class Publish(NamedTuple):
    """Let purchases that occur from a moment on earn by the rules of a draft."""

    draft_id: RulesId
    effective_from: datetime
    by: str

    @property
    def member_id(self) -> MemberId:
        """Any id: rules belong to no member."""
        return MemberId(self.draft_id)

    def needs(self) -> tuple[Need, ...]:
        return (Need(DRAFTED, self.draft_id), Need(LAST_VERSIONS, None))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The version. Raises RulesNotFound, RulesPublished, RulesTooMany, RulesTooSoon, RulesUnsound."""
        drafted = draft.get(DRAFTED, self.draft_id)
        if drafted is None:
            raise RulesNotFound("There are no such earning rules in this programme.")
        earlier = draft.get(LAST_VERSIONS, None) or ()
        version = next_version(
            draft.programme,
            earlier,
            drafted,
            effective_from=self.effective_from,
            at=draft.moment.recorded_at,
            by=self.by,
        )
        draft.put(VERSIONS, version.version, version)
        versions = (*earlier, version)
        draft.put(LAST_VERSIONS, None, versions)
        return Receipt(self.member_id, (), RulesSaid(drafted, version, ends(versions).get(drafted.id)))
