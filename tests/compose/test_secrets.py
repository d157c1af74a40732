"""docker/new-secrets.sh, and Grafana's entrypoint in production."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from taskmanager.access.keys import faults_of
from taskmanager.incidents import variables
from tests.compose.compose_files import PRODUCTION, PRODUCTION_REPLICAS
from tests.processes import ROOT, lacking, run

SCRIPT = ROOT / "docker" / "new-secrets.sh"
GRAFANA = ROOT / "docker" / "grafana" / "entrypoint.sh"

SERVICE, MONITORING, GRAFANAS = 10001, 65534, 472

OWNERS = {
    "postgres_password": 0,
    "migrator_password": 0,
    "app_password": 0,
    "backup_password": 0,
    "monitor_password": 0,
    "monitor_password.exporter": MONITORING,
    "database_url": SERVICE,
    "migration_database_url": SERVICE,
    "backup_database_url": SERVICE,
    "api/keys": SERVICE,
    "admin_key": 0,
    "metrics_key": MONITORING,
    "incidents_key": SERVICE,
    "incidents_key.monitoring": MONITORING,
    "grafana_password": GRAFANAS,
}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        lacking("root", "only root gives files to other accounts: run the tests as root, in a container for instance")
    folder = tmp_path / "secrets"
    done = run(str(SCRIPT), str(folder))
    assert done.returncode == 0, done.stderr
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in OWNERS}


def test_each_file_can_be_read_by_the_account_that_reads_it_and_by_nobody_else(secrets: Path) -> None:
    found = {str(file.relative_to(secrets)): file.stat() for file in secrets.rglob("*") if file.is_file()}

    assert {name: status.st_uid for name, status in found.items()} == OWNERS
    assert {status.st_mode & 0o777 for status in found.values()} == {0o600}
    assert (secrets / "api").stat().st_uid == SERVICE
    assert [secrets.stat().st_mode & 0o777, (secrets / "api").stat().st_mode & 0o777] == [0o711, 0o700]


def test_the_overlays_ask_for_these_files_and_for_certificates_alone(secrets: Path) -> None:
    text = "".join((ROOT / name).read_text() for name in (PRODUCTION, PRODUCTION_REPLICAS))
    asked = set(re.findall(r"\./docker/secrets/([\w./]+?)(?=[:\s]|$)", text))

    assert {name for name in asked if not name.startswith("tls/") and not (secrets / name).exists()} == set()
    assert {name for name in asked if name.startswith("tls/")} == {"tls/ca.crt", "tls/server"}
    assert {name for name in OWNERS if name.partition("/")[0] not in asked} == {"admin_key"}


def test_the_addresses_hold_their_roles_password_and_demand_a_verified_server(secrets: Path) -> None:
    for name, role, password in (
        ("database_url", "taskmanager_app", "app_password"),
        ("migration_database_url", "taskmanager_migrator", "migrator_password"),
        ("backup_database_url", "taskmanager_backup", "backup_password"),
    ):
        url = urlsplit((secrets / name).read_text().strip())
        assert (url.username, url.password) == (role, (secrets / password).read_text().strip())
        assert (url.hostname, url.port, url.path) == ("db", 5432, "/taskmanager")
        assert parse_qs(url.query) == {"sslmode": ["verify-full"], "sslrootcert": ["/run/secrets/database_ca"]}


def test_the_service_takes_the_keys(secrets: Path) -> None:
    assert faults_of(None, secrets / "api" / "keys") == []
    for name, scope in (("admin_key", "tasks:read,tasks:write"), ("metrics_key", "metrics:read")):
        key = (secrets / name).read_text()
        assert re.fullmatch(r"tm_[a-z0-9]{8}_[A-Za-z0-9_-]{43}\n", key), name
        id_, secret = key.strip().removeprefix("tm_").split("_", 1)
        digest = run("sh", "-c", f"printf %s '{secret}' | sha256sum").stdout.split()[0]
        assert f"{id_} {digest} {scope} never  #" in (secrets / "api" / "keys").read_text()
        assert secret not in (secrets / "api" / "keys").read_text()


def test_the_receiver_takes_its_key_in_production(secrets: Path) -> None:
    file = str(secrets / "incidents_key")
    [key] = variables.keys({"TASKMANAGER_INCIDENTS_KEY_FILE": file, "TASKMANAGER_ENV": "production"})
    assert f"{key}\n" == (secrets / "incidents_key.monitoring").read_text()


def test_what_two_accounts_read_is_the_same_and_all_else_differs(secrets: Path) -> None:
    found = contents(secrets)
    assert found["monitor_password"] == found["monitor_password.exporter"]
    del found["monitor_password.exporter"], found["incidents_key.monitoring"]
    assert len(set(found.values())) == len(found)


def test_a_second_run_is_refused_and_changes_nothing(secrets: Path) -> None:
    before = contents(secrets)
    (secrets / "grafana_password").unlink()
    done = run(str(SCRIPT), str(secrets))

    assert done.returncode == 1
    assert f"{secrets}/postgres_password is there already" in done.stderr
    del before["grafana_password"]
    assert {name: (secrets / name).read_text() for name in before} == before
    assert not (secrets / "grafana_password").exists()


def test_nothing_secret_is_printed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        lacking("root", "only root gives files to other accounts: run the tests as root, in a container for instance")
    done = run(str(SCRIPT), str(tmp_path / "s"))
    said = done.stdout + done.stderr
    for text in contents(tmp_path / "s").values():
        for word in re.findall(r"[A-Za-z0-9_-]{16,}", text):
            if re.search(r"\d", word):
                assert word not in said


def test_somebody_who_may_not_give_files_away_is_told_how(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    as_nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    script = SCRIPT.read_text()
    done = subprocess.run(  # type: ignore[call-overload]
        ["sh", "-s", "secrets"], input=script, cwd="/", capture_output=True, text=True, check=False, **as_nobody
    )
    assert done.returncode == 1
    assert "only root can give each file to the account that reads it: sudo " in done.stderr


def test_what_is_not_understood_is_told_with_status_2() -> None:
    for arguments, told in ((("--force",), "there is no option --force"), (("a", "b"), "one folder, not 2")):
        done = run(str(SCRIPT), *arguments)
        assert done.returncode == 2
        assert told in done.stderr
    assert "sudo docker/new-secrets.sh" in run(str(SCRIPT), "--help").stdout


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("admin", "begins as what everybody tries first"),
        ("Password-1234567890", "begins as what everybody tries first"),
        ("", "is empty"),
        ("\n", "is empty"),
        ("k3x9-short", "holds fewer than 16 characters"),
        (None, "is no file that"),
    ],
)
def test_grafana_does_not_start_with_a_password_that_everybody_tries(
    password: str | None, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "grafana_password"
    if password is not None:
        file.write_text(password)
    done = run("sh", str(GRAFANA), "echo", "started", env={"GF_SECURITY_ADMIN_PASSWORD__FILE": str(file)})

    assert (done.returncode, done.stdout) == (78, "")
    assert f"taskmanager-grafana: {file}: {told}" in done.stderr
    assert not password or len(password) < 2 or password not in done.stderr


def test_grafana_starts_with_one_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "grafana_password"
    file.write_text("8a1f0c9e7d6b5a493827161504f3e2d1\n")
    done = run("sh", str(GRAFANA), "echo", "started", env={"GF_SECURITY_ADMIN_PASSWORD__FILE": str(file)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")
    # By itself it starts what the image starts.
    assert "${@:-/run.sh}" in GRAFANA.read_text()
