"""The README's session runs as it stands, with nothing but the port changed."""

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

README = Path(__file__).parents[1] / "README.md"
SESSION = re.compile(r"<!-- session: begin.*?-->\n```bash\n(.*?)```\n<!-- session: end -->", re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory like the project's own: `.venv` is there, `.loyalty` will be."""
    place = tmp_path_factory.mktemp("readme")
    (place / ".venv").symlink_to(Path(sys.executable).parents[1], target_is_directory=True)
    return place


@pytest.fixture(scope="module")
def service(place: Path) -> Iterator[Running]:
    with dev(place / ".loyalty") as running:
        yield running


@pytest.mark.skipif(not shutil.which("curl"), reason="the session is written with curl")
def test_the_session_of_the_readme_gives_the_figures_it_promises(place: Path, service: Running) -> None:
    found = SESSION.search(README.read_text())
    assert found, "the markers around the session are gone"
    assert "http://127.0.0.1:8000\n" in found[1]
    script = found[1].replace("http://127.0.0.1:8000\n", f"{service.url}\n")
    told = subprocess.run(["bash", "-eu", "-c", script], cwd=place, capture_output=True, text=True, check=True)
    answers: list[Any] = [json.loads(line) for line in told.stdout.splitlines() if line]
    member, gift, purchase, redemption, balance = answers

    assert member["number"].startswith("6")
    assert gift["points"] == 1000
    assert purchase["points"] == 199
    assert redemption["redemption"]["value"] == {"currency": "CNY", "amount": 100}
    points = balance["wallets"]["points"]
    assert (points["pending"], points["available"]) == (199, 900), "as the comment on the fifth call says"
    assert "199 pending, 900 available" in found[1]

    again = subprocess.run(["bash", "-eu", "-c", script], cwd=place, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines()[:4] == told.stdout.splitlines()[:4], "the session can be run again"


def test_the_credentials_name_a_key_for_every_role(place: Path, service: Running) -> None:
    path = place / ".loyalty" / "credentials.json"
    assert {"pos", "app", "desk", "marketing", "finance", "privacy", "admin"} <= json.loads(path.read_text()).keys()
    assert path.stat().st_mode & 0o077 == 0, "only its owner may read it"


def test_every_setting_that_the_readme_lists_exists_with_that_default() -> None:
    from loyalty.config import Settings

    listed = dict(re.findall(r"^\| `LOYALTY_(\w+)` \|.*\| (.+?) \|$", README.read_text(), re.MULTILINE))
    assert {name.lower() for name in listed} == set(Settings.model_fields)
    for name, default in listed.items():
        field = Settings.model_fields[name.lower()]
        if default.isdigit() or default == "info":
            assert str(field.default) == default, name
        if default == "required":
            assert field.is_required(), name
