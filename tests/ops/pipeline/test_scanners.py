"""A scanner that finds something is red, and one that could not look is never green."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from ops.pipeline import files, judges
from ops.pipeline.command import Completed
from ops.pipeline.outcome import Outcome, Result
from ops.pipeline.run import chosen, run_one
from tests.ops.pipeline.planted import git, plant
from tests.processes import free_port

OSV_URL = "PIP_AUDIT_OSV_URL"
LOCKED = "example-package==1.0.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"

VULNERABLE: Mapping[str, Any] = {
    "vulns": [
        {
            "id": "PYSEC-2000-1",
            "aliases": ["CVE-2000-0001"],
            "details": "planted",
            "modified": "2000-01-01T00:00:00Z",
            "published": "2000-01-01T00:00:00Z",
            "affected": [
                {
                    "package": {"name": "example-package", "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}],
                    "versions": ["1.0.0"],
                }
            ],
        }
    ]
}


@contextmanager
def osv(answer: Mapping[str, Any], status: int = 200) -> Iterator[str]:
    """The address of a service that answers every question as OSV would, always the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def step(name: str, said: list[str] | None = None) -> Outcome:
    (found,) = chosen([name])
    return run_one(found, echo=(said if said is not None else []).append)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project in the place of this one."""
    planted = plant(tmp_path / "tree", {"requirements.txt": LOCKED})
    monkeypatch.setattr(files, "ROOT", planted)
    return planted


@pytest.fixture(autouse=True)
def _no_cache_of_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_AUDIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.usefixtures("tree")
def test_a_package_with_a_known_vulnerability_fails_and_the_release_that_mends_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with osv(VULNERABLE) as url:
        monkeypatch.setenv(OSV_URL, url)
        outcome = step("scan-dependencies")

    assert outcome.verdict.result is Result.FAILED
    assert "example-package 1.0.0: PYSEC-2000-1 (mended in 1.0.1)" in outcome.verdict.why


@pytest.mark.usefixtures("tree")
def test_packages_without_a_known_vulnerability_pass_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with osv({}) as url:
        monkeypatch.setenv(OSV_URL, url)
        outcome = step("scan-dependencies")

    assert (outcome.verdict.result, outcome.verdict.why) == (Result.PASSED, "1 packages")


@pytest.mark.usefixtures("tree")
def test_a_service_of_vulnerabilities_that_is_out_of_reach_is_not_green(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OSV_URL, f"http://127.0.0.1:{free_port()}/v1/query")

    outcome = step("scan-dependencies")

    assert outcome.verdict.result is Result.NOT_RUN
    assert "could not ask for known vulnerabilities" in outcome.verdict.why


@pytest.mark.usefixtures("tree")
def test_a_service_of_vulnerabilities_that_answers_with_an_error_is_not_green(monkeypatch: pytest.MonkeyPatch) -> None:
    with osv({}, status=503) as url:
        monkeypatch.setenv(OSV_URL, url)
        outcome = step("scan-dependencies")

    assert outcome.verdict.result is Result.NOT_RUN


def test_a_project_without_a_locked_list_has_not_been_looked_at(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "requirements.txt").write_text("")
    with osv({}) as url:
        monkeypatch.setenv(OSV_URL, url)
        outcome = step("scan-dependencies")

    assert outcome.verdict.result is Result.NOT_RUN


def test_one_package_of_which_nobody_knows_anything_spoils_the_answer_for_all(tmp_path: Path) -> None:
    # As an index answers that knows of no vulnerabilities: pip-audit itself ends with 0 and says that none is known.
    report = tmp_path / "report.json"
    known = {"name": "one", "version": "1.0", "vulns": []}
    unknown = {"name": "two", "skip_reason": "Dependency not found and could not be audited: two (1.0)"}
    ended = Completed(("pip-audit",), 0, "No known vulnerabilities found", 1.0)

    report.write_text(json.dumps({"dependencies": [known]}))
    assert judges.dependencies(report, [ended]).result is Result.PASSED
    report.write_text(json.dumps({"dependencies": [known, unknown]}))
    verdict = judges.dependencies(report, [ended])

    assert verdict.result is Result.NOT_RUN
    assert verdict.why == "nobody answered for 1 of 2 packages: two"


def token() -> str:
    """A token in the form of a well-known one, made up here, so that no file of this repository holds one."""
    alphabet = string.ascii_letters + string.digits
    return "gh" + "p_" + "".join(secrets.choice(alphabet) for _ in range(36))


def test_a_secret_in_a_file_that_is_not_even_committed_fails_and_is_not_shown(tree: Path) -> None:
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "-m", "without")
    said: list[str] = []
    assert step("scan-secrets").verdict.result is Result.PASSED

    planted = token()
    (tree / "notes.txt").write_text(f'token = "{planted}"\n')
    outcome = step("scan-secrets", said)

    assert outcome.verdict.result is Result.FAILED
    assert "notes.txt" in "".join(said)
    assert planted not in "".join(said)


def test_a_secret_that_was_taken_out_again_fails_as_long_as_the_history_has_it(tree: Path) -> None:
    (tree / "notes.txt").write_text(f'token = "{token()}"\n')
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "-m", "with")
    git(tree, "rm", "--quiet", "notes.txt")
    git(tree, "commit", "--quiet", "-m", "without")

    outcome = step("scan-secrets")

    assert outcome.verdict.result is Result.FAILED
    assert "revoke it first" in outcome.verdict.why


def test_a_clone_without_its_history_is_not_looked_through(tree: Path, tmp_path: Path) -> None:
    for message in ("one", "two"):
        (tree / "notes.txt").write_text(message)
        git(tree, "add", ".")
        git(tree, "commit", "--quiet", "-m", message)
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{tree}", "shallow")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "ROOT", tmp_path / "shallow")
        outcome = step("scan-secrets")

    assert outcome.verdict.result is Result.NOT_RUN
    assert "git fetch --unshallow" in outcome.verdict.why


@pytest.mark.parametrize(
    ("status", "said", "result"),
    [
        (0, "No vulnerabilities found", Result.PASSED),
        (2, "discovered vulnerabilities at or above the severity threshold", Result.FAILED),
        (1, "failed to load vulnerability db: database does not exist", Result.NOT_RUN),
        (1, "unable to update db: dial tcp: no such host", Result.NOT_RUN),
    ],
)
def test_the_end_of_the_scan_of_the_image_is_read(
    status: int, said: str, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # grype itself is nowhere to be installed from on a bare machine: what is tried is how its documented ends are read.
    stand_in(tmp_path / "grype", f"echo '{said}' >&2; exit {status}")
    stand_in(tmp_path / "docker", "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    outcome = step("scan-image")

    assert outcome.verdict.result is result
    if result is Result.NOT_RUN:
        assert said in outcome.verdict.why


def test_without_its_scanner_the_image_is_not_called_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "docker", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))

    outcome = step("scan-image")

    assert outcome.verdict.result is Result.NOT_RUN
    assert "grype is not installed" in outcome.verdict.why


def test_without_a_token_nobody_asks_github_about_the_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GH_TOKEN", raising=False)

    outcome = step("scan-actions")

    assert outcome.verdict.result is Result.NOT_RUN
    assert "GH_TOKEN is not set" in outcome.verdict.why


def stand_in(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
