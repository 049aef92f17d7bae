"""Column types and table outlines. The truth about tables is `migrations/schema.sql`; a test holds both together.

SQLAlchemy's own array and UUID types walk every element in Python; asyncpg encodes the plain values in C, so
the types here pass them through. Ids are 32 hexadecimal digits on our side and `uuid` on the other.
"""

from functools import cached_property
from typing import Any, Final

from sqlalchemy import TableClause, column, table
from sqlalchemy.types import UserDefinedType


class Plain(UserDefinedType[Any]):
    """A Postgres type by its name; values go to the driver as they are."""

    cache_ok = True
    render_bind_cast = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name

    @cached_property
    def array(self) -> "Plain":
        """The type of its arrays: the same object each time, for statements are remembered by their types."""
        return Plain(f"{self.name}[]")


UUID: Final = Plain("uuid")
BIGINT: Final = Plain("bigint")
INTEGER: Final = Plain("integer")
SMALLINT: Final = Plain("smallint")
TEXT: Final = Plain("text")
BYTEA: Final = Plain("bytea")
DATE: Final = Plain("date")
TIMESTAMPTZ: Final = Plain("timestamp with time zone")
JSON: Final = Plain("json")
BOOLEAN: Final = Plain("boolean")


def ledger_table(name: str, /, **columns: Plain) -> TableClause:
    """A table of the ledger: every one is led by its bucket and belongs to a programme."""
    outline = {"bucket": SMALLINT, "programme_id": INTEGER, **columns}
    return table(name, *(column(name_, type_) for name_, type_ in outline.items()))
