"""The walkthroughs run as they stand, with nothing but the port changed, and every answer is the one it shows."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Running, dev

DOCS = Path(__file__).parents[1] / "docs"
TEXTS = {name: (DOCS / f"{name}.md").read_text() for name in ("walkthrough", "walkthrough-members")}
STEP = re.compile(r"^```bash\n(.*?)^```\n(?:```json\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
HERE = "http://127.0.0.1:8000\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like the project's own: `.venv` is there, `.loyalty` will be."""
    place = tmp_path_factory.mktemp("walkthrough")
    (place / ".venv").symlink_to(Path(sys.executable).parents[1], target_is_directory=True)
    return place


@pytest.fixture(scope="module")
def service(place: Path) -> Iterator[Running]:
    with dev(place / ".loyalty") as running:
        yield running


def walked(text: str, place: Path, service: Running) -> list[str]:
    """What a reader sees who types all of it, line by line."""
    script = "".join(commands for commands, _ in STEP.findall(text))
    assert script.count(HERE) == 1
    script = script.replace(HERE, f"{service.url}\n")
    told = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=place, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return told.stdout.splitlines()


def differences(shown: Any, said: Any, at: str = "") -> list[str]:
    """Where an answer is not what the text shows. The text may leave fields out, and end in `...`."""
    if isinstance(shown, dict) and isinstance(said, dict):
        missing = [f"{at}.{name} is not there" for name in shown if name not in said]
        return missing + [
            one for name in shown.keys() & said for one in differences(shown[name], said[name], f"{at}.{name}")
        ]
    if isinstance(shown, list) and isinstance(said, list) and len(shown) == len(said):
        return [one for n, pair in enumerate(zip(shown, said, strict=True)) for one in differences(*pair, f"{at}[{n}]")]
    if isinstance(shown, str) and shown.endswith("..."):
        begins = isinstance(said, str) and said.startswith(shown.removesuffix("..."))
        return [] if begins else [f"{at} is {said!r}, not {shown!r}"]
    return [] if (type(shown), shown) == (type(said), said) else [f"{at} is {said!r}, not {shown!r}"]


@pytest.mark.skipif(not shutil.which("curl"), reason="the walkthrough is written with curl")
@pytest.mark.parametrize("name", TEXTS)
def test_every_answer_of_the_walkthrough_is_the_one_it_shows(name: str, place: Path, service: Running) -> None:
    text = TEXTS[name]
    steps = [(commands, shown) for commands, shown in STEP.findall(text) if shown]
    told = walked(text, place, service)
    assert len(told) == len(steps), told
    for (commands, shown), said in zip(steps, told, strict=True):
        assert differences(json.loads(shown), json.loads(said)) == [], f"{commands}\n{said}"

    tapped = [
        said for (commands, _), said in zip(steps, told, strict=True) if "post pos walk-sale accruals" in commands
    ]
    assert len(tapped) == (2 if name == "walkthrough" else 0)
    assert len(set(tapped)) <= 1, "byte for byte"

    again = walked(text, place, service)
    for (commands, _), first, second in zip(steps, told, again, strict=True):
        if "post " in commands:
            assert first == second, "the day can be run again"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_walkthrough_shows_an_answer_to_every_request(text: str) -> None:
    silent = [commands for commands, shown in STEP.findall(text) if not shown]
    assert len(silent) == 1, "the helpers of the shell"
    assert text.count("```bash") == len(STEP.findall(text))
    assert text.count("```json") == len(STEP.findall(text)) - 1


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": "mem_..."}, {"a": "mem_1"}, True),
        ({"a": "mem_..."}, {"a": "red_1"}, False),
        ({"a": "..."}, {"a": None}, False),
        ([{"a": 1}], [{"a": 1}, {"a": 2}], False),
    ],
)
def test_the_comparison_tells_answers_apart(shown: Any, said: Any, same: bool) -> None:
    assert (differences(shown, said) == []) is same
