"""Everything that is counted, by name: what the rows of the table compare.

A measure takes the contenders, which all run from the first round to the last, and the seconds to count for.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from bench import pgbench, servers
from bench.count import Count
from bench.ground import RULES, Ground
from bench.load import wrk

CORES = os.cpu_count() or 1
MANY = 256
FEW = 64
BULK_CONNECTIONS = 4
"""With 500 items each they keep all lanes busy, and fit into one process's queue should it get all of them."""
CLIENTS_TRIED = (8, 16, 32, 64)
"""P1 runs with the number of clients that suits it best."""
WARM_UP_SHARE = 0.2
"""How much of a count's time goes before it, unmeasured."""


@dataclass
class Contenders:
    """What runs, and what one measure must remember for another."""

    ground: Ground
    service: int
    by_rules: int
    one_process: int | None
    conventional: int
    ordinary_route: int
    peak: float = 0.0
    """The newest count of accruals: half of it is the rate to keep up."""
    spent: int = 0
    """Redemptions sent so far: the next begin after them."""
    clients: dict[bool, int] = field(default_factory=dict)
    """How many clients suit P1 best, hot or not."""


Measure = Callable[[Contenders, float], Count]


@contextmanager
def contenders(ground: Ground) -> Iterator[Contenders]:
    """All servers, up and ready; an idle one costs the others nothing."""
    with ExitStack() as stack:
        yield Contenders(
            ground,
            service=stack.enter_context(servers.service(ground, processes=CORES)),
            by_rules=stack.enter_context(servers.service(ground._replace(database=RULES), processes=CORES)),
            one_process=stack.enter_context(servers.service(ground, processes=1)),
            conventional=stack.enter_context(servers.conventional(ground, processes=CORES)),
            ordinary_route=stack.enter_context(servers.ordinary_route(ground, processes=CORES)),
        )


def _over_http(server: str, kind: str, connections: int) -> Measure:
    """wrk against one of the contenders, warmed up first."""

    def measure(them: Contenders, seconds: float) -> Count:
        port: int = getattr(them, server)
        wrk.load(them.ground, port, kind, connections=connections, seconds=seconds * WARM_UP_SHARE)
        return wrk.load(them.ground, port, kind, connections=connections, seconds=seconds)

    return measure


def _accruals(them: Contenders, seconds: float) -> Count:
    count = _over_http("service", "accrual", MANY)(them, seconds)
    them.peak = count.rate
    return count


def _redemptions(them: Contenders, seconds: float) -> Count:
    count = None
    for length in (seconds * WARM_UP_SHARE, seconds):
        count = wrk.load(them.ground, them.service, "redemption", connections=MANY, seconds=length, start=them.spent)
        them.spent += round(count.rate * max(1, length)) + MANY * 2
    assert count is not None
    return count


def _half_rate(them: Contenders, seconds: float) -> Count:
    rate = (them.peak or _accruals(them, seconds).rate) / 2
    wrk.load(them.ground, them.service, "accrual", connections=256, seconds=seconds * WARM_UP_SHARE, rate=rate)
    return wrk.load(them.ground, them.service, "accrual", connections=256, seconds=seconds, rate=rate)


def _pgbench(*, hot: bool) -> Measure:
    """P1 with the clients that suit it best, found the first time."""

    def measure(them: Contenders, seconds: float) -> Count:
        if hot not in them.clients:
            tried = {
                clients: pgbench.accruals(them.ground, clients=clients, seconds=seconds / 2, hot=hot).rate
                for clients in CLIENTS_TRIED
            }
            them.clients[hot] = max(tried, key=tried.__getitem__)
        clients = them.clients[hot]
        pgbench.accruals(them.ground, clients=clients, seconds=seconds * WARM_UP_SHARE, hot=hot)
        return pgbench.accruals(them.ground, clients=clients, seconds=seconds, hot=hot)

    return measure


def _lone_call(them: Contenders, seconds: float) -> Count:
    pgbench.accruals(them.ground, clients=1, seconds=seconds * WARM_UP_SHARE)
    return pgbench.accruals(them.ground, clients=1, seconds=seconds)


MEASURES: Mapping[str, Measure] = {
    # Neighbours are compared with each other: they are counted one after the other.
    "P1": _pgbench(hot=False),
    "accruals": _accruals,
    "rules": _over_http("by_rules", "accrual", MANY),
    "P2": _over_http("conventional", "accrual", MANY),
    "P3": _over_http("ordinary_route", "accrual", MANY),
    "balance": _over_http("service", "balance", MANY),
    "one-process": _over_http("one_process", "accrual", FEW),
    "two-processes": _over_http("service", "accrual", FEW),
    "P1 hot": _pgbench(hot=True),
    "one-member": _over_http("service", "hot", MANY),
    "redemptions": _redemptions,
    "bulk": _over_http("service", "bulk", BULK_CONNECTIONS),
    "P1 lone": _lone_call,
    "lone": _over_http("service", "accrual", 1),
    "half-rate": _half_rate,
}
