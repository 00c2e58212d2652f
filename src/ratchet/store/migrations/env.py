"""Alembic's entry point: run the migrations on the connection that `open_database` hands over."""

from alembic import context

from ratchet.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
