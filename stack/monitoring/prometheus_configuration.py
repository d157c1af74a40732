"""The root's prometheus.yml with the addresses of one machine in place of the compose file's names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from stack.errors import StackError

# Only containers run it.
_OF_CONTAINERS = frozenset({"postgres-exporter"})


@dataclass(frozen=True)
class Addresses:
    """HOST:PORT of each part; `taskmanager` has one for each replica of the service, `backup` is None where no
    scheduler of backups runs."""

    taskmanager: Sequence[str]
    incidents: str
    prometheus: str
    alertmanager: str
    backup: str | None = None

    def of_job(self, job: str) -> list[str] | None:
        """The targets of one of the file's jobs; None for a job that somebody has added, which stays as it is."""
        one = {"incidents": self.incidents, "prometheus": self.prometheus, "alertmanager": self.alertmanager}
        if self.backup is not None:
            one["backup"] = self.backup
        if job == "taskmanager":
            return list(self.taskmanager)
        return [one[job]] if job in one else None


def derive_configuration(
    original: Path,
    addresses: Addresses,
    metrics_key_file: Path | None = None,
    incidents_key_file: Path | None = None,
) -> str:
    """The text of a copy of `original` for this machine.

    It differs in the targets, in the paths of the rules, which are taken from the folder of `original`, in the keys
    that are shown to the service and to the incident receiver, where a file holds one, and in the jobs of what does not
    run here, which it lacks: they would be down for ever, and for the backups that is an alert. In nothing else.

    Raises StackError when `original` cannot be read, or is no configuration.
    """
    keys = {"taskmanager": metrics_key_file, "incidents": incidents_key_file}
    try:
        configuration = yaml.safe_load(original.read_text(encoding="utf-8"))
        configuration["rule_files"] = [_absolute(original.parent, pattern) for pattern in configuration["rule_files"]]
        for alertmanager in configuration["alerting"]["alertmanagers"]:
            for group in alertmanager["static_configs"]:
                group["targets"] = [addresses.alertmanager]
        absent = _OF_CONTAINERS | ({"backup"} if addresses.backup is None else set())
        jobs = [job for job in configuration["scrape_configs"] if job["job_name"] not in absent]
        configuration["scrape_configs"] = jobs
        for job in jobs:
            _derive_job(job, addresses, keys.get(job["job_name"]))
    except OSError as error:
        raise StackError(f"{original} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise StackError(f"{original} is not the configuration it was: {type(error).__name__}: {error}") from error
    return yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True)


def _derive_job(job: dict[str, object], addresses: Addresses, key_file: Path | None) -> None:
    targets = addresses.of_job(f"{job['job_name']}")
    if targets is None:
        return
    groups = job["static_configs"]
    if not isinstance(groups, list):
        raise TypeError("static_configs is no list")
    for group in groups:
        group["targets"] = targets
    # The original's key is the containers'.
    job.pop("authorization", None)
    if key_file is not None:
        job["authorization"] = {"credentials_file": f"{key_file}"}


def _absolute(folder: Path, pattern: str) -> str:
    # The folder's own name must not be read as a pattern.
    plain = re.sub(r"([\\*?\[])", r"\\\1", f"{folder.absolute()}")
    return pattern if Path(pattern).is_absolute() else f"{plain}/{pattern}"
