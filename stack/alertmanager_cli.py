"""`stack alertmanager render`: Alertmanager's whole configuration, with the receivers that the environment names."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from stack.alert_variables import VARIABLES
from stack.errors import StackError

_DESCRIPTION = """\
Prints ops/alertmanager/alertmanager.yml with the receivers that the environment, or .env, names. It may hold addresses
that are secrets, so a file gets mode 0600."""
_WIDTH = max(map(len, VARIABLES)) + 2
_EPILOG = (
    "examples:\n"
    "  ALERT_SLACK_URL_FILE=/run/secrets/slack stack alertmanager render --output alertmanager.yml --check\n"
    "\nenvironment:\n" + "".join(f"  {name:{_WIDTH}}{purpose}\n" for name, purpose in VARIABLES.items())
)


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """The command `alertmanager` and its own commands."""
    alertmanager = commands.add_parser("alertmanager", help="write Alertmanager's configuration")
    own = alertmanager.add_subparsers(required=True, metavar="COMMAND")
    render = own.add_parser(
        "render",
        help="the configuration with the receivers that the environment names",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    render.add_argument("--output", type=Path, metavar="FILE", help="write it there instead of printing it")
    render.add_argument(
        "--templates",
        metavar="PATTERN",
        help="the templates' files as Alertmanager will see them, in a container for instance "
        "(default: ops/alertmanager/templates/*.tmpl of this folder)",
    )
    render.add_argument(
        "--check",
        action="store_true",
        help="let amtool check it, and see whether the files it names can be read here; prints no configuration",
    )
    render.set_defaults(run=_render)


def _render(options: argparse.Namespace) -> int:
    from stack.monitoring.receivers import alert_variables, file_faults, render
    from stack.private_file import write_private
    from stack.user_settings import read_user_settings

    variables = alert_variables(read_user_settings())
    text = render(variables, templates=options.templates)
    if options.check:
        if faults := file_faults(variables):
            raise StackError("\n".join(faults))
        if (status := _check(text)) != 0:
            return status
    if options.output is not None:
        write_private(options.output, text)
    elif not options.check:
        print(text, end="")
    return 0


def _check(text: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "alertmanager.yml"
        file.touch(mode=0o600)
        file.write_text(text)
        try:
            done = subprocess.run(["amtool", "check-config", file], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise StackError("--check needs amtool, which comes with Alertmanager, in PATH") from None
    print(f"{done.stdout}{done.stderr}".strip(), file=sys.stderr)
    return min(done.returncode, 1)
