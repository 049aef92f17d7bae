"""Commands teach with --help, and end clearly: one sentence on standard error, a non-zero exit, never a trace."""

import os
import socket
import subprocess
import traceback
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loyalty.cli.main import app
from tests.conftest import Cluster, Urls
from tests.processes import LOYALTY, a_free_port, an_environment

SECRET = "a secret that only the tests know of, and long enough"
COMMANDS = sorted(str(one.name or one.callback.__name__).rstrip("_") for one in app.registered_commands if one.callback)


def here(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """The command in this process: much sooner than in one of its own, for whatever ends before it logs."""
    ours = {name: None for name in os.environ if name.startswith("LOYALTY_")}
    told = CliRunner().invoke(app, arguments, env={**ours, **settings}, prog_name="loyalty")
    trace = "".join(traceback.format_exception(told.exception)) if told.exception else ""
    trace = "" if isinstance(told.exception, SystemExit) else trace
    return subprocess.CompletedProcess(arguments, told.exit_code, told.stdout, told.stderr + trace)


def run(*arguments: str, cwd: Path | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LOYALTY, *arguments], capture_output=True, text=True, timeout=60, cwd=cwd, env=an_environment(**settings)
    )


def ended(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence with which the command ended."""
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    assert "Traceback" not in done.stdout, done.stdout
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("loyalty: "), done.stderr
    assert done.stderr.strip().endswith((".", "`")), done.stderr
    return done.stderr.strip()


@pytest.fixture
def migrated(cluster: Cluster) -> Urls:
    return cluster.a_database()


def a_server(urls: Urls) -> dict[str, str]:
    return {"LOYALTY_DATABASE_URL": urls.running, "LOYALTY_SECRET": SECRET}


def test_help_lists_every_command() -> None:
    told = here("--help").stdout
    assert {"dev", "serve", "worker", "migrate", "programme", "openapi", "schema"} <= set(COMMANDS)
    assert all(command in told for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    done = here(command, "--help")
    assert done.returncode == 0
    assert f"Usage: loyalty {command}" in done.stdout


def test_a_missing_secret_is_named(migrated: Urls) -> None:
    assert "LOYALTY_SECRET" in ended(here("serve", LOYALTY_DATABASE_URL=migrated.running))


def test_a_short_secret_is_refused_without_being_told(migrated: Urls) -> None:
    said = ended(here("serve", LOYALTY_DATABASE_URL=migrated.running, LOYALTY_SECRET="correct horse"))
    assert "32" in said
    assert "correct horse" not in said


def test_a_missing_database_is_named() -> None:
    assert "LOYALTY_DATABASE_URL" in ended(here("serve", LOYALTY_SECRET=SECRET))


@pytest.mark.parametrize(
    "url",
    [
        "mysql://localhost/x",
        "nonsense",
        "",
        "postgresql://localhost:notaport/x",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    ended(here("serve", LOYALTY_DATABASE_URL=url, LOYALTY_SECRET=SECRET))


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_that_cannot_be_reached_is_said_to_be(command: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and never listening: nobody can connect here
        url = f"postgresql://someone:hidden-word@127.0.0.1:{closed.getsockname()[1]}/loyalty"
        said = ended(here(command, LOYALTY_DATABASE_URL=url, LOYALTY_MIGRATION_URL=url, LOYALTY_SECRET=SECRET))
    assert "hidden-word" not in said


def test_a_database_that_does_not_exist_is_said_not_to(cluster: Cluster) -> None:
    url = cluster.server.url("loyalty_runner", "nowhere")
    assert "nowhere" in ended(run("worker", LOYALTY_DATABASE_URL=url, LOYALTY_SECRET=SECRET))


def test_a_database_that_was_never_migrated_is_refused(cluster: Cluster) -> None:
    cluster.server.run("psql", "-c", "drop database if exists empty_one", "-c", "create database empty_one")
    url = cluster.server.url("loyalty_runner", "empty_one")
    said = ended(here("serve", LOYALTY_DATABASE_URL=url, LOYALTY_SECRET=SECRET))
    assert "never migrated" in said
    assert "loyalty migrate" in said


def test_a_database_at_another_revision_is_refused(cluster: Cluster, migrated: Urls) -> None:
    name = migrated.running.partition("@/")[2].partition("?")[0]
    cluster.server.run("psql", "-d", name, "-c", "update alembic_version set version_num = '0000'")
    said = ended(here("serve", **a_server(migrated)))
    assert "0000" in said
    assert "loyalty migrate" in said


def test_a_database_without_a_revision_in_it_is_refused(cluster: Cluster, migrated: Urls) -> None:
    name = migrated.running.partition("@/")[2].partition("?")[0]
    cluster.server.run("psql", "-d", name, "-c", "delete from alembic_version")
    assert "loyalty migrate" in ended(here("serve", **a_server(migrated)))


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_a_role_that_is_too_strong_is_refused(migrated: Urls, command: str) -> None:
    said = ended(run(command, LOYALTY_DATABASE_URL=migrated.owner, LOYALTY_SECRET=SECRET))
    assert "superuser" in said
    assert "loyalty_run" in said


def test_a_role_that_may_change_the_journal_is_refused(cluster: Cluster, migrated: Urls) -> None:
    name = migrated.running.partition("@/")[2].partition("?")[0]
    cluster.server.run("psql", "-d", name, "-c", "grant update on entry to loyalty_run")
    assert "journal" in ended(here("serve", **a_server(migrated)))


def test_a_port_in_use_is_named(migrated: Urls, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for done in (
            run("serve", "--port", port, cwd=tmp_path, **a_server(migrated)),
            run("dev", "--port", port, "--data-dir", str(tmp_path)),
        ):
            said = ended(done)
            assert port in said
            assert "--port" in said


def test_migrating_needs_the_owner(migrated: Urls) -> None:
    assert "LOYALTY_MIGRATION_URL" in ended(here("migrate", **a_server(migrated)))
    ended(
        here(
            "migrate",
            LOYALTY_MIGRATION_URL=migrated.running,
            LOYALTY_CLEANER_URL=migrated.running,
            **a_server(migrated),
        )
    )


def test_migrating_twice_changes_nothing(migrated: Urls) -> None:
    done = here("migrate", LOYALTY_MIGRATION_URL=migrated.owner, **a_server(migrated))
    assert (done.returncode, done.stderr) == (0, "")
    assert "revision" in done.stdout


def test_a_data_directory_with_broken_credentials_is_named(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text("{")
    cluster.server.run("psql", "-c", "drop database if exists dev_one", "-c", "create database dev_one")
    url = cluster.server.url(database="dev_one").replace("postgresql+asyncpg", "postgresql")
    done = run("dev", "--port", str(a_free_port()), "--data-dir", str(tmp_path), "--database-url", url)
    assert "credentials.json" in ended(done)


def test_a_contract_that_differs_is_told_with_what_to_run(tmp_path: Path) -> None:
    done = run("openapi", "--check", cwd=tmp_path)
    assert done.returncode != 0
    assert "make openapi" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["serve", "--port", "0"], ["serve", "--processes", "65"], ["nothing"], []])
def test_arguments_that_make_no_sense_are_explained(arguments: list[str]) -> None:
    done = here(*arguments)
    assert done.returncode == 2
    assert "Usage: loyalty" in done.stdout + done.stderr


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    done = run("dev", "--data-dir", str(taken))
    assert done.returncode != 0
    assert f"--data-dir {taken}: File exists." in done.stderr
    assert "Traceback" not in done.stderr
