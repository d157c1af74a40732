"""Ten good deployments in a row and an eleventh bad one, each with a migration, under a constant load.

    make prove-deployments
    python -m tests.deployments.prove --rate 50 --rows 900000

It is proven where no request failed over all eleven, the bad one was rolled back by itself within a minute, and the
release before it answered throughout. The figures go to docs/deployment-proof.md, what they are made of to
docs/proof/deployments.json. The exit status is 1 where it is not proven, and both files say so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from stack.deploy.haproxy_process import find_haproxy
from tests import plain_http
from tests.alerts.rig import end_in_order_on_sigterm
from tests.conftest import forget_settings
from tests.deployments import proof_page
from tests.deployments.rig import Deployed, Rig, UnderLoad
from tests.deployments.trees import NEVER_READY, Made, Releases, add_column, build_index
from tests.processes import ROOT

RAW = ROOT / "docs" / "proof" / "deployments.json"
PAGE = ROOT / "docs" / "deployment-proof.md"
# "One of them long": under ten seconds it would not show that the load goes on beside it.
LONG_S = 10.0
WORDS = "to_tsvector('english', title || ' ' || description)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.deployments.prove",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--good", type=int, default=10, help="good deployments (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second (default: %(default)g)")
    parser.add_argument("--rows", type=int, default=900_000, help="in the table of tasks (default: %(default)s)")
    parser.add_argument("--no-files", action="store_true", help="print the proof and write nothing")
    options = parser.parse_args(arguments)
    forget_settings()
    end_in_order_on_sigterm()
    find_haproxy()
    proof = run(options.good, options.rate, options.rows)
    proof["faults"] = faults(proof)
    if not options.no_files:
        RAW.parent.mkdir(exist_ok=True)
        RAW.write_text(json.dumps(proof, indent=1) + "\n")
        PAGE.write_text(proof_page.page(proof))
    print(proof_page.page(proof))
    for fault in proof["faults"]:
        print(f"NOT PROVEN: {fault}", file=sys.stderr)
    return 1 if proof["faults"] else 0


def run(good: int, rate: float, rows: int) -> dict[str, Any]:
    """Everything, once; what was seen."""
    with tempfile.TemporaryDirectory(prefix="deployments-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)  # PostgreSQL's account passes through
        releases = Releases(folder / "releases")
        made = [_good(releases, number, good) for number in range(1, good + 1)]
        bad = releases.release("never ready", add_column("note_of_the_bad_one"), **NEVER_READY)
        with Rig(folder, releases) as rig:
            rig.rows(rows)
            _say(f"two replicas serve, {rows} tasks; {rate:g} requests a second from now on")
            with UnderLoad(rig.url, rate) as load:
                deployed = [_deploy(rig, each) for each in made]
                with _Watching(rig.url) as answering:
                    last = _deploy(rig, bad)
            return {
                "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                "host": {"processors": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()},
                "replicas": 2,
                "rate": rate,
                "rows": rows,
                "good": [each.record for each in deployed],
                "bad": last.record,
                "exit_codes": [each.code for each in (*deployed, last)],
                "answering_during_the_bad_one": dict(answering.commits),
                "serves_afterwards": rig.version(),
                "load": load.tally,
            }


def _good(releases: Releases, number: int, of: int) -> Made:
    """The one in the middle is long."""
    if number == (of + 1) // 2:
        return releases.release("a long migration", build_index("tasks_stems_idx", f"USING gin ({WORDS})"))
    return releases.release(f"release {number}", add_column(f"note_{number}"))


def _deploy(rig: Rig, made: Made) -> Deployed:
    done = rig.order("deploy", made.commit)
    record = done.record
    _say(f"{made.commit[:12]}: {record.get('result', done.errors)} after {record.get('seconds')} s")
    return done


class _Watching:
    """Which release answers at the public port, asked again and again for as long as the block lasts."""

    def __init__(self, url: str) -> None:
        self.commits: Counter[str] = Counter()
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="who answers")

    def _ask(self) -> None:
        while not self._ended.wait(0.25):
            try:
                self.commits[plain_http.get(f"{self._url}/version", timeout=10).json()["commit"]] += 1
            except (httpx.HTTPError, ValueError, KeyError) as error:
                self.commits[f"no answer: {type(error).__name__}"] += 1

    def __enter__(self) -> _Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def faults(proof: dict[str, Any]) -> list[str]:
    """Why this is no proof; nothing where it is one."""
    found = []
    if (failed := proof["load"]["failed"]) or not proof["load"]["answers"]:
        found.append(f"{failed} of {proof['load']['sent']} requests failed")
    counted = sum(proof["load"]["answers"].values()) + sum(proof["load"]["lost"].values())
    if counted != proof["load"]["sent"]:
        found.append(f"of {proof['load']['sent']} requests {counted} were counted")
    for number, record in enumerate(proof["good"], 1):
        if record.get("result") != "succeeded":
            found.append(f"the good deployment {number} is {record.get('result')}: {record.get('reason')}")
    if max(map(migration_s, proof["good"]), default=0.0) < LONG_S:
        found.append(f"no migration took {LONG_S:g} s")
    bad = proof["bad"]
    if bad.get("result") != "rolled_back":
        found.append(f"the bad deployment is {bad.get('result')}")
    elif (took := rollback_s(bad)) > 60:
        found.append(f"its rollback took {took:.0f} s")
    previous = bad.get("previous")
    if {*proof["answering_during_the_bad_one"]} != {previous} or proof["serves_afterwards"] != previous:
        found.append("another release than the one before answered during the bad deployment, or none")
    return found


def migration_s(record: dict[str, Any]) -> float:
    """How long the migration of a deployment took, in seconds."""
    return sum(step["seconds"] for step in record.get("steps", ()) if step["step"] == "migrate")


def rollback_s(record: dict[str, Any]) -> float:
    """From the start of the first new replica until the release before served alone again, in seconds."""
    names = [step["step"] for step in record["steps"]]
    return sum(step["seconds"] for step in record["steps"][names.index("migrate") + 1 :])


def _say(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
