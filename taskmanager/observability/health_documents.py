"""What the probes and /version answer with, as OpenAPI tells it. The answers themselves are made in `health`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from taskmanager import __version__
from taskmanager.documentation.documented import Responses, never_null

Level = Literal["ok", "warn", "fail"]


class _Document(BaseModel):
    """A field that is None here is left out there."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=never_null)


class Alive(_Document):
    """The process answers."""

    status: Literal["ok"]


class Check(_Document):
    """One thing that was looked at."""

    status: Level
    detail: str | None = Field(None, description="What is the matter, where something is")


class SchemaCheck(_Document):
    """The verdict on the database's schema."""

    status: Level
    state: str = Field(description="A stable code", examples=["at_head"])
    database_revisions: list[str]
    code_heads: list[str]
    stale: bool | None = Field(None, description="`true` where the database cannot be asked now: the verdict is older")
    cause: str | None = None
    solution: str | None = Field(None, description="What to do, with the command to type")
    override_until: str | None = Field(None, description="Until when traffic flows whatever the state")
    last_run: str | None = Field(None, description="How the last run of migrations ended")
    migration: str | None = Field(None, description="How far this process's own migration is")


class Checks(_Document):
    """The checks by name."""

    database: Check
    # `schema` is a method of pydantic's models.
    schema_: SchemaCheck | None = Field(None, alias="schema", description="Left out where the gate is off")
    process: Check | None = Field(None, description="Given while the process winds down")


class Health(_Document):
    """The worst of the checks, and the checks."""

    status: Level
    version: str = Field(examples=[__version__])
    checks: Checks


class Version(BaseModel):
    """What runs here."""

    version: str = Field(examples=[__version__])
    commit: str | None = Field(description="The commit that it was built from, where the build told it")
    code_heads: list[str] = Field(description="The schema revision that the code needs")


NOT_READY: Responses = {503: {"model": Health, "description": "A check fails: no traffic, please"}}


def probe(document: type[BaseModel], description: str, more: Responses | None = None) -> dict[str, Any]:
    """What a probe's route says of its answers."""
    return {"response_model": document, "response_description": description, "responses": more or {}}
