"""How Python's garbage collector behaves in processes that make millions of short-lived values."""

import gc

YOUNGEST, MIDDLE, OLDEST = 50_000, 50, 100
"""How many allocations, and how many rounds of the generation below, pass before a generation is searched."""


def relax_collector() -> None:
    """Leave alone what the process started with, and search the rest for cycles less often.

    A batch is a few hundred thousand values that are freed by their counts as soon as it is answered; by default the
    collector walks them all, again and again, and finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNGEST, MIDDLE, OLDEST)
