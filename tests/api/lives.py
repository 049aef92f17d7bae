"""Members with a past: commands that happened at times of their own, sent through the lanes of the application."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import uuid_utils
from fastapi import FastAPI

from loyalty.api.service import Service, new_fact, wall_clock
from loyalty.domain.ids import MemberId
from loyalty.domain.state import Moment
from loyalty.operations.command import Command
from loyalty.operations.door import Answer, Submission
from loyalty.operations.sweep import Settle
from tests.api.conftest import Shop, a_reference
from tests.makers import buying, enrolling, granting, redeeming, rendered


class Life:
    """One member of a shop; every deed names its time."""

    def __init__(self, app: FastAPI, shop: Shop) -> None:
        self._service: Service = app.state.service
        self.shop = shop
        self.id = MemberId(uuid_utils.uuid7().hex)

    @property
    def member(self) -> Mapping[str, str]:
        return {"id": f"mem_{self.id}"}

    async def begins(self, when: datetime) -> None:
        await self._does(enrolling(self.id), when)

    async def buys(self, amount: int, when: datetime) -> None:
        await self._does(buying(self.shop.programme, self.id, amount, when, reference=a_reference()), when)

    async def is_given(self, points: int, when: datetime, **more: Any) -> None:
        learnt_at = more.pop("learnt_at", None)
        grant = granting(self.shop.programme, self.id, points, when, reference=a_reference(), **more)
        await self._does(grant, when, learnt_at)

    async def spends(self, points: int, when: datetime) -> None:
        """Or is refused, if there are not so many."""
        await self._does(redeeming(self.shop.programme, self.id, points, when, reference=a_reference()), when)

    async def is_settled(self, when: datetime) -> None:
        await self._does(Settle(self.id), when)

    async def _does(self, command: Command, when: datetime, learnt_at: datetime | None = None) -> Answer:
        moment = Moment(new_fact(), when, learnt_at or wall_clock())
        return await self._service.lanes.submit(Submission(self.shop.programme, command, moment, rendered))
