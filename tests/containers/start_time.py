"""From the start of a container to its first list of tasks, ours beside the brief's own corrected image.

    python -m tests.containers --images
    python -m tests.containers.engine exec -- python -m tests.containers.start_time --rounds 7

Both are development, without keys, as the brief's is; both have PostgreSQL on the same network. Rounds alternate. In
each, an image starts twice: on an empty database, to which all migrations are applied, and on the same one, now up to
date. A container is made beforehand; the clock runs from `docker start` until /tasks has answered 200.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import uuid

import httpx

from tests import plain_http
from tests.containers.containers import Containers
from tests.containers.engine import Engine, EngineLacking, find_engine
from tests.containers.postgresql import ALIAS, PostgreSQL, postgresql
from tests.containers.prepare import BRIEF_AFTER, IMAGE

IMAGES = {"brief": BRIEF_AFTER, "ours": IMAGE}
DATABASES = ("empty", "up to date")

Times = dict[str, dict[str, list[float]]]


def measure(engine: Engine, rounds: int) -> Times:
    """Seconds, by the state of the database and by image, one for each round."""
    times: Times = {state: {name: [] for name in IMAGES} for state in DATABASES}
    network = f"start-time-{uuid.uuid4().hex[:8]}"
    engine.run("network", "create", network)
    try:
        with postgresql(engine, network) as server:
            _measure(server, Containers(engine, network), rounds, times)
    finally:
        engine.run("network", "rm", network)
    return times


def _measure(server: PostgreSQL, containers: Containers, rounds: int, times: Times) -> None:
    for number in range(rounds):
        # Who comes second in one round comes first in the next.
        order = list(IMAGES) if number % 2 == 0 else list(reversed(IMAGES))
        for name in order:
            url = f"postgresql://user:password@{ALIAS}:5432/{server.create_database()}"
            for state in DATABASES:
                times[state][name].append(_time_to_first_list(containers, IMAGES[name], url))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)


def _time_to_first_list(containers: Containers, image: str, url: str) -> float:
    variables = {"DATABASE_URL": url, "TASKMANAGER_ENV": "development"}
    container = containers.create(image, environment=variables)
    started = time.monotonic()
    containers.start_at_once(container)
    address = container.url
    while not _lists_tasks(address):
        if time.monotonic() - started > 120:
            raise TimeoutError(container.logs)
        time.sleep(0.01)
    took = time.monotonic() - started
    container.engine.run("rm", "--force", "--volumes", container.identity)
    return took


def _lists_tasks(address: str) -> bool:
    try:
        return plain_http.get(f"{address}/tasks", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def table(times: Times) -> str:
    lines = [f"{'database':<12} {'image':<7} {'median':>8} {'best':>8} {'worst':>8}   rounds (s)"]
    for state, images in times.items():
        for name, values in images.items():
            figures = f"{statistics.median(values):>8.2f} {min(values):>8.2f} {max(values):>8.2f}"
            lines.append(f"{state:<12} {name:<7} {figures}   {' '.join(f'{value:.2f}' for value in values)}")
        less = 1 - statistics.median(images["ours"]) / statistics.median(images["brief"])
        lines.append(f"{state:<12} ours takes {less:.0%} less, by the medians")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.containers.start_time", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print the seconds of each round as JSON")
    options = parser.parse_args()
    try:
        engine = find_engine()
    except EngineLacking as lacking:
        print(f"containers: {lacking}", file=sys.stderr)
        return 1
    if not engine.is_for_running:
        print("start_time: run it by: python -m tests.containers.engine exec -- …, see --help", file=sys.stderr)
        return 1
    times = measure(engine, options.rounds)
    print(json.dumps(times, indent=2) if options.json else table(times))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
