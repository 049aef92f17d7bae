"""The ledger in memory against its naive twin, for as long as you like: `make soak`.

Lives of a few hundred commands, one after the other, each from a seed of its own: in random batches, answers compared
after each, everything compared and every law checked now and then. A life that fails
prints the seed that tells it again.
"""

import argparse
import random
import secrets
import sys
import time
from typing import Any

from tests.machine import (
    LASTING_RULES,
    MENU,
    PEOPLE,
    RULES,
    SLIDING_RULES,
    STRICT_RULES,
    VERBS,
    Ask,
    InMemory,
    Script,
    Told,
    compare,
    programme_of,
    said,
)
from tests.twin import Fact, World

LIFE = 250
"""Commands in a life."""
BETWEEN = 25
"""Commands between two comparisons of everything."""
WORLDS = (RULES, RULES, STRICT_RULES, LASTING_RULES, SLIDING_RULES)


def live(seed: int, commands: int = LIFE) -> int:
    """One life. Returns how many commands there were. Raises AssertionError where ledger and twin part."""
    dice = random.Random(seed)
    rules = dice.choice(WORLDS)
    script, world, till = Script(), World(rules), Told(InMemory(programme_of(rules)))
    facts: list[Fact] = []
    done = compared = 0
    joining = [Ask("enrol", who, identity=who) for who in range(PEOPLE - 1)]
    while done < commands:
        batch = [] if done else [script.fact(ask) for ask in joining]
        batch += [script.fact(ask(dice), till.known) for _ in range(dice.randrange(1, 6))]
        if facts and dice.random() < 0.1:
            batch.append(script.again(dice.choice(facts)))
        stand = [fact for fact in batch if fact is not None and till.stands(fact)]
        answers = said(till.tell(*stand))
        expected = [world.hear(fact) for fact in stand]
        assert answers == expected, f"{stand}\n{answers}\n{expected}"
        facts += stand
        done += len(stand)
        if done - compared >= BETWEEN or done >= commands:
            compare(till.ledger.records(), world)
            compared = done
    return done


def ask(dice: random.Random) -> Ask:
    """Something to ask. Dry runs are rarer than in the machine: they copy the twin's whole world."""
    verb = dice.choice(VERBS)
    drawn = {name: _one_of(dice, choices) for name, choices in MENU[verb].items()}
    if drawn.get("dry_run") and dice.random() < 0.7:
        return Ask("settle", dice.randrange(PEOPLE))
    return Ask(verb, **drawn)


def _one_of(dice: random.Random, choices: Any) -> Any:
    one = dice.choice(choices)
    return dice.choice(one) if isinstance(one, range) else one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=None, help="of the first life; the others follow from it")
    asked = parser.parse_args()
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    print(f"soaking {asked.commands:,} commands from seed {seed}", flush=True)
    begun = said_at = time.monotonic()
    done = 0
    while done < asked.commands:
        try:
            done += live(seed)
        except BaseException:
            print(
                f"after {done:,} commands; again with: python -m tests.soak --commands 1 --seed {seed}", file=sys.stderr
            )
            raise
        seed += 1
        if (now := time.monotonic()) - said_at > 10:
            print(f"{done:,} commands, {done / (now - begun):,.0f} a second", flush=True)
            said_at = now
    print(
        f"{done:,} commands, {done / (time.monotonic() - begun):,.0f} a second: ledger and twin agree, every law holds"
    )


if __name__ == "__main__":
    main()
