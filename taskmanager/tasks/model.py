"""The tables, as Alembic's autogenerate compares them with the database.

Nothing at run time imports this module: requests are served by the SQL in `statements`.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

from taskmanager.tasks.words import WORDS_OF_TASK

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
    Column("tags", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    CheckConstraint("char_length(title) BETWEEN 1 AND 200", name="tasks_title_length_check"),
    CheckConstraint("char_length(description) <= 10000", name="tasks_description_length_check"),
    CheckConstraint("status IN ('todo', 'in_progress', 'done')", name="tasks_status_check"),
    CheckConstraint("(status = 'done') = (completed_at IS NOT NULL)", name="tasks_completed_at_check"),
    CheckConstraint("priority BETWEEN 1 AND 3", name="tasks_priority_check"),
    CheckConstraint("cardinality(tags) <= 20", name="tasks_tags_count_check"),
    CheckConstraint("array_position(tags, NULL) IS NULL AND '' <> ALL (tags)", name="tasks_tags_elements_check"),
    # Here since it names no column by which it could find its table.
    Index("tasks_words_idx", text(WORDS_OF_TASK), postgresql_using="gin"),
)

Index("tasks_newest_idx", tasks.c.created_at.desc(), tasks.c.id.desc())
Index("tasks_updated_idx", tasks.c.updated_at, tasks.c.id)
Index(
    "tasks_status_priority_newest_idx",
    tasks.c.status,
    tasks.c.priority.desc(),
    tasks.c.created_at.desc().nulls_last(),
    tasks.c.id.desc().nulls_last(),
)
Index("tasks_status_due_idx", tasks.c.status, text("coalesce(due_at, 'infinity'::timestamptz)"), tasks.c.id)
Index("tasks_tags_idx", tasks.c.tags, postgresql_using="gin", postgresql_where=text("tags <> '{}'"))

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("task_id", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="idempotency_keys_key_length_check"),
)

Index("idempotency_keys_created_idx", idempotency_keys.c.created_at)
