"""What the story begins with: the brief's own two Dockerfiles, word for word, and the image that shows the incident."""

from __future__ import annotations

from tests.containers.conftest import ContainerDatabase
from tests.containers.containers import Containers
from tests.containers.engine import Engine
from tests.containers.prepare import BRIEF_AFTER, BRIEF_BEFORE, BROKEN

# Its name in the brief, whose first step is `docker logs taskmanager-api`.
NAMED = ("--name", "taskmanager-api")


def test_the_broken_image_has_the_incident_in_its_log(
    engine: Engine, containers: Containers, database: ContainerDatabase
) -> None:
    container = containers.start(BROKEN, environment={"DATABASE_URL": database.url}, options=NAMED)
    container.wait_for("/health", 200)

    assert container.get("/tasks").status_code == 500

    said = engine.run("logs", "taskmanager-api")
    assert 'relation "tasks" does not exist' in said.stdout + said.stderr
    assert "42P01" in said.stdout + said.stderr


def test_the_brief_s_faulty_image_with_the_gate_off_is_the_incident(
    containers: Containers, database: ContainerDatabase
) -> None:
    variables = {"DATABASE_URL": database.url, "TASKMANAGER_SCHEMA_GATE": "off"}
    container = containers.start(BRIEF_BEFORE, environment=variables, options=NAMED)
    container.wait_for("/health", 200)

    assert container.get("/tasks").status_code == 500
    assert 'relation "tasks" does not exist' in container.logs


def test_the_brief_s_faulty_image_as_it_is_refuses_traffic_instead(
    containers: Containers, database: ContainerDatabase
) -> None:
    container = containers.start(BRIEF_BEFORE, environment={"DATABASE_URL": database.url}, options=NAMED)
    container.wait_for("/livez", 200)

    assert container.wait_for("/tasks", 503).headers["retry-after"]
    assert container.get("/health").status_code == 503


def test_the_brief_s_corrected_image_migrates_and_serves(containers: Containers, database: ContainerDatabase) -> None:
    container = containers.start(BRIEF_AFTER, environment={"DATABASE_URL": database.url}, options=NAMED)

    assert container.wait_for("/tasks", 200).json() == []
    created = container.post("/tasks", json={"title": "Ma première tâche", "description": "Test de l'API"})
    assert created.status_code == 201
