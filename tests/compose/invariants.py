"""What holds for every service of every compose file, as a list of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

OURS = "taskmanager-api"
# What PostgreSQL's image does as root before it becomes `postgres`.
CAPABILITIES = {"db": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}}
# Pulled alone, and not ours to say where it writes.
WRITES_BESIDE_ITS_CODE = {"bugsink"}
ENDS_BY_ITSELF = {"migrate"}


def on_loopback(name: str, service: Json) -> str | None:
    """Ports are published to this machine alone."""
    for port in service.get("ports", ()):
        host = port.get("host_ip") if isinstance(port, dict) else f"{port}".rpartition(":")[0].rpartition(":")[0]
        if host != "127.0.0.1":
            return f"{name}: {port} is published beyond this machine"
    return None


def pinned(name: str, service: Json) -> str | None:
    """Other people's images bear a version, so that the same file is the same program tomorrow."""
    image = service.get("image", "")
    _, _, tag = image.rpartition("/")[2].partition(":")
    if OURS not in image and (not any(map(str.isdigit, tag)) or tag == "latest"):
        return f"{name}: {image or 'no image'} names no version"
    return None


def bounded(name: str, service: Json) -> str | None:
    """Memory, processors, processes, the log, and the time to end have a bound each."""
    bounds = ("mem_limit", "cpus", "pids_limit", "stop_grace_period", "logging")
    # Version 2 tells the bounds of resources in the place where swarm has them.
    told = {"mem_limit", "cpus", "pids_limit"} if "deploy" in service else set()
    missing = [bound for bound in bounds if bound not in service and bound not in told]
    if missing:
        return f"{name}: no {', '.join(missing)}"
    if float(service.get("cpus", 1)) > 1:
        return f"{name}: a machine with one processor refuses more than one"
    return None if {"max-size", "max-file"} <= service["logging"]["options"].keys() else f"{name}: its log grows"


def confined(name: str, service: Json) -> str | None:
    """No capability, no new privileges, nothing written beside volumes and /tmp."""
    if service.get("cap_drop") != ["ALL"]:
        return f"{name}: keeps capabilities"
    if set(service.get("cap_add", ())) != CAPABILITIES.get(name, set()):
        return f"{name}: takes capabilities that nobody wrote down"
    if service.get("security_opt") != ["no-new-privileges:true"]:
        return f"{name}: a program in it may gain privileges"
    if service.get("privileged") or "docker.sock" in f"{service.get('volumes')}":
        return f"{name}: has the machine"
    if service.get("read_only") is not True and name not in WRITES_BESIDE_ITS_CODE:
        return f"{name}: may write beside its code"
    return None


def comes_back(name: str, service: Json) -> str | None:
    """What ends is started again; the migration three times at most."""
    wanted = "on-failure:3" if name in ENDS_BY_ITSELF else "unless-stopped"
    return None if service.get("restart") == wanted else f"{name}: restart is {service.get('restart')}, not {wanted}"


def watched(name: str, service: Json) -> str | None:
    """Health is asked for, by our image itself or here."""
    test = service.get("healthcheck", {}).get("test")
    if test is None and OURS not in service.get("image", "") and name != "bugsink":
        return f"{name}: nobody asks how it is"
    return f"{name}: its health is not asked for" if test == ["NONE"] or test == "NONE" else None


def ordered_only(name: str, service: Json) -> str | None:
    """`depends_on` orders and decides nothing: it names no condition but that of a start."""
    found = service.get("depends_on", ())
    conditions = {entry["condition"] for entry in found.values()} if isinstance(found, dict) else set()
    return None if conditions <= {"service_started"} else f"{name}: waits for {sorted(conditions)}"


def no_address_from_variables(name: str, service: Json) -> str | None:
    """No .env that was written for this machine reaches a container."""
    if "env_file" in service:
        return f"{name}: takes variables from a file"
    for variable, value in (service.get("environment") or {}).items():
        if variable.endswith("DATABASE_URL") and "$" in f"{value}":
            return f"{name}: {variable} is taken from a variable"
    return None


RULES: tuple[Callable[[str, Json], str | None], ...] = (
    on_loopback,
    pinned,
    bounded,
    confined,
    comes_back,
    watched,
    ordered_only,
    no_address_from_variables,
)


def faults(compose: Json) -> list[str]:
    """A line for each rule that a service breaks."""
    services = compose["services"].items()
    return [line for name, service in services for rule in RULES if (line := rule(name, service)) is not None]
