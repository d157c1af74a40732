"""`stack deploy --compose` in production: four files, TLS to the database, secrets from files, and keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from incident_lab.load import KEY_VARIABLE
from tests import plain_http
from tests.containers.compose_project import GENERATIONS, wait_until
from tests.containers.deploy_site import API, SLOTS, Site
from tests.containers.engine import Engine
from tests.containers.prepare import WITH_TLS
from tests.containers.test_compose_production import with_secrets
from tests.deployments.rig import UnderLoad
from tests.deployments.trees import NEW_TASKS_FAIL, add_column
from tests.processes import ROOT

FILES = (
    "docker-compose.yml",
    "docker/compose.production.yml",
    "docker/compose.replicas.yml",
    "docker/compose.production.replicas.yml",
    # By its whole path: it is no part of what is delivered.
    f"{ROOT / 'tests' / 'containers' / 'compose_postgres_15.yml'}",
)
SERVICES = ("db", "migrate", *SLOTS[:3], "haproxy", "incidents", "backup")

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def site(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("deploy-production")
    checkout = with_secrets(folder / "project")
    secrets = checkout / "docker" / "secrets"
    # Without TASKMANAGER_IMAGE, which only `up` needs.
    keys = {
        "TASKMANAGER_PROBE_KEY_FILE": f"{secrets / 'admin_key'}",
        "TASKMANAGER_INCIDENTS_KEY_FILE": f"{secrets / 'incidents_key'}",
    }
    site = Site(engine, GENERATIONS[0], folder, checkout, FILES, WITH_TLS, keys)
    try:
        site.project.up(*SERVICES)
        wait_until(lambda: plain_http.get(f"{API}/readyz").status_code == 200, "a replica is ready")
        site.project.wait_until_healthy(*SLOTS[:3], "haproxy", "incidents", "backup")
        yield site
    finally:
        site.project.run("rm", "--stop", "--force", *SLOTS, check=False)
        site.project.down()


def test_a_good_release_is_deployed_and_a_bad_one_taken_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = (site.project.folder / "docker" / "secrets" / "admin_key").read_text().strip()
    monkeypatch.setenv(KEY_VARIABLE, admin)
    good = site.release("good", add_column("good"))
    image = site.image(good)
    bad = site.image(site.release("answers 500", **NEW_TASKS_FAIL))

    with UnderLoad(API, 20) as load:
        done = site.order("deploy", image)
        last = site.order("deploy", bad)

    assert (done.code, done.record["result"]) == (0, "succeeded"), done
    assert "every statement prepared" in done.steps("check")[0]["note"]
    assert (last.code, last.record["result"]) == (6, "rolled_back"), last
    assert "POST /tasks answered 500 internal_error instead of 201" in last.record["reason"]
    assert list(site.serving().values()) == [good.commit] * 3
    assert load.lost_by_a_switch == {}, load.tally
    assert load.tally["sent"] > 200


def test_the_incident_receiver_has_the_records_by_its_own_key(site: Site) -> None:
    key = (site.project.folder / "docker" / "secrets" / "incidents_key").read_text().strip()
    told = plain_http.get("http://127.0.0.1:9095/deployments", headers={"Authorization": f"Bearer {key}"}).json()

    assert [each["facts"]["result"] for each in told] == ["rolled_back", "succeeded"]
