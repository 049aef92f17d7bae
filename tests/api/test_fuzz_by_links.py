"""Whoever follows the links of the contract, in whatever order, is answered as the contract says."""

import pytest
from hypothesis import settings

from bench.fuzz.answers import Target
from bench.fuzz.walks import follow_links
from tests.api.test_fuzz import fuzzed, keys, target  # noqa: F401 - fixtures

WALKS = 40
STEPS = 10
LEAST = 15
"""Operations that must have said yes at least once: else nobody went anywhere."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_whoever_follows_the_links_is_answered_as_documented(target: Target) -> None:  # noqa: F811
    follow_links(target, settings(max_examples=WALKS, stateful_step_count=STEPS), seed=0)
    assert target.findings == []
    assert "POST /v1/members" in target.heard()
    assert len(target.heard()) >= LEAST, target.answered
