"""Traces are off unless a collector is named; what cannot be used is refused before anything is served."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.databases import Database
from tests.processes import ROOT, run

OFF: dict[str, dict[str, str]] = {
    "no endpoint": {},
    "switched off": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
    "no exporter": {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces",
        "OTEL_TRACES_EXPORTER": "none",
    },
}
LIBRARY = (
    "import sys; from taskmanager.app import create_app; app = create_app();"
    " print(app.state.traces, [name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
)


@pytest.mark.parametrize("variables", OFF.values(), ids=OFF)
def test_off_the_library_is_not_even_imported(migrated_database: Database, variables: dict[str, str]) -> None:
    done = run(sys.executable, "-c", LIBRARY, env={"DATABASE_URL": migrated_database.app_url} | variables)

    assert done.stdout.splitlines()[-1] == "None []", done.stderr


REFUSED: list[tuple[dict[str, str], str]] = [
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: this is no address"),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:port"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: this is no address"),
    ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER: zipkin is not there; set otlp or none"),
    ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf"),
    ({"OTEL_TRACES_SAMPLER": "some"}, "OTEL_TRACES_SAMPLER: there is no such sampler; there are always_on"),
    ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10%"}, "OTEL_TRACES_SAMPLER_ARG: give"),
    ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG: give"),
]  # fmt: skip


@pytest.mark.parametrize(("variables", "fault"), REFUSED, ids=[fault.partition(" ")[0] for _, fault in REFUSED])
def test_what_cannot_be_used_is_refused_with_what_to_do(
    migrated_database: Database, variables: dict[str, str], fault: str
) -> None:
    environment = {"DATABASE_URL": migrated_database.app_url, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}

    done = run(sys.executable, "-m", "taskmanager", "serve", env=environment | variables)

    assert (done.returncode, len(done.stderr.splitlines())) == (78, 1)
    assert done.stderr.startswith(f"taskmanager: {fault}")


def test_without_the_library_an_endpoint_is_refused_with_the_command_that_installs_it(
    migrated_database: Database, tmp_path: Path
) -> None:
    # A finder that finds nothing of it, as where only the service's own requirements are installed.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Nothing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter')):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Nothing())\n"
    )
    environment = {
        "DATABASE_URL": migrated_database.app_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }

    done = run(sys.executable, "-m", "taskmanager", "serve", env=environment)

    assert done.returncode == 78
    assert 'pip install "taskmanager-api[traces]"' in done.stderr
