"""`loyalty serve`: the API in as many processes as asked for, on one socket."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
from types import FrameType
from typing import Annotated, Any

import typer
import uvicorn
from fastapi import FastAPI
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess

from loyalty.api.app import create_app
from loyalty.api.service import Service
from loyalty.cli.ending import Stop, ends_clearly
from loyalty.config import Settings, load_settings
from loyalty.memory import relax_collector
from loyalty.store.database import Database
from loyalty.store.readiness import check_servable
from loyalty.telemetry import configure_logging

BACKLOG = 2_048


@ends_clearly
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    processes: Annotated[int, typer.Option(help="Server processes; as many as cores is best.", min=1, max=64)] = 1,
) -> None:
    """Serve the API.

    Needs LOYALTY_DATABASE_URL (the role that runs) and LOYALTY_SECRET. Refuses to start on a database that is not
    fully migrated, and in a role that could change the journal. On SIGTERM it finishes what is in flight and ends.
    """
    settings = load_settings()
    asyncio.run(_check(settings))
    configure_logging(settings.log_level)
    signal.signal(signal.SIGTERM, _ended_as_asked)
    with _listening(host, port) as listener:
        config = configuration("loyalty.cli.serve:app_from_environment", settings, factory=True)
        if processes == 1:
            uvicorn.Server(config).run(sockets=[listener])
            return
        with tempfile.TemporaryDirectory(prefix="loyalty-metrics-") as metrics:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
            config.workers = processes
            Processes(config, sockets=[listener]).run()


def _ended_as_asked(sig: int, frame: FrameType | None) -> None:
    """uvicorn raises the signal that stopped it once more when all is done; nothing is left to do then.

    Without this the process would end by the signal instead of with 0.
    """


def app_from_environment() -> FastAPI:
    """The application as a server process makes it."""
    settings = load_settings()
    configure_logging(settings.log_level)
    relax_collector()
    _end_with_the_supervisor()
    return stopping_visibly(create_app(settings))


def _end_with_the_supervisor() -> None:
    """Stop, as if asked to, once the process above is gone: it could never be stopped, and would keep the port."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return

    def watch() -> None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def configuration(app: Any, settings: Settings, **more: Any) -> uvicorn.Config:
    """How uvicorn runs the application."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_s,
        **more,
    )


class Processes(Multiprocess):
    """Server processes on one socket, started again when one dies."""

    def keep_subprocess_alive(self) -> None:
        """As uvicorn does; and the metrics of a process that died no longer count as living."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]

    def terminate_all(self) -> None:
        """Stop accepting before the processes end, so that nobody waits at a door that will not open."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def stopping_visibly(app: FastAPI) -> FastAPI:
    """The application, which says that it is not ready as soon as its process is asked to stop.

    Call it where the server's own signal handlers are in place already: theirs is run after ours.
    """
    service: Service = app.state.service
    for number in (signal.SIGINT, signal.SIGTERM):
        theirs = signal.getsignal(number)

        def stop(sig: int, frame: FrameType | None, theirs: Any = theirs) -> None:
            service.ready = False
            if callable(theirs):
                theirs(sig, frame)

        signal.signal(number, stop)
    return app


@contextlib.contextmanager
def _listening(host: str, port: int) -> Any:
    """The socket, bound before anything else starts. Raises Stop when the address is taken."""
    listener = bound(host, port)
    try:
        yield listener
    finally:
        listener.close()


def bound(host: str, port: int) -> socket.socket:
    """A listening-to-be socket. Raises Stop."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Stop(f"Cannot listen on {host}:{port}: {error.strerror}; choose another with --port.") from None
    listener.set_inheritable(True)
    return listener


async def _check(settings: Settings) -> None:
    database = Database(settings.database_url)
    try:
        await check_servable(database)
    finally:
        await database.close()


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set the event on SIGINT and SIGTERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
