"""Alembic's environment: migrations run on the connection that `mallcore.migrations.upgrade` hands over."""

from alembic import context

from mallcore.kernel.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table="mall_alembic"
)
with context.begin_transaction():
    context.run_migrations()
