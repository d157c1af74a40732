"""The two terminals of a document's reader: in one `make run`, in the other everything else."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.databases import Database
from tests.docs.fenced import Command, Program
from tests.processes import Service

DOCUMENTED_ADDRESS = "localhost:8000"

_MAKE_RUN = re.compile(r"(?P<settings>(?:[A-Z_]+=\S+ +)*)make run")
_NODE = re.compile(r"node (?P<program>[\w-]+)\.mjs")
_LONGEST_COMMAND_S = 40.0


class Shell:
    """One bash in a folder, so that a document's variables and functions last as they do for its reader."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # Nobody's settings, and no progress meter, which curl does not show in a terminal.
        (folder / ".curlrc").write_text("no-progress-meter\n")
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={"PATH": path, "HOME": str(folder), "CURL_HOME": str(folder), "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._mark = f"end-of-output-{os.getpid()}-{id(self)}"

    def run(self, command: str) -> str:
        """What a command prints, on either stream."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{{ {command}\n}} 2>&1 </dev/null\nprintf '\\n%s\\n' {self._mark}\n".encode())
        self._process.stdin.flush()
        end, printed = f"\n{self._mark}\n".encode(), b""
        deadline = time.monotonic() + _LONGEST_COMMAND_S
        while not printed.endswith(end):
            more = self._read(deadline)
            assert more, f"bash came to no end of: {command}\n{printed.decode(errors='replace')}"
            printed += more
        return printed.removesuffix(end).decode()

    def _read(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        return os.read(descriptor, 65536) if readable else b""

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Reader:
    """Somebody who reads a document from top to bottom and types what it says.

    `make run` stands for the service on a database that is there already, at a port of its own: the launcher and its
    PostgreSQL have tests of their own. Where there is no Node, the Python program of the same name runs in its place,
    of which the document says that it prints the same.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._service: Service | None = None
        self._shell = Shell(folder)
        self._programs: dict[str, str] = {}
        self.programs_run: set[str] = set()
        (folder / ".data").mkdir()
        (folder / ".venv").mkdir()
        (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
        (folder / "docs").symlink_to(Path(__file__).resolve().parents[2] / "docs")

    def keep(self, program: Program) -> None:
        """Save a program as a reader would."""
        self._programs[program.name] = program.text

    def type(self, command: Command) -> str:
        """What the command prints."""
        if (run := _MAKE_RUN.fullmatch(command.text)) is not None:
            self._start(dict(setting.split("=", 1) for setting in shlex.split(run["settings"])))
            return ""
        text = command.text
        self.programs_run |= {name for name in self._programs if name in text}
        if shutil.which("node") is None:
            text = _NODE.sub(r"python3 \g<program>.py", text)
        for name, content in self._programs.items():
            (self._folder / name).write_text(self.with_port(content), encoding="utf-8")
        return self._shell.run(self.with_port(text))

    def with_port(self, text: str) -> str:
        """The text with the port at which the service is reached here."""
        return text if self._service is None else text.replace(DOCUMENTED_ADDRESS, f"127.0.0.1:{self._service.port}")

    def _start(self, settings: dict[str, str]) -> None:
        self._stop()
        addresses = {
            "DATABASE_URL": self._database.app_url,
            "MIGRATION_DATABASE_URL": self._database.migrator_url,
        }
        self._service = Service(addresses | settings, self._folder, cwd=self._folder)
        self._service.wait_for("/readyz", 200)

    def _stop(self) -> None:
        if self._service is not None:
            assert self._service.stop() == 0, self._service.log

    def close(self) -> None:
        self._shell.close()
        if self._service is not None:
            self._service.__exit__(None, None, None)


@contextmanager
def reader(database: Database, folder: Path) -> Iterator[Reader]:
    reading = Reader(database, folder)
    try:
        yield reading
    finally:
        reading.close()
