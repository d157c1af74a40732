"""The design that the brief describes: synchronous ORM, psycopg2, the instrumentator, `def` endpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Response
from prometheus_fastapi_instrumentator import Instrumentator
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ARRAY, BigInteger, DateTime, Identity, SmallInteger, Text, create_engine, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

engine = create_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"),
    pool_size=int(os.environ["POOL_SIZE"]),
    max_overflow=0,
)
SessionLocal = sessionmaker(engine)


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
    pass


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


app = FastAPI(title="TaskManager API")
Instrumentator().instrument(app).expose(app)


def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


Db = Annotated[Session, Depends(get_db)]


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/tasks", response_model=list[Task])
def list_tasks(db: Db, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> list[TaskRow]:
    newest = select(TaskRow).order_by(TaskRow.created_at.desc(), TaskRow.id.desc()).limit(limit)
    return list(db.scalars(newest))


@app.post("/tasks", response_model=Task, status_code=201)
def create_task(db: Db, content: TaskContent, response: Response) -> TaskRow:
    values = content.model_dump(exclude={"priority"})
    task = TaskRow(**values, rank=PRIORITIES.index(content.priority) + 1)
    if content.status is Status.DONE:
        task.completed_at = func.now()
    db.add(task)
    db.commit()
    db.refresh(task)
    response.headers["Location"] = f"/tasks/{task.id}"
    return task


@app.get("/tasks/{id}", response_model=Task)
def get_task(db: Db, id: Annotated[int, Path(ge=1)]) -> TaskRow:
    task = db.get(TaskRow, id)
    if task is None:
        raise HTTPException(404, "There is no task with this id")
    return task
