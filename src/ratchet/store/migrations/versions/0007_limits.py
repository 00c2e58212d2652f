"""Limits of keys, and whose key a request came with."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("requests_a_minute", sa.Float))
    op.add_column("keys", sa.Column("usd_a_day", sa.Float))
    op.add_column("requests", sa.Column("key", sa.String(200)))
