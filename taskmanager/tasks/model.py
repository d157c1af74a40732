"""The table, as Alembic's autogenerate compares it with the database.

Nothing at run time imports this module: requests are served by the SQL in `statements`.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData()

tasks = Table(
    "tasks",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("version", BigInteger, nullable=False, server_default="1"),
    Column("status", Text, nullable=False, server_default="todo"),
    Column("completed_at", DateTime(timezone=True)),
    Column("priority", SmallInteger, nullable=False, server_default="2"),
    Column("due_at", DateTime(timezone=True)),
    CheckConstraint("char_length(title) BETWEEN 1 AND 200", name="tasks_title_length_check"),
    CheckConstraint("char_length(description) <= 10000", name="tasks_description_length_check"),
    CheckConstraint("status IN ('todo', 'in_progress', 'done')", name="tasks_status_check"),
    CheckConstraint("(status = 'done') = (completed_at IS NOT NULL)", name="tasks_completed_at_check"),
    CheckConstraint("priority BETWEEN 1 AND 3", name="tasks_priority_check"),
)

Index("tasks_newest_idx", tasks.c.created_at.desc(), tasks.c.id.desc())
Index("tasks_open_due_idx", tasks.c.due_at, tasks.c.id, postgresql_where=text("status <> 'done'"))
Index("tasks_updated_idx", tasks.c.updated_at, tasks.c.id)
