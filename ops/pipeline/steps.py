"""The steps of the pipeline, in their order. `make ci` and the workflows run this one list.

The first three stages are run when nothing is named. What leaves the machine (push, deploy) or watches another one
(monitor) is run by name alone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from ops.pipeline import files, judges
from ops.pipeline.command import Completed
from ops.pipeline.needs import Need, engine, program, variable
from ops.pipeline.outcome import Verdict

# The image that is built, scanned and pushed; another name goes beside it, as where several checkouts share an engine.
IMAGE = os.environ.get("IMAGE", "taskmanager-api:latest")

OLDEST_POSTGRESQL = Path("/usr/lib/postgresql/15/bin")

Command = tuple[str, ...]
Judge = Callable[[Sequence[Completed]], Verdict]


class Stage(StrEnum):
    BUILD = "build"
    TEST = "test"
    SCAN = "security scan"
    PUSH = "push"
    DEPLOY = "deploy"
    MONITOR = "monitor"


@dataclass(frozen=True)
class Step:
    """One step.

    Parameters
    ----------
    commands: gives the commands, which are run one after the other, up to the first that fails.
    judge: what their ends mean.
    needs: what has to be there; where it is not, the step is not run.
    minutes: its limit.
    all_commands: run every command, whatever the one before it found.
    judge_tells: what it says is not shown, since the verdict says it better.
    """

    name: str
    stage: Stage
    about: str
    commands: Callable[[Path], Sequence[Command]]
    judge: Callable[[Path], Judge] = lambda _folder: judges.by_status
    needs: tuple[Need, ...] = ()
    minutes: float = 10.0
    all_commands: bool = False
    judge_tells: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_default(self) -> bool:
        return self.stage in {Stage.BUILD, Stage.TEST, Stage.SCAN}


def _is(*command: str) -> Callable[[Path], Sequence[Command]]:
    return lambda _folder: [command]


def _verb(*arguments: str) -> Callable[[Path], Sequence[Command]]:
    return _is("python", "-m", "ops.pipeline", *arguments)


def commit() -> str:
    """The commit of this tree; `unknown` where git does not say."""
    told = subprocess.run(
        ("git", "-C", str(files.ROOT), "rev-parse", "HEAD"), capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def _build(_folder: Path) -> list[Command]:
    return [("docker", "build", "--tag", IMAGE, "--build-arg", f"COMMIT={commit()}", ".")]


# The tests in parts that take about as long as each other. The last is all that no other part names, so that a new
# folder of tests is never left out.
PARTS: Mapping[str, tuple[str, ...]] = {
    "test-service": ("tests/taskmanager", "tests/hostile"),
    "test-gate": ("tests/migration_gate",),
    "test-alerts": ("tests/alerts", "tests/ops"),
    "test-documents": ("tests/docs",),
}
REST = "test-rest"
# They have a step of their own, since they need a container engine.
CONTAINERS = "tests/containers"


def _part(name: str, *folders: str) -> Step:
    return Step(name, Stage.TEST, f"the tests in {', '.join(folders)}", _tested(*folders), minutes=60)


def _tested(*arguments: str) -> Callable[[Path], Sequence[Command]]:
    return _is("make", "test", f"ARGS={' '.join(arguments)}")


def _rest() -> Step:
    named = sorted(folder for folders in PARTS.values() for folder in folders)
    ignored = (f"--ignore={folder}" for folder in [*named, CONTAINERS])
    return Step(REST, Stage.TEST, "all other tests", _tested("tests", *ignored), minutes=60)


def _audit(folder: Path) -> list[Command]:
    # OSV is asked itself: the index of packages answers from a mirror as well, which knows of no vulnerability.
    lists = [part for path in files.requirements() for part in ("--requirement", path)]
    report = ("--format", "json", "--output", str(folder / "dependencies.json"))
    asked = ("--disable-pip", "--require-hashes", "--vulnerability-service", "osv", "--progress-spinner", "off")
    return [("pip-audit", *asked, *report, *lists)]


# It asks nobody whether a secret is still good: that would send it somewhere. Nor does it print one.
_LOOK_FOR_SECRETS = ("kingfisher", "scan", "--no-validate", "--no-update-check", "--redact", "--quiet")


def _secrets(_folder: Path) -> list[Command]:
    in_files = (*_LOOK_FOR_SECRETS, "--git-history", "none", *files.kept())
    in_history = (*_LOOK_FOR_SECRETS, "--git-history", "full", "--branch", "HEAD", ".")
    return [in_files, in_history]


def _whole_history() -> str | None:
    told = subprocess.run(
        ("git", "-C", str(files.ROOT), "rev-parse", "--is-shallow-repository"),
        capture_output=True,
        text=True,
        check=False,
    )
    whole = told.stdout.strip() == "false"
    return None if whole else "this is no clone with the whole history: git fetch --unshallow"


def _image_is_there() -> str | None:
    done = subprocess.run(("docker", "image", "inspect", IMAGE), capture_output=True, check=False)
    return None if done.returncode == 0 else f"there is no image {IMAGE}: run the step build first"


def _oldest_postgresql() -> str | None:
    there = (OLDEST_POSTGRESQL / "postgres").exists()
    return None if there else "PostgreSQL 15 is not installed: apt-get install postgresql-15"


STEPS: tuple[Step, ...] = (
    Step("check", Stage.TEST, "the quick checks, as in `make check`", _verb("check")),
    Step("build", Stage.BUILD, "the image, of the real Dockerfile", _build, needs=(engine,), minutes=20),
    *(_part(name, *folders) for name, folders in PARTS.items()),
    _rest(),
    Step(
        "test-postgresql-15",
        Stage.TEST,
        "the failures that the gate is for, on the oldest PostgreSQL",
        _tested("tests/migration_gate/failures"),
        needs=(_oldest_postgresql,),
        minutes=30,
        environment={"TASKMANAGER_POSTGRES_BIN": str(OLDEST_POSTGRESQL)},
    ),
    Step(
        "containers",
        Stage.TEST,
        "the images and the compose file, run",
        _is("make", "containers"),
        needs=(program("docker", "apt-get install docker.io docker-compose iptables mmdebstrap"),),
        minutes=40,
    ),
    Step(
        "scan-dependencies",
        Stage.SCAN,
        "pip-audit: known vulnerabilities of the locked packages",
        _audit,
        judge=lambda folder: partial(judges.dependencies, folder / "dependencies.json"),
        judge_tells=True,
    ),
    Step(
        "scan-image",
        Stage.SCAN,
        "grype: known vulnerabilities in the image, high and critical, that a release mends",
        _is("grype", IMAGE, "--fail-on", "high", "--only-fixed"),
        judge=lambda _folder: judges.image,
        needs=(program("grype", "docs/pipeline.md says how"), engine, _image_is_there),
    ),
    Step("scan-code", Stage.SCAN, "bandit, and ruff's security rules", _verb("check", "code", "style")),
    Step(
        "scan-workflows",
        Stage.SCAN,
        "zizmor, and that every action is named by a commit",
        _verb("check", "workflows", "actions", "workflow-schema"),
    ),
    Step(
        "scan-actions",
        Stage.SCAN,
        "zizmor asks GitHub: commits that are no release's, releases with known vulnerabilities",
        _is("zizmor", "--no-progress", ".github"),
        needs=(variable("GH_TOKEN", "a token of GitHub that may read public repositories, nothing more"),),
    ),
    Step(
        "scan-secrets",
        Stage.SCAN,
        "kingfisher: secrets in the files and in the whole history",
        _secrets,
        judge=lambda _folder: judges.secrets,
        needs=(_whole_history,),
        all_commands=True,
    ),
    Step(
        "push",
        Stage.PUSH,
        "the image to the registry, under the version's tags",
        _verb("push"),
        needs=(
            variable("IMAGE_REPOSITORY", "where the image goes, as in: somebody/taskmanager-api"),
            variable("VERSION", "what it is called there, as in: v1.2.3"),
            engine,
            _image_is_there,
        ),
        minutes=20,
    ),
    Step(
        "deploy",
        Stage.DEPLOY,
        "the pushed image on the host, by ssh",
        _verb("deploy"),
        needs=(
            variable("DEPLOY_HOST", "the host, as ssh takes it: deployer@host.example"),
            variable("DEPLOY_IMAGE", "what is deployed, by digest: somebody/taskmanager-api@sha256:…"),
            program("ssh", "apt-get install openssh-client"),
        ),
        minutes=15,
    ),
    Step(
        "monitor",
        Stage.MONITOR,
        "after a deployment: health, a task written and read, alerts",
        _verb("watch"),
        needs=(
            variable("MONITOR_SERVICE", "the service's address, as in: http://127.0.0.1:8000"),
            variable("MONITOR_PROMETHEUS", "Prometheus' address, as in: http://127.0.0.1:9090"),
        ),
        minutes=30,
    ),
)
