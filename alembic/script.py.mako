"""${message}

Revision: ${up_revision}
Follows:  ${down_revision | comma,n}
Written:  ${create_date}
"""

# This migration runs while the release before it still serves. Before you commit it:
#
#   * Add, do not take away. The code before this revision must work after it: a new column has a default or
#     is nullable; what nobody reads any more is dropped one release later, in a revision of its own.
#   * Hold no lock for long. A statement that waits for a table makes everybody behind it wait, so lock
#     waits are cut off after 0.2 s. A check or foreign key is added with NOT VALID here and validated
#     (VALIDATE CONSTRAINT) in the next revision. A column's type is not changed in place.
#   * Build an index on a table that holds rows outside the transaction, so that it can be run again:
#         with op.get_context().autocommit_block():
#             op.execute("DROP INDEX CONCURRENTLY IF EXISTS name")   # a broken leftover of a failed build
#             op.create_index("name", "table", ["column"], postgresql_concurrently=True)
#   * Move data in batches, in a revision without schema changes.
#   * Never edit this file once it is released: write another one.

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision: str = ${repr(up_revision).replace("'", '"')}
down_revision: str | Sequence[str] | None = ${repr(down_revision).replace("'", '"')}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels).replace("'", '"')}
depends_on: str | Sequence[str] | None = ${repr(depends_on).replace("'", '"')}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
