"""A launcher with replicas, a load on them, and the commands of an operator, all as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from dotenv import dotenv_values

from stack.process import wait_until
from tests import plain_http
from tests.deployments.trees import Releases
from tests.processes import ROOT, free_port

# Of a busy machine; nothing here waits for it where things go well.
PATIENCE_S = 240.0
# What the database was too slow for, beside other tests on a busy machine; `make prove-deployments` counts it too.
TOO_BUSY = ("503 database_unavailable", "503 overloaded")


@dataclass(frozen=True)
class Deployed:
    """What a command of the operator's said. `record` is empty where it told none."""

    code: int
    record: dict[str, Any]
    errors: str

    def steps(self, name: str) -> list[dict[str, Any]]:
        return [step for step in self.record["steps"] if step["step"].startswith(name)]


class Rig:
    """`stack up --replicas N OPTIONS` of the first release of `releases`, ended with the block."""

    def __init__(
        self, folder: Path, releases: Releases, replicas: int = 2, options: Sequence[str] = (), **variables: str
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.releases = releases
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "up.log"
        self._replicas = replicas
        self._options = options
        self._variables = variables
        self._ending = ExitStack()
        self.launcher: subprocess.Popen[bytes]

    def launch(self, *arguments: str) -> None:
        """Starts it, again where it had ended, and waits until it serves."""
        command = [sys.executable, "-m", "stack", "up", "--replicas", f"{self._replicas}", "--port", f"{self.port}"]
        command += ["--data", f"{self.data}", "--source", f"{self.releases.folder}", *self._options, *arguments]
        with self.log.open("wb") as log:
            self.launcher = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self._ending.callback(self._end, self.launcher)
        assert wait_until(
            lambda: "Ctrl-C stops everything" in self.said or self.launcher.poll() is not None, PATIENCE_S
        ), self.said
        assert self.launcher.poll() is None, self.said

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("PORT", "DATABASE_URL")}
        return kept | {"TASKMANAGER_ENV_FILE": "", "PYTHONUNBUFFERED": "1"} | self._variables

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.data / "deployment.json").read_text())
        return state

    def migrated(self) -> str:
        """The release whose migrations were applied last, empty while that is the first."""
        records = [json.loads(line) for line in self._records()]
        return next(
            (
                f"{record['release']}"
                for record in reversed(records)
                if any((step["step"], step["outcome"]) == ("migrate", "done") for step in record["steps"])
            ),
            "",
        )

    def _records(self) -> list[str]:
        file = self.data / "deployments.jsonl"
        return file.read_text().splitlines() if file.exists() else []

    def begin(self, verb: str, *arguments: str, source: bool = True) -> subprocess.Popen[str]:
        """A command of the operator's, which is not waited for."""
        command = [sys.executable, "-m", "stack", verb, *arguments, "--data", f"{self.data}"]
        if source:
            command += ["--source", f"{self.releases.folder}"]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def order(self, verb: str, *arguments: str) -> Deployed:
        """`stack deploy …` or `stack rollback …`, to its end."""
        return finished(self.begin(verb, *arguments, "--json"))

    def version(self) -> str:
        """The commit that answers at the public port."""
        return f"{plain_http.get(f'{self.url}/version', timeout=10).json()['commit']}"

    def rows(self, count: int) -> None:
        """Fills the table of tasks."""
        url = f"{dotenv_values(self.data / 'service.env')['MIGRATION_DATABASE_URL']}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "INSERT INTO tasks (title, description) SELECT 'row ' || n, repeat(md5(n::text) || ' ', 6)"
                " FROM generate_series(1, %s) AS n",
                (count,),
            )
            connection.execute("ANALYZE tasks")

    @staticmethod
    def _end(launcher: subprocess.Popen[bytes]) -> None:
        if launcher.poll() is None:
            launcher.send_signal(signal.SIGTERM)
        launcher.wait(PATIENCE_S)

    def __enter__(self) -> Self:
        try:
            self.launch("--release", self.releases.first)
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()


def finished(command: subprocess.Popen[str]) -> Deployed:
    """What a command says, once it has ended."""
    output, errors = command.communicate(timeout=PATIENCE_S)
    return Deployed(command.returncode, json.loads(output) if output.startswith("{") else {}, errors)


class UnderLoad:
    """The load generator as a process, beside what happens in the block; `tally` is what it told in the end."""

    def __init__(self, url: str, rate: float) -> None:
        self._command = [sys.executable, "-m", "incident_lab.load", "--url", url, "--rate", f"{rate:g}", "--json"]
        self.tally: Mapping[str, Any] = {}
        self.code: int | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        output, _ = self._process.communicate(timeout=PATIENCE_S)
        self.code = self._process.returncode
        self.tally = json.loads(output)

    @property
    def lost_by_a_switch(self) -> dict[str, int]:
        """How often, by what happened: all that failed, but for what the database was too slow for."""
        failed = {**self.tally["unexpected"], **self.tally["lost"]}
        return {reason: count for reason, count in failed.items() if not reason.endswith(TOO_BUSY)}
