"""`make containers`: find or start an engine, have the images, run the tests beside the ports, and stop it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from tests.containers.engine import HOW_TO_GET_ONE, CommandFailed, Engine, EngineLacking, find_engine
from tests.containers.prepare import prepare
from tests.containers.private_engine import EngineDidNotStart
from tests.processes import ROOT

_EXAMPLES = """\
examples:
  make containers                              all of it
  make containers ARGS="-k sigterm"            tests by name; what pytest understands is handed on
  python -m tests.containers --images          have the images only, and leave the engine running
  python -m tests.containers --keep            leave the engine running when the tests are over

exit status: that of the tests; 1 where no engine can be had or an image cannot be built, which the message explains.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.containers",
        description="Try the images and the compose file on a real engine.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--images", action="store_true", help="have the images, and run nothing")
    parser.add_argument("--keep", action="store_true", help="leave a private engine running")
    options, for_pytest = parser.parse_known_args()
    try:
        engine = find_engine()
    except EngineLacking as lacking:
        # Who asks for this asks for an engine: to pass without one would say that all was tried.
        print(f"containers: {lacking}; {HOW_TO_GET_ONE}", file=sys.stderr)
        return 1
    try:
        _say(f"engine: {engine.name}")
        prepare(engine, _say)
        engine.use("own")
        return 0 if options.images else _test(engine, for_pytest)
    except (EngineLacking, EngineDidNotStart, CommandFailed) as error:
        print(f"containers: {error}", file=sys.stderr)
        return 1
    finally:
        if engine.private is not None and not options.images and not options.keep:
            engine.private.stop()


def _test(engine: Engine, arguments: list[str]) -> int:
    started = time.monotonic()
    command = [*engine.prefix(), sys.executable, "-m", "pytest", "-n", "0", "-v", "tests/containers", *arguments]
    status = subprocess.run(command, cwd=ROOT, env=os.environ | engine.variables, check=False).returncode
    _say(f"the tests took {time.monotonic() - started:.0f} s")
    return status


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
