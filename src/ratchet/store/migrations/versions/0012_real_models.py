"""What models turned out to take, and of each answer the tokens of caches and of thinking, and what was really sent."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("cached_tokens", "cache_write_tokens", "reasoning_tokens"):
        op.add_column("trials", sa.Column(name, sa.Integer))
    op.add_column("trials", sa.Column("sent", sa.Text))
    op.create_table(
        "capabilities",
        sa.Column("base_url", sa.String(400), primary_key=True),
        sa.Column("model", sa.String(400), primary_key=True),
        sa.Column("field", sa.String(40), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("learned_at", sa.String(32), nullable=False),
    )
