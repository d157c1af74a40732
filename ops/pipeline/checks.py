"""The checks of `make check`: they need no network, no database and seconds.

Each is one command over files that are found by name. The list is the only one: `make check`, the hooks before a commit
and the pipeline's first step run it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from ops.pipeline import environment, files
from ops.pipeline.command import execute
from ops.pipeline.needs import Need, compose, compose_program, first_lacking, program
from ops.pipeline.outcome import PASSED, Outcome, Verdict, failed, not_run

TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Check:
    """One question to the tree.

    Parameters
    ----------
    name: what the table and the command line call it.
    about: what it holds, for `--list`.
    commands: gives the commands to run; none where there is no file to look at.
    needs: what they need of the machine that is not installed with the rest.
    variables: what their environment has beside the caller's.
    """

    name: str
    about: str
    commands: Callable[[], Sequence[tuple[str, ...]]]
    needs: tuple[Need, ...] = ()
    variables: Callable[[], Mapping[str, str]] = dict


def _always(*commands: str) -> Callable[[], Sequence[tuple[str, ...]]]:
    return lambda: [tuple(command.split()) for command in commands]


def _over(found: Callable[[], list[str]], *command: str) -> Callable[[], Sequence[tuple[str, ...]]]:
    """One command over all the files together."""
    return lambda: [(*command, *paths)] if (paths := found()) else []


_PROMTOOL = program("promtool", "apt-get install prometheus")
_AMTOOL = program("amtool", "apt-get install prometheus-alertmanager")


def _compose() -> list[tuple[str, ...]]:
    """The base alone, and each overlay upon what it is for: an overlay says nothing by itself."""
    there = set(files.compose_files())
    stacks = [_upon(path, there) for path in sorted(there)]
    return [
        (*(compose_program() or ()), *(part for path in stack for part in ("-f", path)), "config", "--quiet")
        for stack in stacks
    ]


def _upon(path: str, there: set[str]) -> list[str]:
    """The files that compose reads together: docker/compose.a.b.yml comes after those of a and of b."""
    base = "docker-compose.yml"
    names = Path(path).name.removesuffix(".yml").split(".")[1:]
    between = [f"docker/compose.{name}.yml" for name in names]
    return [base, *(each for each in between if each in there and each != path), *([path] if path != base else [])]


def _mandatory() -> dict[str, str]:
    """A value for each variable without which compose reads nothing; which one it is plays no part here."""
    texts = [(files.ROOT / path).read_text(encoding="utf-8") for path in files.compose_files()]
    names = {name for text in texts for name in re.findall(r"\$\{(\w+):?\?", text)}
    return dict.fromkeys(names, "example:1.0")


# The longest first, so that the others fit beside it.
CHECKS = (
    Check("types", "mypy, strict", _always("mypy")),
    Check("format", "ruff's formatter would change nothing", _always("ruff format --check --quiet .")),
    Check("style", "ruff's rules, its security rules among them", _always("ruff check --quiet .")),
    Check("arrows", "no import against the house's arrows", _always("lint-imports")),
    Check("revisions-lock", "alembic/revisions.lock is current", _always("migration-gate lock --check")),
    Check(
        "openapi",
        "docs/openapi.json is what the service says",
        _always("python -m taskmanager.documentation --check docs/openapi.json"),
    ),
    Check(
        "metrics-pages",
        "docs/metrics.md and its French twin name the metrics that there are",
        _always(
            "python -m taskmanager.documentation.metrics_page --lang en --check docs/metrics.md",
            "python -m taskmanager.documentation.metrics_page --lang fr --check docs/fr/metrics.md",
        ),
    ),
    Check(
        "alerts-pages",
        "docs/alerts.md and its French twin name the rules that there are",
        _always(
            "python -m ops.prometheus.alerts_page --lang en --check docs/alerts.md",
            "python -m ops.prometheus.alerts_page --lang fr --check docs/fr/alerts.md",
        ),
    ),
    Check("boards", "the dashboards are what their code says", _always("python -m ops.grafana.boards --check")),
    Check(
        "configuration-copies",
        "docker/prometheus is prometheus.yml for production and replicas",
        _always("python -m ops.prometheus.deployments --check"),
    ),
    Check(
        "kubernetes",
        "Kubernetes' manifests fit its schemas, and its alert rules are Prometheus' own",
        _always("python -m ops.kubernetes.prometheus_rule --check", "python -m ops.kubernetes.manifests"),
    ),
    Check(
        "conflicts",
        "no file has the marks of a merge that was not brought to its end",
        lambda: [("sh", "-c", "! git grep --untracked --line-number --extended-regexp '^(<{7}|>{7}) '")],
    ),
    Check("code", "bandit: dangerous calls", _always("bandit -q -c pyproject.toml -r . -ll")),
    Check("shell", "shellcheck: shell scripts", _over(files.shell_scripts, "shellcheck", "--external-sources")),
    Check("dockerfiles", "hadolint: Dockerfiles", _over(files.dockerfiles, "hadolint")),
    Check(
        "compose-schema",
        "compose files against their specification",
        _over(files.compose_files, "check-jsonschema", "--builtin-schema", "vendor.compose-spec"),
    ),
    Check(
        "compose-config",
        "compose reads the base file, and each overlay upon it",
        _compose,
        (compose,),
        _mandatory,
    ),
    Check(
        "workflow-schema",
        "workflows against their schema, each job with a limit of time",
        lambda: [
            *_over(files.workflows, "check-jsonschema", "--builtin-schema", "vendor.github-workflows")(),
            *_over(
                files.workflows, "check-jsonschema", "--builtin-schema", "custom.github-workflows-require-timeout"
            )(),
            *_over(files.dependabot, "check-jsonschema", "--builtin-schema", "vendor.dependabot")(),
        ],
    ),
    Check(
        "workflows",
        "zizmor: how a workflow could be abused",
        _over(lambda: [*files.workflows(), *files.dependabot()], "zizmor", "--quiet", "--offline", "--no-progress"),
    ),
    Check(
        "actions",
        "every action is named by a commit, with its release beside it",
        _over(files.workflows, "python", "-m", "ops.pipeline", "pins"),
    ),
    Check(
        "rules",
        "promtool: Prometheus' configuration and rules",
        lambda: [("promtool", "check", "config", "prometheus.yml")],
        (_PROMTOOL,),
    ),
    Check(
        "routes",
        "amtool: Alertmanager's configuration",
        lambda: [("amtool", "check-config", "ops/alertmanager/alertmanager.yml")],
        (_AMTOOL,),
    ),
)


def chosen(names: Sequence[str]) -> list[Check]:
    """The checks of these names, all where none is given.

    Raises
    ------
    KeyError: a name that there is not.
    """
    by_name = {check.name: check for check in CHECKS}
    return [by_name[name] for name in names] or list(CHECKS)


def run(checks: Sequence[Check], at_once: int | None = None) -> Iterator[Outcome]:
    """Run checks side by side, and give each outcome as soon as it is there."""
    with ThreadPoolExecutor(at_once or max(2, len(os.sched_getaffinity(0)))) as pool:
        for done in as_completed([pool.submit(run_one, check) for check in checks]):
            yield done.result()


def run_one(check: Check) -> Outcome:
    started = time.monotonic()
    verdict, output = _look(check)
    return Outcome(check.name, verdict, time.monotonic() - started, output)


def _look(check: Check) -> tuple[Verdict, str]:
    if lacking := first_lacking(check.needs):
        return not_run(lacking), ""
    commands = check.commands()
    if not commands:
        return not_run("there is no such file"), ""
    for command in commands:
        variables = {**environment.variables(), **check.variables()}
        done = execute(environment.resolved(command), environment=variables, cwd=files.ROOT, timeout_s=TIMEOUT_S)
        if done.status != 0:
            return failed(f"{' '.join(command[:4])} ended with {done.status}"), done.output
    return PASSED, ""
