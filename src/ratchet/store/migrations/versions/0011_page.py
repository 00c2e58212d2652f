"""What the page needs: people, commands that it started, and what was changed in examples."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("task", sa.String(200), nullable=False, index=True),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("started_at", sa.Float),
        sa.Column("ended_at", sa.Float),
        sa.Column("pid", sa.Integer),
        sa.Column("code", sa.Integer),
        sa.Column("place", sa.String(400), nullable=False),
    )
    op.create_table(
        "choices",
        sa.Column("task_id", sa.String(20), primary_key=True),
        sa.Column("example_id", sa.String(20), primary_key=True),
        sa.Column("first", sa.String(20), primary_key=True),
        sa.Column("second", sa.String(20), primary_key=True),
        sa.Column("who", sa.String(200), primary_key=True),
        sa.Column("result", sa.Float, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "edits",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("task", sa.String(200), nullable=False, index=True),
        sa.Column("example_id", sa.String(20), nullable=False),
        sa.Column("what", sa.String(12), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("version", sa.Integer),
        sqlite_autoincrement=True,
    )
    op.create_index("datasets_by_version", "datasets", ["task", "version"], unique=True)
