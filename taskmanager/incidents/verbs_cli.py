"""What the verbs of `taskmanager incidents` do."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from taskmanager.incidents import variables
from taskmanager.incidents.client import NO_ANSWER, CommandFailed, JournalFile, Server, Source
from taskmanager.incidents.deployments import suspects
from taskmanager.incidents.terminal import LIST_HEADER, Painter, details, list_row, table
from taskmanager.incidents.variables import DEFAULT_JOURNAL, DEFAULT_URL


def run(options: argparse.Namespace) -> int:
    """Run the verb that `does` names, tell in one line what it could not do, and return its exit status."""
    try:
        return _VERBS[options.does](options)
    except CommandFailed as error:
        print(f"taskmanager: incidents: {error}", file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # `… | head` has seen enough; Python must not try to write the rest as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _serve(options: argparse.Namespace) -> int:
    from taskmanager.incidents import serving

    return serving.serve(
        serving.ServeOptions(
            options.host,
            options.port,
            options.journal,
            options.watchdog_timeout.total_seconds(),
            options.expect_watchdog,
            options.reopen_within,
            options.alertmanager,
            options.gone_after.total_seconds(),
        )
    )


def _list(options: argparse.Namespace) -> int:
    source = _source(options)
    incidents = source.incidents(options.state)
    _warn_of_damage(source)
    if options.json:
        return _print_json(incidents)
    if not incidents:
        print("No incident is open." if options.state == "open" else "There is no such incident.")
        return 0
    print(table(LIST_HEADER, [list_row(incident) for incident in incidents], Painter()))
    return 0


def _show(options: argparse.Namespace) -> int:
    source = _source(options)
    incident = source.incident(options.id)
    before = suspects(incident, source.deployments())
    if options.json:
        return _print_json({**incident, "deployments_before": before})
    print(details(incident, Painter(), before))
    return 0


def _act(options: argparse.Namespace) -> int:
    incident = Server(_url(options)).act(options.id, options.verb, _by(options), " ".join(options.words))
    if options.json:
        return _print_json(incident)
    done = {"acknowledge": "is acknowledged", "notes": "has the note", "resolve": "is resolved"}[options.verb]
    print(f"Incident {incident['id']} ({incident['code']}) {done}, by {_by(options)}.")
    return 0


def _deployment(options: argparse.Namespace) -> int:
    if not options.version and not options.commit:
        raise CommandFailed("say what was deployed: --version, or --commit, or both", 2)
    words = {"version": options.version, "commit": options.commit, "env": options.env, "result": options.result}
    words["text"] = " ".join(options.words)
    body = {name: value for name, value in words.items() if value}
    entry = Server(_url(options)).deploy({"by": _by(options), **body})
    if options.json:
        return _print_json(entry)
    print(f"Recorded at {entry['at']}: {', '.join(f'{name} {value}' for name, value in entry['facts'].items())}.")
    return 0


def _postmortem(options: argparse.Namespace) -> int:
    from taskmanager.incidents.postmortem.facts import Addresses
    from taskmanager.incidents.postmortem.writing import write

    source = _source(options)
    addresses = Addresses(options.prometheus, options.alertmanager, options.service, options.ledger)
    text = write(source.incident(options.id), source.deployments(), addresses, options.lang, options.before)
    if options.output is None:
        print(text, end="")
        return 0
    try:
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{options.output} cannot be written: {os.strerror(error.errno or 0)}") from None
    print(f"The draft is in {options.output}.", file=sys.stderr)
    return 0


def _prune(options: argparse.Namespace) -> int:
    from taskmanager.incidents.pruning import prune as take_off

    if options.older_than is None and options.forget is None and options.retire is None:
        raise CommandFailed("say what is to be taken off: --older-than 365d, --forget NAME or --retire ENV", 2)
    before = datetime.now(UTC) - options.older_than if options.older_than else None
    print(take_off(options.journal, before, options.forget, options.retire))
    return 0


def _source(options: argparse.Namespace) -> Source:
    if options.journal is not None:
        return JournalFile(options.journal)
    server = Server(_url(options))
    try:
        server.damaged_lines()
    except CommandFailed as error:
        if error.status == NO_ANSWER and DEFAULT_JOURNAL.is_file():
            raise CommandFailed(f"{error}; its journal can be read: --journal {DEFAULT_JOURNAL}", NO_ANSWER) from None
        raise
    return server


def _warn_of_damage(source: Source) -> None:
    for line in source.damaged_lines():
        print(f"taskmanager: incidents: line {line} of the journal is damaged and left out", file=sys.stderr)


def _url(options: argparse.Namespace) -> str:
    url: str = options.url or variables.variable(variables.URL) or DEFAULT_URL
    return url


def _by(options: argparse.Namespace) -> str:
    if options.by:
        by: str = options.by
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise CommandFailed("this login has no name; say who you are, or a role: --by on-call", 2) from None


def _print_json(content: Any) -> int:
    print(json.dumps(content, indent=2, ensure_ascii=False))
    return 0


_VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "serve": _serve,
    "list": _list,
    "show": _show,
    "act": _act,
    "deployment": _deployment,
    "postmortem": _postmortem,
    "prune": _prune,
}
