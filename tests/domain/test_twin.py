"""The ledger in memory against its naive twin."""

import pytest
from hypothesis.stateful import run_state_machine_as_test

from tests.machine import LASTING_RULES, RULES, InMemory, machine
from tests.twin import Rules


@pytest.mark.parametrize("rules", [RULES, LASTING_RULES], ids=["points expire", "points last"])
def test_the_ledger_and_its_twin_agree_after_every_step(rules: Rules) -> None:
    run_state_machine_as_test(machine(InMemory, rules))
