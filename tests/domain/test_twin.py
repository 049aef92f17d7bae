"""The ledger in memory against its naive twin."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests import soak
from tests.machine import LASTING_RULES, RULES, SLIDING_RULES, STRICT_RULES, InMemory, machine
from tests.twin import Rules


@pytest.mark.parametrize(
    "rules",
    [RULES, STRICT_RULES, LASTING_RULES, SLIDING_RULES],
    ids=["points expire", "nothing is forgiven", "points last", "points slide"],
)
def test_the_ledger_and_its_twin_agree_after_every_step(rules: Rules) -> None:
    run_state_machine_as_test(machine(InMemory, rules))


@pytest.mark.parametrize("seed", range(12))
def test_a_small_soak_finds_nothing(seed: int) -> None:
    """The beginning of what `make soak` does at length."""
    soak.live(seed)
