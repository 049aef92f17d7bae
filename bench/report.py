"""The table, and the line of JSON that is kept of it."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.count import Count
from bench.ground import HERE, Ground
from bench.processors import QUIET
from bench.rows import Counts, Verdict

RESULTS = HERE / "results" / "results.jsonl"


def circumstances(ground: Ground) -> dict[str, Any]:
    """Where and when: a figure without them means nothing."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{os.cpu_count()} cores, {_processor()}, {_memory_gb()} GB",
        "python": platform.python_version(),
        "postgres": ground.postgres.run("psql", "-XAtc", "show server_version").strip(),
        "members": ground.members,
        "load_before": round(os.getloadavg()[0], 2),
    }


def tell(what: str, count: Count) -> None:
    """Print a count as soon as it is there."""
    figures = (
        f"{count.rate:>9,.0f}/s  median {count.median_ms:.2f} ms  p99 {count.p99_ms:.1f} ms  {count.cpu_us:.0f} us"
    )
    others = f", others used {count.others_share:.0%} of the machine" if count.others_share > QUIET else ""
    errors = f", {count.errors} ERRORS" if count.errors else ""
    print(f"{what:<22}{figures}  {count.note}{others}{errors}", flush=True)


def show(where: dict[str, Any], verdicts: Sequence[Verdict], counts: Counts) -> None:
    """Print the table, and under it every count."""
    console = Console(width=None if Console().is_terminal else 140)
    table = Table(title="  ".join(f"{name} {value}" for name, value in where.items()), title_justify="left")
    for column in ("row", "figure", "yardstick", "ratio", "goal", "met?"):
        table.add_column(column, justify="left" if column in ("row", "met?") else "right")
    for verdict in verdicts:
        table.add_row(*_cells(verdict))
    console.print(table)
    for name, several in counts.items():
        told = ", ".join(f"{c.rate:,.0f}/s" for c in several)
        told += "; median {:.2f} ms, p99 {:.1f} ms; {:.0f} us of processors each".format(
            *(median(getattr(c, field) for c in several) for field in ("median_ms", "p99_ms", "cpu_us"))
        )
        errors = sum(c.errors for c in several)
        console.print(f"  {name:<18} {told}; {several[0].note}" + (f"; {errors} ERRORS" if errors else ""))
    busiest = max(count.others_share for several in counts.values() for count in several)
    if busiest > QUIET:
        console.print(f"Others used up to {busiest:.0%} of the machine: what many processes share fares better then.")


def keep(where: dict[str, Any], verdicts: Sequence[Verdict], counts: Counts) -> None:
    """Append what was measured to the results."""
    line = {
        **where,
        "goals": [
            {
                "row": v.row.name,
                "yardstick": v.goal.yardstick,
                "ratio": round(v.ratio, 3),
                "bound": v.goal.bound,
                "met": v.met,
            }
            for v in verdicts
        ],
        "counts": {name: [_rounded(c) for c in several] for name, several in counts.items()},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def _rounded(count: Count) -> dict[str, Any]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in count._asdict().items()}


def _cells(verdict: Verdict) -> tuple[str, ...]:
    row, goal = verdict.row, verdict.goal
    sign = "≤" if goal.at_most else "≥"
    unit = row.unit.removeprefix("median ").removeprefix("p99 ")
    if verdict.yardstick is None:
        figures = (_number(verdict.figure, unit), "", "", f"{sign} {goal.bound:g} {unit}")
    else:
        yardstick = f"{goal.yardstick} {_number(verdict.yardstick, unit)}"
        figures = (_number(verdict.figure, unit), yardstick, f"{verdict.ratio:.2f}", f"{sign} {goal.bound:g}")
    met = f"invalid: {verdict.errors} errors" if verdict.errors else ("yes" if verdict.met else "NO")
    return row.what, *figures, met


def _number(value: float, unit: str) -> str:
    return f"{value:,.0f}{unit}" if unit == "/s" else f"{value:.2f} {unit}"


def _commit() -> str:
    """The commit, with a plus when something is changed; `none` before the first."""
    head = _git("rev-parse", "--short", "HEAD")
    return f"{head}+" if head and _git("status", "--porcelain") else head or "none"


def _git(*args: str) -> str:
    done = subprocess.run(["git", *args], cwd=HERE, capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
