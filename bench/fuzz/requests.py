"""Requests made from the schema of one operation: such as fit it, and such as do not."""

from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bench.fuzz.answers import Target

MOSTLY = "admin"
"""The role that may do nearly everything: half of the requests are its."""


def ask_anything(target: Target, operation: str, tried: settings, seed: int) -> None:
    """Send generated requests, and hold every answer to the contract."""
    method, path = operation.split()
    asked = schemathesis.openapi.from_dict(target.document)[path][method]
    requests = asked.as_strategy() | asked.as_strategy(schemathesis.GenerationMode.NEGATIVE)

    @hypothesis.seed(seed)
    @settings(tried, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @hypothesis.given(case=requests, role=st.just(MOSTLY) | st.sampled_from(target.roles))
    def ask(case: Any, role: str | None) -> None:
        target.hold(case, case.call(base_url=target.url, headers=target.admission(role)))

    ask()
