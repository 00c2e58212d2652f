"""First tables: datasets, examples, candidates, trials, scores, steps."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("task", sa.String(200), nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
    )
    op.create_table(
        "examples",
        sa.Column(
            "dataset_id",
            sa.String(20),
            sa.ForeignKey("datasets.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("example_id", sa.String(20), nullable=False),
        sa.Column("split", sa.String(5), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("examples_by_split", "examples", ["dataset_id", "split", "position"])
    op.create_table(
        "candidates",
        sa.Column("id", sa.String(20), primary_key=True),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "trials",
        sa.Column("candidate_id", sa.String(20), primary_key=True),
        sa.Column("task_id", sa.String(20), primary_key=True),
        sa.Column("example_id", sa.String(20), primary_key=True),
        sa.Column("repeat", sa.Integer, primary_key=True),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("failure", sa.String(20)),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("completion_tokens", sa.Integer, nullable=False),
        sa.Column("cost_usd", sa.Float),
        sa.Column("latency_s", sa.Float, nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("candidate_id", sa.String(20), primary_key=True),
        sa.Column("task_id", sa.String(20), primary_key=True),
        sa.Column("example_id", sa.String(20), primary_key=True),
        sa.Column("repeat", sa.Integer, primary_key=True),
        sa.Column("metric_id", sa.String(20), primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("parts", sa.Text, nullable=False),
        sa.Column("feedback", sa.Text, nullable=False),
    )
    op.create_table(
        "steps",
        sa.Column("task", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
