"""The container engine of the tests: one that is reachable, else a private one of this checkout, else podman.

A private engine is a `dockerd` on a data root of its own, `.data/containers`, which keeps its images from run to run.
It knows two networks, one at a time: `host`, on which images are built, since a build installs packages; and `own`, a
network namespace in which bridges, service names and published ports work and nobody else's port is taken. Whoever
wants to reach a published port enters that: `python -m tests.containers.engine exec -- curl http://127.0.0.1:8000/`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.containers.private_engine import EngineDidNotStart, PrivateEngine
from tests.processes import ROOT

Network = Literal["host", "own"]

FOLDER = ROOT / ".data" / "containers"

# Set by `exec`: the tests that need an engine are collected only then.
INSIDE = "TESTS_WITH_CONTAINERS"

HOW_TO_GET_ONE = (
    "install Docker or podman, or as root on Debian: apt-get install docker.io docker-compose iptables mmdebstrap"
    " (then a private engine is started for the tests)"
)


class EngineLacking(Exception):
    """There is no engine, nor what one could be started with. Its message says what was looked for."""


class CommandFailed(Exception):
    """A command of the engine ended with another status than 0. Its message holds what it said."""


@dataclass(frozen=True)
class Engine:
    """What images are built and containers are run with.

    name: what is printed, such as "private dockerd 20.10.24".
    command: `docker` or `podman`.
    environment: the variables under which the command finds it.
    may_pull: whether images come from where the engine's owner has them from; where not, stand-ins take their place.
    private: the daemon of this checkout, if it is that one.
    """

    name: str
    command: str = "docker"
    environment: Mapping[str, str] = field(default_factory=dict)
    may_pull: bool = True
    private: PrivateEngine | None = None

    def use(self, network: Network) -> None:
        """Have the private engine on `network`; others can do at once what each of the two is for."""
        if self.private is not None:
            self.private.start(network)

    @property
    def variables(self) -> dict[str, str]:
        """Those for a command that works with the engine, and for the tests that do."""
        return {**self.environment, INSIDE: "1"}

    def prefix(self) -> list[str]:
        """What stands before a command so that it reaches published ports."""
        return self.private.enter_namespace() if self.private is not None else []

    @property
    def is_for_running(self) -> bool:
        """Whether containers can be started on it now, with ports; else it runs for builds, or not at all."""
        return self.private is None or self.private.network == "own"

    def run(
        self, *arguments: str, check: bool = True, timeout: float = 600, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker ARGUMENTS…` to its end, its output kept. Raises CommandFailed unless `check` is false."""
        done = subprocess.run(
            [self.command, *arguments],
            env=os.environ | self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
            raise CommandFailed(f"{self.command} {' '.join(arguments)}: exit status {done.returncode}\n{said}")
        return done

    def read(self, *arguments: str) -> bytes:
        """What a command such as `save` writes on standard output. Raises CommandFailed."""
        done = subprocess.run(
            [self.command, *arguments], env=os.environ | self.environment, capture_output=True, check=False
        )
        if done.returncode:
            raise CommandFailed(f"{self.command} {' '.join(arguments)}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def output(self, *arguments: str) -> str:
        """What `docker ARGUMENTS…` prints on standard output, without the last newline."""
        return self.run(*arguments).stdout.strip()

    def build(self, tag: str, *, dockerfile: Path, context: Path = ROOT, arguments: Sequence[str] = ()) -> str:
        """Build an image on the host's network, with the builder that every version has, and return its id."""
        # The classic builder: the other one needs a plug-in that Debian's docker.io is without.
        self.run("build", "--network", "host", "--tag", tag, "--file", str(dockerfile), *arguments, str(context))
        return self.image_id(tag) or ""

    def image_id(self, tag: str) -> str | None:
        """The id of an image, or None where there is none of that name."""
        done = self.run("image", "inspect", "--format", "{{.Id}}", tag, check=False)
        return done.stdout.strip() if done.returncode == 0 else None


def find_engine(folder: Path = FOLDER) -> Engine:
    """The first of: a reachable `docker info`, a private engine in `folder`, podman. Raises EngineLacking.

    A private engine is not started by this: `Engine.use` does it.
    """
    private = PrivateEngine(folder)
    if not private.is_running and (version := _answers("docker")):
        return Engine(f"docker {version}")
    if private.is_running or not (why_not := PrivateEngine.lacks()):
        return Engine(private.name, environment=private.environment, may_pull=False, private=private)
    if version := _answers("podman"):
        return Engine(f"podman {version}", command="podman")
    raise EngineLacking(f"no container engine: `docker info` reaches none, {why_not}, and podman is not installed")


def _answers(command: str) -> str | None:
    """The version of the engine that a command reaches, or None."""
    if shutil.which(command) is None:
        return None
    form = "{{.ServerVersion}}" if command == "docker" else "{{.Version.Version}}"
    done = subprocess.run([command, "info", "--format", form], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or None if done.returncode == 0 else None


_EXAMPLES = """\
examples:
  python -m tests.containers.engine start                 have it running where published ports work
  python -m tests.containers.engine start --network host  have it running where builds can install packages
  python -m tests.containers.engine exec -- docker ps     a command with this engine, beside its published ports
  python -m tests.containers.engine exec -- curl http://127.0.0.1:8000/health
  python -m tests.containers.engine exec --network host -- docker build --network host --tag taskmanager-api .
  python -m tests.containers.engine stop                  end it and all that runs on it; images and volumes stay

`python -m tests.containers.stand_ins` makes the images that cannot be pulled.

exit status:
  0   it went well; exec ends with the status of its command
  1   no engine can be had, or it did not start; the message says why
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.containers.engine",
        description="The container engine of the tests.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    start = verbs.add_parser("start", help="start it, or move it to the other network, which stops its containers")
    inside = verbs.add_parser("exec", help="the same, and run a command with it")
    for verb in (start, inside):
        verb.add_argument("--network", choices=("own", "host"), default="own", help="default: %(default)s")
    inside.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    verbs.add_parser("status", help="which engine it is, and how to reach it")
    verbs.add_parser("stop", help="stop the private engine")
    options = parser.parse_args(arguments)
    try:
        engine = find_engine()
        if options.verb == "start":
            engine.use(options.network)
        elif options.verb == "exec":
            engine.use(options.network)
            command = options.command[1:] if options.command[:1] == ["--"] else options.command
            return subprocess.run(
                [*engine.prefix(), *command], env=os.environ | engine.variables, check=False
            ).returncode
        elif options.verb == "stop" and engine.private is not None:
            engine.private.stop()
        _tell(engine)
    except (EngineLacking, EngineDidNotStart) as error:
        print(f"containers: {error}", file=sys.stderr)
        return 1
    return 0


def _tell(engine: Engine) -> None:
    print(engine.name)
    if engine.private is None:
        return
    if not engine.private.is_running:
        print("it does not run")
        return
    print(f"network: {engine.private.network}")
    print("export " + " ".join(f"{name}={value}" for name, value in engine.environment.items()))
    if engine.prefix():
        print(f"to reach a published port: {' '.join(engine.prefix())} curl http://127.0.0.1:PORT/")


if __name__ == "__main__":
    raise SystemExit(main())
