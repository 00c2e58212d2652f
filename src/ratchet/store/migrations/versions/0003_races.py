"""What a race knew at its start, and people's grades."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "races",
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("task", sa.String(200), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("known", sa.Text, nullable=False),
    )
    op.create_table(
        "grades",
        sa.Column("candidate_id", sa.String(20), primary_key=True),
        sa.Column("task_id", sa.String(20), primary_key=True),
        sa.Column("example_id", sa.String(20), primary_key=True),
        sa.Column("repeat", sa.Integer, primary_key=True),
        sa.Column("who", sa.String(200), primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("grade", sa.Text, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
    )
