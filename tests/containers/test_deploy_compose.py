"""`stack deploy --compose` on three replicas behind HAProxy: what clients lose by it, and what serves in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests import plain_http
from tests.containers.compose_project import GENERATIONS, checkout, wait_until
from tests.containers.deploy_site import API, SLOTS, Site
from tests.containers.engine import Engine
from tests.containers.prepare import IMAGE
from tests.deployments.rig import UnderLoad
from tests.deployments.trees import ENDS_AT_ONCE, LISTS_FAIL, NEW_TASKS_FAIL, add_column

FILES = ("docker-compose.yml", "docker/compose.replicas.yml")
SERVICES = ("db", "migrate", *SLOTS[:3], "haproxy", "incidents")

pytestmark = pytest.mark.timeout(900)

of_one_generation = pytest.mark.parametrize("site", GENERATIONS[:1], indirect=True)


@pytest.fixture(scope="module", params=GENERATIONS)
def site(engine: Engine, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("deploy")
    site = Site(engine, request.param, folder, checkout(folder / "project"), FILES, IMAGE, {})
    try:
        site.project.up(*SERVICES)
        wait_until(lambda: plain_http.get(f"{API}/readyz").status_code == 200, "a replica is ready")
        site.project.wait_until_healthy(*SLOTS[:3], "haproxy", "incidents")
        yield site
    finally:
        site.project.run("rm", "--stop", "--force", *SLOTS, check=False)
        site.project.down()


def version() -> str:
    """The commit that answers at the public port."""
    return f"{plain_http.get(f'{API}/version', timeout=10).json()['commit']}"


def test_all_replicas_are_replaced_and_put_back_without_a_lost_request(site: Site) -> None:
    before = version()
    # It serves for a long time already, and has come back from a fault.
    site.project.end_process("app-1")
    wait_until(lambda: site.project.inspect("app-1")["RestartCount"] == 1, "it is started again")
    site.project.wait_until_healthy("app-1")
    made = site.release("good", add_column("good"))
    image = site.image(made)

    with UnderLoad(API, 20) as load:
        done = site.order("deploy", image)
        after = site.serving()
        back = site.order("rollback")

    assert (done.code, done.record["result"]) == (0, "succeeded"), done
    assert sorted(after.values()) == [made.commit] * 3, after
    assert len(done.steps("drain")) == 3
    assert [step["note"] for step in done.steps("drain")] == [""] * 3
    assert (back.code, back.record["result"]) == (0, "succeeded"), back
    assert list(site.serving().values()) == [before] * 3
    assert version() == before
    assert load.lost_by_a_switch == {}, load.tally
    assert load.tally["sent"] > 200
    assert [(each["verb"], each["result"]) for each in json.loads(site.listed("--json"))] == [
        ("deploy", "succeeded"),
        ("rollback", "succeeded"),
    ]
    assert "success over the last" in site.listed()


@of_one_generation
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (NEW_TASKS_FAIL, "POST /tasks answered 500 internal_error instead of 201"),
        (ENDS_AT_ONCE, "the replica ended with a fault, after which it was started again, before it was ready"),
    ],
    ids=["answers_500", "ends_at_once"],
)
def test_a_bad_release_is_taken_out_before_a_client_meets_it(site: Site, fault: dict[str, str], reason: str) -> None:
    before = version()
    image = site.image(site.release("bad", **fault))

    with UnderLoad(API, 20) as load:
        done = site.order("deploy", image)

    assert (done.code, done.record["result"]) == (6, "rolled_back"), done
    assert reason in done.record["reason"]
    assert any("a fault of this release alone" in line for line in done.record["evidence"]), done.record
    assert done.steps("switch") == []
    assert list(site.serving().values()) == [before] * 3
    assert load.lost_by_a_switch == {}, load.tally


@of_one_generation
def test_a_release_that_fails_where_no_probe_looks_is_put_out_by_its_errors(site: Site) -> None:
    before = version()
    image = site.image(site.release("fails under load", **LISTS_FAIL))

    with UnderLoad(API, 40):
        done = site.order("deploy", image)

    assert (done.code, done.record["result"]) == (6, "rolled_back"), done
    assert "errors rise" in done.record["reason"]
    assert done.steps("switch it back in"), "the old one was kept, and serves again without a start"
    assert list(site.serving().values()) == [before] * 3
    assert version() == before


@of_one_generation
def test_what_is_no_image_and_what_serves_already_is_refused_in_words(site: Site) -> None:
    unknown, same = site.order("deploy", "no-such-image:here"), site.order("deploy", IMAGE)

    assert (unknown.code, same.code) == (5, 5)
    assert "there is no image no-such-image:here here" in unknown.record["reason"]
    assert "serves already" in same.record["reason"]


@of_one_generation
def test_the_incident_receiver_has_the_record(site: Site) -> None:
    records = json.loads(site.listed("--json"))
    key = (site.project.folder / "ops" / "development" / "incidents_key").read_text().strip()
    told = plain_http.get("http://127.0.0.1:9095/deployments", headers={"Authorization": f"Bearer {key}"}).json()

    assert [each["facts"]["result"] for each in reversed(told)] == [each["result"] for each in records]
