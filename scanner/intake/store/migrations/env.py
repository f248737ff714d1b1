"""Run by Alembic for every command, on the connection that schema.py gives; each command is one transaction."""

from alembic import context

from scanner.intake.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
