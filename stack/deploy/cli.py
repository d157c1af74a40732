"""`stack deploy`, `stack rollback` and `stack deployments`."""

import argparse
import json
from pathlib import Path
from typing import Any

from stack.folders import DEFAULT_DATA, PROJECT_ROOT

DEPLOY_EXAMPLES = """\
examples:
  stack up --replicas 2                  in one terminal: PostgreSQL, HAProxy and two replicas of HEAD
  stack deploy v1.4                      in another: replace them by the commit that v1.4 names, one after the other
  stack deploy main --source ~/api       of another repository
  stack deploy HEAD --json | jq .result  the record alone, for a machine
  stack deploy --compose taskmanager-api:1.4
                                         the containers of docker/compose.replicas.yml, by an image
  stack rollback                         back to the release before, where the schema allows that
  stack deployments                      how the last ones went

What it does: fetches the release; looks for what is dangerous in its migrations; proves on a scratch database that the
release which serves now can live with them; sees to a fresh backup, where backups are configured; migrates, once; and
then, for each replica: starts the new one beside it, waits until it is ready, creates, reads and deletes a task on it,
switches it in, lets the old one finish its requests, watches the errors, and ends the old one. Where anything goes
wrong the old release is put back by itself. Its requests are served throughout.

Ctrl-C finishes the running step and takes back what was begun; a second one leaves the launcher alone with that. A
terminal that is closed changes nothing: the deployment goes on.

exit codes:
  0   deployed
  1   failed before a replica was touched; the reason is named
  2   wrong usage
  4   another deployment is at work
  5   refused by the pre-flight: nothing was touched, and what to do is named
  6   rolled back: the old release serves, and the reason is named
  7   the way back failed too: look at what serves (stack deployments, /health) and act
  69  no `stack up --replicas` runs with these data
  130 Ctrl-C before the order was given
"""
ROLLBACK_EXAMPLES = """\
examples:
  stack rollback            to the release that served before this one
  stack rollback 9f3c01a    to a certain one

Migrations are not taken back: the older release has to live with the schema as it is. It is asked itself, by its own
`taskmanager status`, and where the ledger says that it cannot, nothing is touched (5), and the safe way is named:
roll forward. For the other exit codes: stack deploy --help.
"""
DEPLOYMENTS_EXAMPLES = """\
examples:
  stack deployments              the last twenty, and how many of the last ten succeeded
  stack deployments --steps 7    what the deployment 7 did, step by step
  stack deployments --json       all records, oldest first

exit codes:
  0   told    1   the file cannot be read, or there is no such deployment    2   wrong usage
"""


def add_parsers(commands: "argparse._SubParsersAction[Any]") -> None:
    """The three verbs; each sets `run`."""
    deploy = _parser(
        commands, "deploy", "replace the replicas by another release, without a lost request", DEPLOY_EXAMPLES
    )
    deploy.add_argument("reference", metavar="RELEASE", help="a branch, tag or commit")
    _add_order_options(deploy)
    deploy.set_defaults(run=_order, verb="deploy")
    back = _parser(commands, "rollback", "go back to an older release, where the schema allows that", ROLLBACK_EXAMPLES)
    back.add_argument("reference", metavar="RELEASE", nargs="?", default="", help="(default: the one before)")
    _add_order_options(back)
    back.set_defaults(run=_order, verb="rollback")
    listed = _parser(commands, "deployments", "how the last deployments went", DEPLOYMENTS_EXAMPLES)
    _add_data(listed)
    listed.add_argument("--steps", type=int, metavar="ID", help="what one of them did, step by step")
    listed.add_argument("--json", action="store_true", help="print the records as JSON")
    listed.set_defaults(run=_deployments)


def _parser(commands: "argparse._SubParsersAction[Any]", name: str, about: str, epilog: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _add_order_options(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    parser.add_argument(
        "--source",
        type=Path,
        default=PROJECT_ROOT,
        metavar="REPOSITORY",
        help="the git repository of the release (default: that of this launcher)",
    )
    parser.add_argument(
        "--compose",
        action="store_true",
        help="RELEASE is an image, and the replicas are those of docker/compose.replicas.yml in --source",
    )
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="FILE",
        help="with --compose: the project's files, in their order",
    )
    parser.add_argument("--json", action="store_true", help="print the record as JSON, and the progress nowhere")


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, metavar="FOLDER", help="that of `stack up` (default: .data)"
    )


def _order(options: argparse.Namespace) -> int:
    # Not before: --help and wrong usage need none of it.
    from stack.deploy.follow import do, follow

    if options.compose:
        from stack.deploy.compose_site import FILES, ComposeOptions, deploy

        own = ComposeOptions(options.data, options.source, tuple(options.file) or FILES)
        return do(lambda listen: deploy(own, options.verb, options.reference, listen), as_json=options.json)
    return follow(options.data, options.verb, options.reference, options.source, as_json=options.json)


def _deployments(options: argparse.Namespace) -> int:
    from stack.deploy import record as records
    from stack.deploy.listing import print_records, print_steps
    from stack.errors import StackError

    found = records.read(options.data)
    if options.json:
        print(json.dumps([record.as_json() for record in found], indent=2))
    elif options.steps is None:
        print_records(found)
    else:
        chosen = next((record for record in found if record.id == options.steps), None)
        if chosen is None:
            raise StackError(f"there is no deployment {options.steps}: stack deployments lists them")
        print_steps(chosen)
    return 0
