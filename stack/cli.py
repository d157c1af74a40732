"""`stack up`, which `make run` runs, and its neighbours: reads the command line, and says in one line what is wrong."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from stack import alertmanager_cli
from stack.deploy import cli as deploy_cli
from stack.errors import StackError
from stack.folders import DEFAULT_DATA, PROJECT_ROOT

DESCRIPTION = "Runs TaskManager API on this machine with a PostgreSQL of its own, no Docker needed. `make run` runs it."
INTERRUPTED = 130
EXAMPLES = """\
examples:
  make run                            installs what is needed, then runs `.venv/bin/stack up`
  stack up                            http://127.0.0.1:8000, data in .data
  stack up --port 8001                another port (or: make run PORT=8001)
  stack up --data .data/other         other data (or: make run DATA=.data/other)
  stack up --host 0.0.0.0             reachable from other machines (or: make run HOST=0.0.0.0)
  DATABASE_URL=postgresql://… stack up
                                      a server of yours, none is started
  stack up --replicas 2               two replicas of HEAD behind HAProxy: stack deploy replaces them
  stack up --monitoring               with Prometheus, Alertmanager and the incident receiver, where this machine has
                                      them (make run does so by itself; make run MONITORING=off does not)

environment:
  PORT                        the port, unless --port is given
  DATABASE_URL, MIGRATION_DATABASE_URL
                              both from the environment, or both from .env (TASKMANAGER_ENV_FILE names
                              another file, empty: none)
  TASKMANAGER_POSTGRES_BIN    the bin folder of the PostgreSQL to run
  TASKMANAGER_METRICS_KEY_FILE
                              a file with the key that Prometheus shows to the service, where that asks for one;
                              unset, one is made for each run
  ALERT_EMAIL_TO, ALERT_SLACK_URL, …
                              who gets alerts, beside the incident receiver: stack alertmanager render --help

exit codes:
  0 stopped by Ctrl-C, SIGTERM or SIGHUP    1 something did not start, or ended by itself
  2 wrong usage    3 a port is taken    4 another `make run` uses the folder
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code listed in --help."""
    if sys.platform == "win32":
        return _complain("this launcher needs Linux or macOS: use WSL, or `docker compose up`", 1)
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except StackError as error:
        return _complain(str(error), error.exit_code)
    except OSError as error:
        return _complain(f"the system refused: {error}", 1)
    except ModuleNotFoundError as error:
        # Installed from the wheel, the service has what it needs and the launcher has not.
        return _complain(f"stack works in a clone, after `make install`: here {error.name} is not installed", 1)
    except KeyboardInterrupt:
        # Of `up` it is the usual end. To others 0 would say that what was asked for is done.
        return 0 if options.command == "up" else INTERRUPTED


def _up(options: argparse.Namespace) -> int:
    # Not before: --help and wrong usage need none of it.
    from stack.monitoring.beside_service import Choice, MonitoringOptions
    from stack.monitoring.free_ports import AskedPorts
    from stack.up import Options, run_until_stopped

    ports = AskedPorts(options.prometheus_port, options.alertmanager_port, options.incidents_port)
    monitoring = MonitoringOptions(Choice(options.monitoring), ports)
    replicas = None
    if options.replicas is not None:
        from stack.deploy.replicas import ReplicaOptions

        replicas = ReplicaOptions(options.replicas, options.source.absolute(), options.release)
    elif options.release:
        raise StackError("--release needs --replicas: without them, the working tree is served as it is")
    return run_until_stopped(
        Options(options.host, options.port, options.data, monitoring=monitoring, replicas=replicas)
    )


def _complain(lines: str, code: int) -> int:
    for line in lines.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse would print the usage too."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="stack",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_up(commands)
    deploy_cli.add_parsers(commands)
    alertmanager_cli.add_parser(commands)
    return parser


def _add_up(commands: "argparse._SubParsersAction[_Parser]") -> None:
    up = commands.add_parser(
        "up",
        help="run PostgreSQL and the service until Ctrl-C",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    up.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    up.add_argument(
        "--port",
        type=_port,
        # A string, so that argparse checks what PORT holds like an argument.
        default=os.environ.get("PORT") or "8000",
        help="port to listen on (default: PORT in the environment, else 8000)",
    )
    up.add_argument(
        "--data",
        type=Path,
        default=DEFAULT_DATA,
        metavar="FOLDER",
        help="where the data are kept (default: .data)",
    )
    up.add_argument(
        "--monitoring",
        nargs="?",
        choices=("on", "auto", "off"),
        const="on",
        default="off",
        help="start Prometheus, Alertmanager and the incident receiver too; auto: where this machine has them; "
        "lacking them, the service runs on without (default: off; without a value: on)",
    )
    for program, usual in (("prometheus", 9090), ("alertmanager", 9093), ("incidents", 9095)):
        up.add_argument(
            f"--{program}-port",
            type=_port,
            metavar="PORT",
            help=f"where it listens, on this machine alone (default: {usual}, or the next that is free)",
        )
    up.add_argument(
        "--replicas",
        type=_replicas,
        metavar="N",
        help="serve by N replicas of a release, behind HAProxy, which `stack deploy` replaces without a lost request "
        "(default: the working tree, alone)",
    )
    up.add_argument(
        "--release", default="", metavar="REF", help="with --replicas: the commit to serve (default: the last, or HEAD)"
    )
    up.add_argument(
        "--source",
        type=Path,
        default=PROJECT_ROOT,
        metavar="REPOSITORY",
        help="with --replicas: the git repository of the release (default: that of this launcher)",
    )
    up.set_defaults(run=_up)


def _replicas(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 32:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of replicas: from 1 to 32")
    return int(text)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 1 to 65535 is needed")
    return int(text)
