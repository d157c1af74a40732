"""What a deployment does once, of images: by their own commands, in containers of the project."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stack.deploy.compose_engine import PULL_SECONDS, REPOSITORY, Compose, docker, image_of, inspect, must_docker
from stack.deploy.compose_road import network_of
from stack.deploy.errors import NotDone, Refused, StepFailed
from stack.deploy.local_works import (
    BACKUP_SECONDS,
    TRY_AGAIN,
    TRY_AGAIN_SECONDS,
    contracting,
    newest_backup,
    see_to_fresh_backup,
)
from stack.deploy.releases import KEPT_RELEASES, Told, read_json
from stack.process import describe_end, wait_until

MIGRATION_SECONDS = 3600.0
SCRATCH_SECONDS = 120.0
SLOT = "app-1"
LOCK = "/app/alembic/revisions.lock"
# It is thrown away, and nobody waits for a disk that it would be safe on.
UNSAFE = ("postgres", "-c", "fsync=off", "-c", "full_page_writes=off")


class ComposeWorks:
    """See works.Works; a release is the id of an image."""

    def __init__(self, compose: Compose) -> None:
        self._compose = compose

    def resolve(self, reference: str, source: Path) -> str:
        if (told := _id_of(reference)).code != 0:
            pulled = docker("pull", "--quiet", reference, timeout=PULL_SECONDS)
            if pulled.code != 0 or (told := _id_of(reference)).code != 0:
                raise Refused(
                    f"there is no image {reference} here, and it could not be pulled: "
                    f"{' | '.join(pulled.last_words(1))}. Build it (docker build -t NAME .), or name one that is there"
                )
        return told.output.strip().removeprefix("sha256:")

    def fetch(self, release: str, source: Path) -> str:
        must_docker("tag", f"sha256:{release}", image_of(release))
        return image_of(release)

    def forget_all_but(self, releases: list[str]) -> None:
        """Takes their names from what was deployed, the newest few and `releases` excepted, so that images can go."""
        told = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY)
        kept = {image_of(release) for release in releases}
        deployed = [name for name in told.output.split() if name.startswith(image_of(""))]
        for name in [name for name in deployed if name not in kept][KEPT_RELEASES:]:
            docker("image", "rm", name)

    def lint(self, running: str, new: str) -> str:
        raise NotDone("images have no history to compare: the pipeline lints what they are built from")

    def prove_compatible(self, running: str, new: str) -> str:
        if _migrations(running) == _migrations(new):
            return "no new migration"
        with self._scratch_database() as (network, url):

            def ask(release: str, *words: str) -> Told:
                names = ("DATABASE_URL", "MIGRATION_DATABASE_URL")
                variables = [word for name in names for word in ("-e", f"{name}={url}")]
                command = ("run", "--rm", "--network", network, *variables, "-e", "TASKMANAGER_ENV=development")
                return docker(*command, image_of(release), "taskmanager", *words, timeout=300)

            if (told := ask(new, "migrate")).code != 0:
                raise Refused(
                    f"the migrations of {new[:12]} do not run on an empty database: {' | '.join(told.last_words(1))}",
                    told.last_words(),
                )
            verdict = read_json(ask(running, "status", "--json"), f"`taskmanager status` of {running[:12]}")
        if not isinstance(verdict, dict) or not verdict.get("servable"):
            raise contracting(running, new, verdict if isinstance(verdict, dict) else {})
        return f"{running[:12]} serves on it: {verdict.get('state')}, every statement prepared"

    @contextmanager
    def _scratch_database(self) -> Iterator[tuple[str, str]]:
        """A PostgreSQL of the project's image, without a volume, in its network, gone afterwards."""
        container = self._compose.container("db")
        found = inspect(container) if container else None
        if found is None:
            raise NotDone("no service `db` runs here whose image a scratch database could be made of")
        name, password = f"compatibility-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
        network = network_of(found)
        names = ("POSTGRES_USER=scratch", f"POSTGRES_PASSWORD={password}", "POSTGRES_DB=scratch")
        variables = [word for name in (*names, "POSTGRES_INITDB_ARGS=--no-sync") for word in ("-e", name)]
        must_docker("run", "-d", "--rm", "--name", name, "--network", network, *variables, f"{found['Image']}", *UNSAFE)
        try:
            ready = ("exec", name, "pg_isready", "-q", "-h", "127.0.0.1", "-U", "scratch", "-d", "scratch")
            if not wait_until(lambda: docker(*ready).code == 0, SCRATCH_SECONDS, pause=0.3):
                raise StepFailed("the scratch database does not answer")
            yield network, f"postgresql://scratch:{password}@{name}:5432/scratch"
        finally:
            docker("rm", "--force", "--volumes", name)

    def back_up(self, release: str) -> str:
        told = self._compose.run("exec", "-T", "backup", "taskmanager", "backups", "--json")
        newest = newest_backup(told) if told.code == 0 else None
        if newest is None:
            raise NotDone("no service `backup` tells of one")
        command = ("exec", "-T", "backup", "taskmanager", "backup")
        return see_to_fresh_backup(newest, lambda: self._compose.run(*command, timeout=BACKUP_SECONDS))

    def migrate(self, release: str, say: Callable[[str], None]) -> str:
        deadline = time.monotonic() + TRY_AGAIN_SECONDS
        while True:
            words = ("run", "--rm", "--no-deps", "-T", "migrate", "taskmanager", "migrate")
            told = self._compose.run(*words, release=release, timeout=MIGRATION_SECONDS)
            if told.code == 0:
                return (told.output.strip().splitlines() or [""])[0]
            if told.code != TRY_AGAIN or time.monotonic() >= deadline:
                last = told.last_words(1)
                raise StepFailed(
                    f"the migration ended with {describe_end(told.code)}: {' '.join(last)}", told.last_words()
                )
            say("the database or another migrator is busy; trying again")
            time.sleep(1)

    def status(self, release: str) -> Mapping[str, object]:
        words = ("run", "--rm", "--no-deps", "-T", SLOT, "taskmanager", "status", "--json")
        told = read_json(self._compose.run(*words, release=release), f"`taskmanager status` of {release[:12]}")
        return told if isinstance(told, dict) else {}


def _migrations(release: str) -> str:
    """What the lock file of a release says of them; where it cannot be read, what no other release's says."""
    told = docker("run", "--rm", "--network", "none", "--entrypoint", "cat", image_of(release), LOCK)
    return told.output if told.code == 0 else release


def _id_of(reference: str) -> Told:
    return docker("image", "inspect", "--format", "{{.Id}}", reference)
