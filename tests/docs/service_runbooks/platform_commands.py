"""Lines of the service runbooks that no test can run on a bare machine, one by one, and why. They are only parsed."""

from __future__ import annotations

import shlex

WHY_NOT_RUN = {
    "kubectl": "it needs a cluster",
    "docker": "it needs a Docker daemon, and images of all parts",
    "systemctl": "it needs systemd as the first process",
}
PLATFORM = frozenset(WHY_NOT_RUN)

LISTED = frozenset(
    """\
docker compose kill -s HUP prometheus
docker compose kill -s HUP prometheus alertmanager
docker compose logs --tail 20 app
docker compose logs --tail 20 backup
docker compose logs --tail 20 incidents
docker compose logs alertmanager
docker compose ps --all app
docker compose restart app
docker compose up -d --force-recreate app
docker compose up -d alertmanager
docker compose up -d app
docker compose up -d backup
docker compose up -d incidents
docker compose up -d prometheus alertmanager incidents
kubectl annotate ingress/taskmanager nginx.ingress.kubernetes.io/proxy-request-buffering=on --overwrite
kubectl delete pod taskmanager-0
kubectl edit persistentvolumeclaim data-postgres-0
kubectl get networkpolicies
kubectl get pods --selector=app=taskmanager --output=jsonpath='{range .items[*]}{.metadata.name} \
{.status.containerStatuses[0].lastState.terminated}{"\\n"}{end}'
kubectl get pods --selector=app=taskmanager --output=wide
kubectl rollout restart deployment/incidents
kubectl rollout restart deployment/taskmanager
kubectl rollout restart statefulset/alertmanager
kubectl rollout restart statefulset/prometheus statefulset/alertmanager
kubectl rollout undo deployment/taskmanager
kubectl scale deployment/taskmanager --replicas=2
kubectl scale deployment/taskmanager --replicas=4
kubectl set env deployment/taskmanager TASKMANAGER_POOL_SIZE=20
kubectl set env deployment/taskmanager TASKMANAGER_POOL_SIZE=5
kubectl set resources deployment/taskmanager --limits=memory=512Mi
kubectl set resources deployment/taskmanager --requests=cpu=1 --limits=cpu=0
systemctl status taskmanager
""".splitlines()
)

# The words before any argument, and the options that each takes.
_VERBS = {
    ("docker", "compose", "kill"): {"-s"},
    ("docker", "compose", "logs"): {"--tail"},
    ("docker", "compose", "ps"): {"--all"},
    ("docker", "compose", "restart"): set(),
    ("docker", "compose", "up"): {"-d", "--force-recreate"},
    ("kubectl", "annotate"): {"--overwrite"},
    ("kubectl", "delete"): set(),
    ("kubectl", "edit"): set(),
    ("kubectl", "get"): {"--selector", "--output"},
    ("kubectl", "rollout", "restart"): set(),
    ("kubectl", "rollout", "undo"): set(),
    ("kubectl", "scale"): {"--replicas"},
    ("kubectl", "set", "env"): set(),
    ("kubectl", "set", "resources"): {"--requests", "--limits"},
    ("systemctl", "status"): set(),
}


def parse(line: str) -> None:
    """Raise ValueError where the line is of no form that its program has."""
    words = shlex.split(line)
    found = [verb for verb in _VERBS if tuple(words[: len(verb)]) == verb]
    if not found:
        raise ValueError(f"no such command: {line}")
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    if unknown := options - _VERBS[found[0]]:
        raise ValueError(f"no such option of {' '.join(found[0])}: {', '.join(sorted(unknown))}")
