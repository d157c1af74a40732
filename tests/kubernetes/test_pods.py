"""What the pods are told is what the code reads, listens on and answers."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migration_gate.errors import MigrationGateError
from migration_gate.start import TRY_AGAIN
from ops.kubernetes.manifests import plain
from stack.postgres import roles
from taskmanager import __version__, settings
from taskmanager.server import http_server
from taskmanager.settings import load_settings
from tests.kubernetes.agreement import faults
from tests.kubernetes.manifest_files import BASE, CLOUDNATIVE_PG, container, environment, pod_specs, rendered, the
from tests.processes import ROOT

PODS = pod_specs(plain())

Pod = dict[str, Any]


@pytest.mark.parametrize("name", PODS)
def test_a_pod_agrees_with_the_code_and_is_confined(name: str) -> None:
    assert faults(PODS[name]) == []


def _probe(name: str, **changes: Any) -> Callable[[Pod], None]:
    return lambda pod: container(pod)[name]["httpGet"].update(changes)


def _variable(name: str, value: str) -> Callable[[Pod], None]:
    def change(pod: Pod) -> None:
        variables = [each for each in container(pod)["env"] if each["name"] != name]
        container(pod)["env"] = [*variables, {"name": name, "value": value}]

    return change


def _container(**changes: Any) -> Callable[[Pod], None]:
    return lambda pod: container(pod).update(changes)


def _security(**changes: Any) -> Callable[[Pod], None]:
    return lambda pod: container(pod)["securityContext"].update(changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_probe("readinessProbe", path="/ready"), "/ready is no path"),
        (_probe("readinessProbe", path="/metrics"), "/metrics is no path"),  # it asks for a key
        (_probe("livenessProbe", path="/readyz"), "a restart mends neither"),
        (_probe("startupProbe", path="/readyz"), "a restart mends neither"),
        (_probe("readinessProbe", port="web"), "no port is called web"),
        (_container(ports=[{"name": "http", "containerPort": 8080}]), "listens on 8000"),
        (_variable("TASKMANAGER_POOLSIZE", "10"), "TASKMANAGER_POOLSIZE: nothing reads it"),
        (_variable("TASKMANAGER_MIGRATE", "on_start"), "pods migrate, and a job does too"),
        (_variable("DATABASE_URL", "postgresql://a:b@c/d"), "a secret stands in the manifest"),
        (_variable("DATABASE_URL_FILE", "/run/secrets/database/uri"), "the volume has no file uri"),
        (_variable("DATABASE_URL_FILE", "/run/secrets/db/url"), "nothing is mounted at /run/secrets/db"),
        (_security(runAsUser=0), "not as the image's user"),
        (_security(runAsNonRoot=False), "not as the image's user"),
        (_security(readOnlyRootFilesystem=False), "the root can be written to"),
        (_security(allowPrivilegeEscalation=True), "more privileges"),
        (_security(privileged=True), "more privileges"),
        (_security(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}), "capabilities are kept"),
        (lambda pod: pod["securityContext"].pop("seccompProfile"), "no seccomp profile"),
        (lambda pod: pod.pop("automountServiceAccountToken"), "a token"),
        (lambda pod: pod.update(hostNetwork=True), "a namespace of the node"),
        (lambda pod: pod.pop("enableServiceLinks"), "unknown settings"),
        (lambda pod: container(pod)["resources"]["limits"].pop("memory"), "limit of the memory"),
        (lambda pod: container(pod)["volumeMounts"][0].update(subPath="url"), "never replaced"),
        (lambda pod: pod["volumes"].pop(0), "no such volume"),
    ],
)
def test_what_does_not_agree_or_is_not_confined_is_named(change: Callable[[Pod], None], told: str) -> None:
    pod = copy.deepcopy(PODS["Deployment taskmanager"])

    change(pod)

    assert any(told in fault for fault in faults(pod)), faults(pod)


@pytest.mark.parametrize("name", [name for name in PODS if name != "Deployment incidents"])
def test_the_settings_take_the_variables_of_a_pod(name: str, tmp_path: Path) -> None:
    variables = environment(PODS[name])
    for variable, value in list(variables.items()):
        if variable.endswith("DATABASE_URL_FILE"):
            file = tmp_path / variable
            file.write_text("postgresql://role:a-long-secret@taskmanager-db-rw/taskmanager?sslmode=verify-full\n")
            variables[variable] = str(file)
        assert value == value.strip()

    loaded = load_settings(variables | {"TASKMANAGER_ENV_FILE": ""})

    assert loaded.env is settings.Environment.PRODUCTION
    assert loaded.migration_url() is not None
    if name == "Deployment taskmanager":
        assert loaded.migrate is settings.Migrate.NEVER
        assert loaded.pool_size == 10
        # Whoever serves must not be able to change the schema.
        assert loaded.migration_database_url is None


def test_the_variables_of_a_service_link_would_be_refused() -> None:
    """Why no pod has them: the Cluster's Service is named taskmanager-db-rw."""
    with pytest.raises(settings.SettingsError, match="TASKMANAGER_DB_RW_SERVICE_HOST: no such setting"):
        load_settings({"TASKMANAGER_ENV_FILE": "", "TASKMANAGER_DB_RW_SERVICE_HOST": "10.0.0.1"})


def test_a_pod_has_time_to_drain() -> None:
    pod = PODS["Deployment taskmanager"]
    pre_stop = container(pod)["lifecycle"]["preStop"]["sleep"]["seconds"]
    worst = pre_stop + http_server.DRAIN_AT_MOST_S + http_server.GRACE_S

    # What is left is for the end of what is open: connections, Sentry, traces.
    assert worst + 5 <= pod["terminationGracePeriodSeconds"]


def test_the_job_tries_again_only_where_that_may_help() -> None:
    job = the(plain(), "Job", "taskmanager-migrate-RELEASE")["spec"]
    ignored, failed = job["podFailurePolicy"]["rules"]
    statuses = failed["onExitCodes"]["values"]
    every = {each.exit_code for each in _subclasses(MigrationGateError)} | {settings.UNUSABLE_SETTINGS, 1, 2}

    assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    assert (failed["action"], failed["onExitCodes"]["operator"]) == ("FailJob", "In")
    assert TRY_AGAIN not in statuses
    # Of the statuses that `taskmanager migrate` ends with, none is forgotten.
    assert every - {TRY_AGAIN} <= set(statuses) | {5}
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert "activeDeadlineSeconds" not in job


def _subclasses(of: type[MigrationGateError]) -> set[type[MigrationGateError]]:
    return {of}.union(*(_subclasses(each) for each in of.__subclasses__()))


def test_the_connections_of_all_pods_fit_into_the_database() -> None:
    files = plain()
    scaling = the(files, "HorizontalPodAutoscaler", "taskmanager")["spec"]
    rollout = the(files, "Deployment", "taskmanager")["spec"]["strategy"]["rollingUpdate"]
    parameters = the(files, "Cluster", "taskmanager-db")["spec"]["postgresql"]["parameters"]
    pool = int(environment(PODS["Deployment taskmanager"])["TASKMANAGER_POOL_SIZE"])
    pods = scaling["maxReplicas"] + rollout["maxSurge"]
    # Two of each pod watch the schema and the server. The migrator has one, and one to prove its work as the
    # application; a backup has three. PostgreSQL keeps three for superusers, and five are left to the operator.
    others = 2 + 3 + 3 + 5

    assert pods * (pool + 2) + others <= int(parameters["max_connections"])
    assert scaling["minReplicas"] >= 2


def test_a_rollout_takes_no_pod_away_before_another_is_ready() -> None:
    files = plain()
    rollout = the(files, "Deployment", "taskmanager")["spec"]["strategy"]["rollingUpdate"]
    budget = the(files, "PodDisruptionBudget", "taskmanager")["spec"]

    assert rollout == {"maxUnavailable": 0, "maxSurge": 1}
    assert budget["maxUnavailable"] < the(files, "HorizontalPodAutoscaler", "taskmanager")["spec"]["minReplicas"]
    # An autoscaler decides on the number; a second one in the manifest would be put back at each apply.
    assert "replicas" not in the(files, "Deployment", "taskmanager")["spec"]


def test_names_are_those_of_the_runbooks() -> None:
    files = plain()
    named = {
        name
        for page in (ROOT / "docs" / "runbooks").glob("*.md")
        for name in re.findall(r"deployment/(taskmanager|incidents)\b", page.read_text())
    }

    assert named == {"taskmanager", "incidents"}
    for name in named:
        labels = the(files, "Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert labels["app"] == name  # kubectl get pods --selector=app=taskmanager


def test_the_roles_are_those_of_the_launcher_with_the_same_grants() -> None:
    cluster = the(plain(), "Cluster", "taskmanager-db")["spec"]
    names = {"database": roles.DATABASE, "migrator": roles.MIGRATOR, "app": roles.APP}
    granted = {" ".join(statement.split()) for statement in cluster["bootstrap"]["initdb"]["postInitApplicationSQL"]}
    wanted = {statement.format(**names) for statement in roles._GRANTS}

    assert {role["name"] for role in cluster["managed"]["roles"]} == {roles.MIGRATOR, roles.APP}
    assert cluster["bootstrap"]["initdb"]["owner"] == roles.MIGRATOR
    # PostgreSQL 18 has it so from the start.
    assert wanted - granted == {"ALTER SCHEMA public OWNER TO pg_database_owner"}
    assert granted <= wanted


def test_the_release_is_the_one_of_this_tree() -> None:
    for name in (BASE, CLOUDNATIVE_PG):
        pods = pod_specs(rendered(name))
        assert {container(pod)["image"] for pod in pods.values()} == {f"taskmanager-api:{__version__}"}
        assert f"Job taskmanager-migrate-{__version__}" in pods


def test_no_pod_of_ours_reaches_more_than_it_needs() -> None:
    found = rendered(CLOUDNATIVE_PG)
    policies = [each.content["spec"] for each in found if each.kind == "NetworkPolicy"]
    confined = {policy["podSelector"]["matchLabels"].get("app") for policy in policies}
    apps = {
        each.content["spec"]["template"]["metadata"]["labels"]["app"]
        for each in found
        if each.kind in {"Deployment", "Job"}
    }
    database = {"podSelector": {"matchLabels": {"cnpg.io/cluster": "taskmanager-db"}}}

    assert apps <= confined
    for policy in policies:
        for way in policy.get("egress", []):
            if {"port": 5432} in way["ports"]:
                assert way["to"] == [database]
