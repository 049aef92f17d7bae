"""Rule sets on their way: a draft never changes, and is published at most once, as the version after the last."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple, NewType

import orjson

from loyalty.domain.calendar import INSTANT
from loyalty.domain.members import GENESIS
from loyalty.domain.programme import CLOCK_TOLERANCE, Programme
from loyalty.domain.refusals import RulesPublished, RulesTooMany, RulesTooSoon, RulesUnsound
from loyalty.domain.rules import MOST_VERSIONS, Rule, RuleSet, rules_json
from loyalty.domain.soundness import Fault, faults
from loyalty.domain.state import Shelf

RulesId = NewType("RulesId", str)
"""32 hexadecimal digits of a draft and of what it is published as."""

NOTICE: Final = CLOCK_TOLERANCE + timedelta(minutes=1)
"""How long before they take effect rules are published: no till, however its clock runs, finds an older process."""
TO_ASK_AGAIN: Final = timedelta(minutes=1)


class Drafted(NamedTuple):
    """A set of rules as it was written down."""

    id: RulesId
    rules: tuple[Rule, ...]
    note: str | None
    drafted_at: datetime
    drafted_by: str
    """The API client."""


class Version(NamedTuple):
    """A draft that was published."""

    version: int
    draft_id: RulesId
    effective_from: datetime
    published_at: datetime
    published_by: str
    """The API client."""
    hash: bytes
    """SHA-256 over the hash of the version before, this version and its draft."""


DRAFTED: Shelf[RulesId, Drafted] = Shelf("draft of rules")
VERSIONS: Shelf[int, Version] = Shelf("version of rules")
LAST_VERSIONS: Shelf[None, tuple[Version, ...]] = Shelf("versions of rules")
"""All that the programme has published, version 1 first; not a table."""


def check_sound(programme: Programme, rules: Sequence[Rule], *, effective_from: datetime | None = None) -> None:
    """Raises RulesUnsound, which names every fault."""
    found = faults(programme, rules, effective_from=effective_from)
    if found:
        first = found[0]
        raise RulesUnsound(f"{first.rule or 'The rules'}: {first.problem}.", faults=[_told(fault) for fault in found])


def next_version(
    programme: Programme,
    earlier: Sequence[Version],
    drafted: Drafted,
    *,
    effective_from: datetime,
    at: datetime,
    by: str,
) -> Version:
    """The draft as the version after the last. Raises RulesPublished, RulesTooMany, RulesTooSoon, RulesUnsound."""
    if any(one.draft_id == drafted.id for one in earlier):
        raise RulesPublished("These rules were published before; draft them again to change anything.")
    if len(earlier) >= MOST_VERSIONS:
        raise RulesTooMany(f"A programme publishes at most {MOST_VERSIONS} versions.", maximum=MOST_VERSIONS)
    _check_time(programme, earlier, effective_from, at)
    check_sound(programme, drafted.rules, effective_from=effective_from)
    version = Version(len(earlier) + 1, drafted.id, effective_from, at, by, GENESIS)
    return sealed(programme.id, version, drafted, head=earlier[-1].hash if earlier else GENESIS)


def _check_time(programme: Programme, earlier: Sequence[Version], effective_from: datetime, at: datetime) -> None:
    """Nothing that has happened is decided anew. Raises RulesTooSoon."""
    if programme.fixed_now is None:
        if effective_from < at + NOTICE:
            raise RulesTooSoon(
                "Rules take effect six minutes after they are published; `earliest` leaves a minute to ask again.",
                earliest=at + NOTICE + TO_ASK_AGAIN,
            )
    elif earlier and effective_from <= (last := max(one.effective_from for one in earlier)):
        raise RulesTooSoon(
            "Where the clock stands still, rules take effect later than those published before.",
            earliest=last + INSTANT,
        )


def ends(versions: Iterable[Version]) -> dict[RulesId, datetime]:
    """When each gives way to the next; its own moment where it was replaced before that came."""
    timeline = sorted(versions, key=lambda one: (one.effective_from, one.version))
    return {one.draft_id: next_.effective_from for one, next_ in pairwise(timeline)}


def sealed(programme_id: int, version: Version, drafted: Drafted, *, head: bytes) -> Version:
    """The version with its hash: whoever changes it or its draft later breaks the chain of versions."""
    content = [programme_id, *version[:-1], drafted.note, drafted.drafted_at, drafted.drafted_by]
    told = orjson.dumps(content) + rules_json(drafted.rules).encode()
    return version._replace(hash=hashlib.sha256(head + told).digest())


def rule_set(version: Version, rules: tuple[Rule, ...]) -> RuleSet:
    """The rules of a draft as the version that it was published as."""
    return RuleSet(version.draft_id, version.version, version.effective_from, rules)


def _told(fault: Fault) -> dict[str, object]:
    return {name: value for name, value in fault._asdict().items() if value is not None}
