"""What is in the images' layers, byte by byte: no secret of the folder that they are built in, and no test."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import uuid
from pathlib import Path, PurePosixPath

import pytest

from tests.containers.engine import Engine
from tests.containers.prepare import BRIEF_AFTER, BROKEN, DOCKERFILES, IMAGE
from tests.processes import ROOT, run

# Not the same twice, so that this file is none of those that hold it.
CANARY = f"canary-{uuid.uuid4().hex}"

# Where people leave what is nobody's business, at the root and within what is copied.
SECRETS = (
    ".env",
    ".env.production",
    "secret.key",
    "server.pem",
    "id_ed25519",
    ".data/service.env",
    ".data/keys",
    "docker/secrets/postgres_password",
    "taskmanager/.env",
    "taskmanager/.env.local",
    "taskmanager/access/signing.key",
    "alembic/versions/.env",
    "alembic/client.pem",
    "migration_gate/.pgpass",
    "notes.txt",
)

# Folders of ours that a service does not need.
NOT_SHIPPED = {"tests", "stack", "incident_lab", "benchmarks", "ops", "docs", ".git", ".github", ".data", ".venv"}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this tree in which secrets lie about."""
    folder = tmp_path_factory.mktemp("context")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for name in SECRETS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"PASSWORD={CANARY} of {name}\n")
    return folder


@pytest.mark.parametrize("tag", [IMAGE, BROKEN, BRIEF_AFTER])
def test_no_layer_holds_a_secret_of_the_folder_it_was_built_in_nor_what_no_service_needs(
    engine: Engine, context: Path, tag: str
) -> None:
    image = engine.build("taskmanager-api:among-secrets", dockerfile=DOCKERFILES[tag], context=context)
    layers = _layers(engine, image)

    assert [name for layer in layers for name in _files_with_the_canary(layer)] == []
    shipped = {PurePosixPath(name).parts[1] for layer in layers for name in _names(layer) if name.startswith("app/")}
    assert {"taskmanager", "migration_gate", "alembic", "alembic.ini", "main.py"} <= shipped
    assert shipped & NOT_SHIPPED == set()
    engine.run("image", "rm", "taskmanager-api:among-secrets")


def test_the_search_finds_them_where_nothing_keeps_them_out(engine: Engine, context: Path, tmp_path: Path) -> None:
    careless = tmp_path / "context"
    shutil.copytree(context, careless, ignore=shutil.ignore_patterns(".dockerignore"))

    image = engine.build("taskmanager-api:careless", dockerfile=DOCKERFILES[BRIEF_AFTER], context=careless)

    found = {name for layer in _layers(engine, image) for name in _files_with_the_canary(layer)}
    assert found == {f"app/{name}" for name in SECRETS}
    engine.run("image", "rm", "taskmanager-api:careless")


def test_no_variable_of_the_image_holds_a_secret(engine: Engine) -> None:
    variables = engine.output("image", "inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", IMAGE)

    names = {line.partition("=")[0] for line in variables.split()}
    assert "TASKMANAGER_ENV" in names
    assert not any(word in name for name in names for word in ("PASSWORD", "SECRET", "KEY", "DSN", "DATABASE_URL"))


def _layers(engine: Engine, image: str) -> list[bytes]:
    """Every layer as an archive of files, those that a later layer hides or deletes among them."""
    with tarfile.open(fileobj=io.BytesIO(engine.read("save", image))) as archive:
        contents = [archive.extractfile(member) for member in archive.getmembers() if member.isfile()]
        unpacked = [_unpacked(content.read()) for content in contents if content is not None]
    layers = [content for content in unpacked if content[257:262] == b"ustar"]
    assert layers, "the engine saves images in a form that is not known here"
    return layers


def _unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def _names(layer: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:") as archive:
        return [member.name.removeprefix("./") for member in archive.getmembers() if member.isfile()]


def _files_with_the_canary(layer: bytes) -> list[str]:
    if CANARY.encode() not in layer:
        return []
    with tarfile.open(fileobj=io.BytesIO(layer), mode="r:") as archive:
        files = [(member.name, archive.extractfile(member)) for member in archive.getmembers() if member.isfile()]
        return [name.removeprefix("./") for name, file in files if file is not None and CANARY.encode() in file.read()]
