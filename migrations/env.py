"""How Alembic reaches the database: as the owner, with bounded waits, or not at all (`--sql`)."""

from alembic import context
from sqlalchemy import Connection

TIMEOUTS = context.config.attributes["timeouts"]
"""How long a revision may wait, and for what; `loyalty.store.migrations` says."""


def run_offline() -> None:
    """Print the SQL instead of running it."""
    context.configure(dialect_name="postgresql", literal_binds=True, transaction_per_migration=True)
    with context.begin_transaction():
        for name, value in TIMEOUTS.items():
            context.execute(f"set {name} = '{value}'")
        context.run_migrations()


def run_online(connection: Connection) -> None:
    """Migrate over the connection that `loyalty.store.migrations` hands in, one transaction for each revision."""
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        for name, value in TIMEOUTS.items():
            connection.exec_driver_sql(f"set {name} = '{value}'")
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online(context.config.attributes["connection"])
