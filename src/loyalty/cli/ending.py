"""How a command ends when it cannot go on: one clear sentence on standard error, and a non-zero exit."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

from loyalty.config import ConfigurationError
from loyalty.embedded import EmbeddedPostgresError
from loyalty.store.readiness import NotServable

P = ParamSpec("P")
R = TypeVar("R")


class Stop(Exception):
    """Ends a command with this sentence."""


def ends_clearly(command: Callable[P, R]) -> Callable[P, R]:
    """The command, its foreseen failures told in a sentence instead of a trace."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (Stop, ConfigurationError, EmbeddedPostgresError, NotServable) as error:
            typer.echo(f"loyalty: {error}", err=True)
            raise typer.Exit(1) from None

    return run
