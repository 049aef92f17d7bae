"""`loyalty openapi`: the contract, exported from the code."""

import difflib
from pathlib import Path
from typing import Annotated

import orjson
import typer

from loyalty.api.app import create_app
from loyalty.cli.ending import Stop, ends_clearly
from loyalty.config import load_settings

CONTRACT_FILE = Path("openapi/loyalty.json")


@ends_clearly
def openapi(
    check: Annotated[bool, typer.Option("--check", help="Fail when the file differs.")] = False,
) -> None:
    """Write the OpenAPI document to openapi/loyalty.json."""
    settings = load_settings(database_url="postgresql://nobody@/nowhere", secret="x" * 32)
    document = orjson.dumps(create_app(settings).openapi(), option=orjson.OPT_INDENT_2).decode() + "\n"
    if not check:
        CONTRACT_FILE.parent.mkdir(exist_ok=True)
        CONTRACT_FILE.write_text(document)
        return
    kept = CONTRACT_FILE.read_text() if CONTRACT_FILE.exists() else ""
    if kept != document:
        difference = difflib.unified_diff(kept.splitlines(), document.splitlines(), "loyalty.json", "code", n=1)
        raise Stop("openapi/loyalty.json differs from the code; run `make openapi`:\n" + "\n".join(difference))
