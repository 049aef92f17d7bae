"""Members with a past: commands that happened at times of their own, sent through the lanes of the application."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import uuid_utils
from fastapi import FastAPI

from loyalty.api.service import Service, new_fact, wall_clock
from loyalty.domain.claims import ReferenceKey, reference_key
from loyalty.domain.entries import Because, Entry
from loyalty.domain.holds import Hold
from loyalty.domain.ids import MemberId
from loyalty.domain.state import Moment
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Answer, Submission
from loyalty.operations.hold import Capture, OpenHold, Release
from loyalty.operations.refund import Refund, redemption
from loyalty.operations.returns import Return
from loyalty.operations.sweep import Settle
from tests.api.conftest import Shop, a_reference
from tests.makers import buying, cancelling, confirming, enrolling, granting, redeeming, rendered, reserving


class Life:
    """One member of a shop; every deed names its time."""

    def __init__(self, app: FastAPI, shop: Shop) -> None:
        self._service: Service = app.state.service
        self.shop = shop
        self.id = MemberId(uuid_utils.uuid7().hex)
        self._bought: list[Entry] = []
        self._spent: list[Entry] = []
        self._held: list[Hold] = []
        self._reserved: list[tuple[Hold, Entry]] = []

    @property
    def member(self) -> Mapping[str, str]:
        return {"id": f"mem_{self.id}"}

    async def begins(self, when: datetime) -> None:
        await self._does(enrolling(self.id), when)

    async def buys(self, amount: int, when: datetime) -> None:
        bought = await self._does(buying(self.shop.programme, self.id, amount, when, reference=a_reference()), when)
        if isinstance(bought.outcome, Receipt):
            self._bought.append(bought.outcome.entries[0])

    async def is_given(self, points: int, when: datetime, **more: Any) -> None:
        learnt_at = more.pop("learnt_at", None)
        grant = granting(self.shop.programme, self.id, points, when, reference=a_reference(), **more)
        await self._does(grant, when, learnt_at)

    async def spends(self, points: int, when: datetime) -> None:
        """Or is refused, if there are not so many."""
        spent = await self._does(redeeming(self.shop.programme, self.id, points, when, reference=a_reference()), when)
        if isinstance(spent.outcome, Receipt):
            self._spent.append(spent.outcome.entries[0])

    async def sets_aside(self, points: int, when: datetime, lasts: timedelta) -> None:
        """Or is refused, if there are not so many."""
        key, day = self._taken("hold", when)
        held = await self._does(
            OpenHold(self.id, points, "points", lasts, Because("pos", key.reference), key, day), when
        )
        if isinstance(held.outcome, Receipt):
            self._held.append(held.outcome.said)

    async def captures(self, points: int, when: datetime) -> None:
        """The newest hold, in part or whole; or is refused, if it has ended."""
        if self._held:
            hold = self._held.pop()
            await self._does(Capture(hold, min(points, hold.points), self._day(when)), when)

    async def releases(self, when: datetime) -> None:
        """The newest hold; or is refused, if it has ended."""
        if self._held:
            await self._does(Release(self._held.pop(), self._day(when)), when)

    async def is_refunded(self, when: datetime) -> None:
        """The newest redemption, whole."""
        if self._spent:
            entry = self._spent.pop()
            key, day = self._taken("refund", when)
            await self._does(Refund(entry, redemption(entry), None, Because("pos", key.reference), key, day), when)

    async def brings_back(self, when: datetime) -> None:
        """The newest purchase, whole."""
        if self._bought:
            entry = self._bought.pop()
            key, day = self._taken("return", when)
            bought_on = self._day(entry.occurred_at)
            await self._does(Return(entry, None, Because("pos", key.reference), key, day, bought_on), when)

    async def reserves_a_return(self, amount: int, when: datetime, lasts: timedelta) -> None:
        """Of a part of the newest purchase; or is refused, if there is not so much left of it."""
        if self._bought:
            entry = self._bought[-1]
            part: dict[str, Any] = {"lines": [("1", 0, max(1, amount))], "lasts": lasts}
            asked = reserving(self.shop.programme, entry, when, reference=a_reference(), **part)
            reserved = await self._does(asked, when)
            if isinstance(reserved.outcome, Receipt):
                self._reserved.append((reserved.outcome.said.hold, entry))

    async def decides_on_a_return(self, when: datetime, *, confirm: bool) -> None:
        """The newest reserved return; or is refused, if it has ended."""
        if self._reserved:
            hold, entry = self._reserved.pop()
            programme = self.shop.programme
            cancelled = cancelling(programme, hold, when)
            await self._does(confirming(programme, hold, entry, when) if confirm else cancelled, when)

    def _day(self, when: datetime) -> date:
        return self.shop.programme.calendar.business_date(when)

    def _taken(self, kind: str, when: datetime) -> tuple[ReferenceKey, date]:
        day = self._day(when)
        return reference_key(self.shop.programme, kind, source="pos", reference=a_reference(), day=day), day

    async def is_settled(self, when: datetime) -> None:
        await self._does(Settle(self.id), when)

    async def _does(self, command: Command, when: datetime, learnt_at: datetime | None = None) -> Answer:
        moment = Moment(new_fact(), when, learnt_at or wall_clock())
        return await self._service.lanes.submit(Submission(self.shop.programme, command, moment, rendered))
