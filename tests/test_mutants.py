"""The mutation runner: which changes it makes, that a trial runs the changed module, and which tests it chooses."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from bench.mutants.changes import changed, changes
from bench.mutants.trial import DOMAIN, ROOT, Mutant, Watched, covering

MODULE = '''
"""What it is."""
LIMIT: Final = 5
SHELF: Shelf[str] = Shelf("shelf")


class Word(NamedTuple):
    __slots__ = ("a",)
    kind: str = "word"


def capped(points: int, *, most: int = 0) -> int:
    """Never more."""
    assert points is not None, "told"
    if points > most and most:
        raise TooMany(f"At most {most}.", most=most)
    check(points)
    return min(points, sum(p + 1 for p in sorted(points) if not p))
'''


def test_every_change_is_listed_with_its_line() -> None:
    assert [(one.line, one.before, one.after) for one in changes(MODULE)] == [
        (3, "5", "6"),
        (9, "'word'", "'wordX'"),
        (12, "0", "1"),
        (14, "points is not None", "points is None"),
        (15, "points > most and most", "False"),
        (15, "points > most and most", "True"),
        (15, "points > most and most", "most"),
        (15, "points > most and most", "points > most"),
        (15, "points > most", "points >= most"),
        (16, "TooMany(f'At most {most}.', most=most)", "TooMany(f'At most {most}.')"),
        (17, "check(points)", "pass"),
        (18, "return min(points, sum((p + 1 for p in sorted(points) if not p)))", "return None"),
        (
            18,
            "min(points, sum((p + 1 for p in sorted(points) if not p)))",
            "max(points, sum((p + 1 for p in sorted(points) if not p)))",
        ),
        (18, "p + 1", "p - 1"),
        (18, "1", "2"),
        (18, "sorted(points)", "list(points)"),
        (18, "not p", "False"),
        (18, "not p", "True"),
    ]


def test_what_is_left_out_of_a_long_call_is_shown() -> None:
    call = f"tell({', '.join(f'name_{n}=name_{n}' for n in range(9))})"
    before, after = changes(call)[8][-2:]
    assert before.startswith("...")
    assert before.endswith("name_7=name_7, name_8=name_8)")
    assert after == before.replace("name_7=name_7, ", "")


def test_a_default_is_changed_on_import() -> None:
    default, *_ = [one for one in changes(MODULE) if one.line == 12]
    within, *_ = [one for one in changes(MODULE) if one.line == 16]
    assert (default.lines, within.lines) == (None, range(16, 17))


def test_a_changed_module_differs_in_that_one_place() -> None:
    plain = ast.unparse(ast.parse(MODULE)).splitlines()
    for one in changes(MODULE):
        lines = ast.unparse(changed(MODULE, one.number)).splitlines()
        assert len(lines) == len(plain)
        assert sum(a != b for a, b in zip(lines, plain, strict=True)) == 1, one


@pytest.mark.parametrize("path", sorted(DOMAIN.glob("*.py")), ids=lambda path: path.stem)
def test_every_change_of_the_domain_is_python_and_a_change(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    plain = ast.unparse(ast.parse(source))
    for one in changes(source)[::7]:
        text = ast.unparse(changed(source, one.number))
        assert text != plain, one
        ast.parse(text)


def test_a_trial_imports_the_changed_module() -> None:
    path = DOMAIN / "bounds.py"
    [change] = [one for one in changes(path.read_text(encoding="utf-8")) if one.before == "500"]
    told = """
        import sys
        from bench.mutants import trial
        from bench.mutants.changes import Change
        path, number = trial.DOMAIN / "bounds.py", int(sys.argv[1])
        sys.meta_path.insert(0, trial.Finder(trial.Mutant(path, Change(number, 0, None, "", ""))))
        from loyalty.domain.bounds import MAX_LINES
        print(MAX_LINES)
    """
    script = "\n".join(line.strip() for line in told.splitlines())
    run = [sys.executable, "-c", script, str(change.number)]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["501"]


def test_only_tests_that_run_the_statement_are_chosen() -> None:
    path = DOMAIN / "lots.py"
    [change, *_] = [one for one in changes(path.read_text(encoding="utf-8")) if one.before == "lot.drawn + taken"]
    near = Watched("near", 1, frozenset({("lots.py", change.line), ("books.py", 1)}))
    far = Watched("far", 1, frozenset({("lots.py", change.line + 9), ("books.py", change.line)}))
    assert covering(Mutant(path, change), [near, far]) == [near]
    assert covering(Mutant(path, change._replace(lines=None)), [near, far]) == [near, far], "it happens on import"
