"""`taskmanager incidents`: serve the receiver, read its history, and write into it."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from pathlib import Path

from taskmanager.incidents import variables
from taskmanager.incidents.deployments import Result
from taskmanager.incidents.variables import DEFAULT_JOURNAL, DEFAULT_URL

_EXAMPLES = """\
examples:
  taskmanager incidents serve                            take Alertmanager's webhooks on http://127.0.0.1:9095/alerts
  taskmanager incidents list                             what is open now; --state all has the whole history
  taskmanager incidents show 3                           one incident, with all that happened
  taskmanager incidents ack 3                            take it up, so that others know
  taskmanager incidents note 3 the disk was full         add what you found
  taskmanager incidents resolve 3 space freed            close what no alert closes
  taskmanager incidents deployment --version 1.4.0 --commit 9f3c01a --result succeeded
  taskmanager incidents postmortem 3 --lang fr --prometheus http://localhost:9090 --output postmortem.md
  taskmanager incidents list --journal .data/incidents/journal.jsonl
                                                         read the file itself, while no server answers

These commands need neither the service nor its settings nor a database. TASKMANAGER_INCIDENTS_KEY or
TASKMANAGER_INCIDENTS_KEY_FILE holds the receiver's key, for serving and for asking; TASKMANAGER_INCIDENTS_URL its
address; TASKMANAGER_INCIDENTS_ALERTMANAGER is that of the Alertmanager which serving asks, and
TASKMANAGER_INCIDENTS_WEBHOOK_URL_FILE or TASKMANAGER_INCIDENTS_WEBHOOK_URL that of the webhook which is told when
alerting is silent.

A name given by --by, or your login without it, is personal data that the journal keeps. --by on-call names a role.

exit status:
  0   it went well                       5   it is acknowledged or resolved already
  1   an error that the message names    69  the receiver does not answer
  2   wrong usage                        77  the receiver wants another key
  3   there is no such incident          78  a setting cannot be used, or is not safe enough to serve with
  4   another process writes to the journal
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verb `incidents` and its own verbs. Each sets `run_alone`: it is run without the service's settings."""
    incidents = verbs.add_parser(
        "incidents",
        help="the incident history: receive alerts, list, note, resolve, write post-mortems",
        description="Incidents: who was told what and when, kept while PostgreSQL and the service are down.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own = incidents.add_subparsers(required=True, metavar="VERB")
    _add_serve(own)
    _add_reading(own)
    _add_writing(own)
    _add_postmortem(own)
    _add_prune(own)


def _run(options: argparse.Namespace) -> int:
    # Here and not above: `taskmanager serve` must not wait for these imports.
    from taskmanager.incidents import verbs_cli

    return verbs_cli.run(options)


def _add_serve(own: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = own.add_parser("serve", help="take Alertmanager's webhooks and keep the journal")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; another one needs a key")
    serve.add_argument("--port", type=int, default=9095, help="port to listen on (default: %(default)s)")
    serve.add_argument("--journal", type=Path, default=DEFAULT_JOURNAL, metavar="PATH", help="default: %(default)s")
    serve.add_argument(
        "--watchdog-timeout",
        type=_duration,
        default=timedelta(seconds=60),
        metavar="TIME",
        help="open an incident when the Watchdog has not come for so long: 90s, 5m (default: 60s)",
    )
    serve.add_argument("--expect-watchdog", action="store_true", help="also when it has never come yet")
    serve.add_argument(
        "--reopen-within",
        type=_duration,
        default=timedelta(minutes=5),
        metavar="TIME",
        help="an alert that comes back so soon reopens its incident (default: 5m)",
    )
    serve.add_argument(
        "--alertmanager",
        metavar="URL",
        help="ask it every 15 s whether the alerts of open incidents are still there, such as http://localhost:9093"
        f" (default: {variables.ALERTMANAGER}, or nobody is asked)",
    )
    serve.add_argument(
        "--gone-after",
        type=_duration,
        default=timedelta(minutes=2),
        metavar="TIME",
        help="resolve an incident whose alert it has not had for so long; longer than its group_interval (default: 2m)",
    )
    serve.set_defaults(run_alone=_run, does="serve")


def _add_reading(own: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    list_ = own.add_parser("list", help="the incidents, newest first")
    list_.add_argument("--state", choices=("open", "resolved", "all"), default="open", help="default: %(default)s")
    _add_source(list_)
    _add_json(list_)
    list_.set_defaults(run_alone=_run, does="list")
    show = own.add_parser("show", help="one incident, with all that happened")
    show.add_argument("id", type=_id, metavar="ID")
    _add_source(show)
    _add_json(show)
    show.set_defaults(run_alone=_run, does="show")


def _add_source(parser: argparse.ArgumentParser) -> None:
    _add_url(parser)
    parser.add_argument("--journal", type=Path, metavar="PATH", help="read this file instead of asking the receiver")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _add_url(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help=f"the receiver's address (default: {variables.URL}, or {DEFAULT_URL})")


def _add_writing(own: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, verb, help_ in (
        ("ack", "acknowledge", "take an incident up, so that others know"),
        ("note", "notes", "add what you found or did"),
        ("resolve", "resolve", "close an incident that no alert closes"),
    ):
        parser = own.add_parser(name, help=help_)
        parser.add_argument("id", type=_id, metavar="ID")
        parser.add_argument("words", nargs="+" if name == "note" else "*", metavar="TEXT", help="a few words")
        _add_by(parser)
        parser.set_defaults(run_alone=_run, does="act", verb=verb)
    deployment = own.add_parser("deployment", help="record that a release was deployed, for the timelines")
    deployment.add_argument("--version", help="the release, such as 1.4.0")
    deployment.add_argument("--commit", help="the commit that it was built from")
    deployment.add_argument("--env", help="where, such as production")
    deployment.add_argument("--result", choices=tuple(Result), help="how it ended (default: not told, and not counted)")
    deployment.add_argument("words", nargs="*", metavar="TEXT", help="a few words")
    _add_by(deployment)
    deployment.set_defaults(run_alone=_run, does="deployment")


def _add_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--by", help="who: a name, or a role such as on-call (default: your login); the journal keeps it"
    )
    _add_url(parser)
    _add_json(parser)


def _id(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no incident's number; `taskmanager incidents list` shows them")
    return int(text)


_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})([smhd]?)", text, re.ASCII)
    if match is None or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 5m, 2h or 1d")
    return timedelta(seconds=int(match[1]) * _UNITS_S[match[2] or "s"])


def _add_postmortem(own: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = own.add_parser(
        "postmortem",
        help="write an incident's post-mortem, its timeline taken from what recorded it",
        description="A draft in Markdown: times, durations and failed requests are taken from the sources, what only"
        " people know is left to them. A source that does not answer is named in the document.",
    )
    parser.add_argument("id", type=_id, metavar="ID")
    parser.add_argument("--lang", choices=("en", "fr"), default="en", help="default: %(default)s")
    parser.add_argument("--prometheus", metavar="URL", help="such as http://localhost:9090")
    parser.add_argument("--alertmanager", metavar="URL", help="such as http://localhost:9093")
    parser.add_argument("--service", metavar="URL", help="such as http://localhost:8000")
    parser.add_argument(
        "--ledger",
        action="store_true",
        help="ask the database for the runs of migrations too, by `migration-gate ledger show`",
    )
    parser.add_argument(
        "--before",
        type=_duration,
        default=timedelta(minutes=15),
        metavar="TIME",
        help="how long before the incident the timeline begins (default: 15m)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it there instead of printing it")
    _add_source(parser)
    parser.set_defaults(run_alone=_run, does="postmortem")


def _add_prune(own: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = own.add_parser(
        "prune",
        help="take old incidents, or a person's name, off a journal that no server uses",
        description="Rewrites the journal; the server must be stopped. Open incidents stay, and so do the numbers.",
    )
    parser.add_argument("--journal", type=Path, default=DEFAULT_JOURNAL, metavar="PATH", help="default: %(default)s")
    parser.add_argument("--older-than", type=_duration, metavar="TIME", help="take off what was resolved before: 365d")
    parser.add_argument("--forget", metavar="NAME", help="write (forgotten) instead of NAME, wherever it acted")
    parser.add_argument("--retire", metavar="ENV", help="wait no longer for the Watchdog of this environment")
    parser.set_defaults(run_alone=_run, does="prune")
