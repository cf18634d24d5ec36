"""Which commit of each line of Git was acted on last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "acted_on",
        sa.Column("line", sa.String(64), primary_key=True),
        sa.Column("commit_id", sa.String(64), nullable=False),
    )
