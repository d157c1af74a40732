"""The same API on SQLAlchemy's asynchronous ORM and asyncpg, nothing else added."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ARRAY, BigInteger, DateTime, Identity, SmallInteger, Text, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
    pool_size=int(os.environ["POOL_SIZE"]),
    max_overflow=0,
)
# Attributes stay readable after the commit, as SQLAlchemy's documentation advises for asyncio.
SessionLocal = async_sessionmaker(engine, expire_on_commit=False)


class Status(StrEnum):
    TODO = "todo"
    IN_PROGRESS = "in_progress"
    DONE = "done"


class Priority(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


PRIORITIES = list(Priority)


class Base(DeclarativeBase):
    # INSERT … RETURNING brings what the server fills in, so that POST is one statement.
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012


class TaskRow(Base):
    __tablename__ = "tasks"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, server_default="")
    status: Mapped[str] = mapped_column(Text, server_default="todo")
    rank: Mapped[int] = mapped_column("priority", SmallInteger, server_default="2")
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def priority(self) -> Priority:
        return PRIORITIES[self.rank - 1]


class TaskContent(BaseModel):
    title: Annotated[str, Field(min_length=1, max_length=200)]
    description: Annotated[str, Field(max_length=10_000)] = ""
    status: Status = Status.TODO
    priority: Priority = Priority.NORMAL
    due_at: datetime | None = None
    tags: list[str] = []


class Task(TaskContent):
    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    async with SessionLocal() as session:
        yield session


Db = Annotated[AsyncSession, Depends(get_session)]


@app.get("/tasks", response_model=list[Task])
async def list_tasks(db: Db, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> list[TaskRow]:
    newest = select(TaskRow).order_by(TaskRow.created_at.desc(), TaskRow.id.desc()).limit(limit)
    return list(await db.scalars(newest))


@app.post("/tasks", response_model=Task, status_code=201)
async def create_task(db: Db, content: TaskContent, response: Response) -> TaskRow:
    values = content.model_dump(exclude={"priority"})
    task = TaskRow(**values, rank=PRIORITIES.index(content.priority) + 1)
    task.completed_at = func.now() if content.status is Status.DONE else None
    db.add(task)
    await db.commit()
    response.headers["Location"] = f"/tasks/{task.id}"
    return task


@app.get("/tasks/{id}", response_model=Task)
async def get_task(db: Db, id: Annotated[int, Path(ge=1)]) -> TaskRow:
    task = await db.get(TaskRow, id)
    if task is None:
        raise HTTPException(404, "There is no task with this id")
    return task
