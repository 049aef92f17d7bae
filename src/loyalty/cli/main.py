"""The `loyalty` command."""

import typer

from loyalty.cli.contract import openapi
from loyalty.cli.dev import dev
from loyalty.cli.import_ import import_
from loyalty.cli.migrate import migrate, schema
from loyalty.cli.programme import programme
from loyalty.cli.serve import serve
from loyalty.cli.verify import verify
from loyalty.cli.what_if import what_if
from loyalty.cli.worker import worker

app = typer.Typer(
    name="loyalty",
    help="A points and entitlements service: a double-entry ledger behind an idempotent REST API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (dev, serve, worker, migrate, programme):
    app.command()(command)
app.command("import")(import_)
for command in (verify, openapi, schema):
    app.command()(command)
app.command("what-if")(what_if)
