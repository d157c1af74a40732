"""`taskmanager incidents …`: what people and machines see, and exit statuses."""

from __future__ import annotations

import http.server
import json
import os
import pty
import re
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from taskmanager.incidents.entries import Alert, Entry, Kind, line_of
from taskmanager.settings import load_settings
from tests.processes import free_port, run
from tests.taskmanager.incidents.receivers import BROKEN_SETTINGS, COMMAND, Receivers, alert

T0 = datetime(2025, 11, 27, 21, 8, 50, tzinfo=UTC)
KEY = "key-canary-of-the-receiver-4711"


def _alert(fingerprint: str, name: str, code: str, severity: str) -> Alert:
    labels = {"alertname": name, "severity": severity, "service": "taskmanager", "env": "production", "code": code}
    return Alert(fingerprint, code, labels, {"runbook": f"docs/runbooks/{code}.md"}, T0)


def journal_of_a_day(folder: Path) -> Path:
    """Two incidents, one resolved and one open, and a deployment."""
    failed = _alert("ab", "MigrationFailed", "migration_failed", "critical")
    slow = _alert("cd", "HighResponseTime", "high_response_time", "warning")
    entries = [
        Entry(Kind.DEPLOYMENT, T0, "ada", text="on time", facts={"version": "1.4.0", "commit": "9f3c01a"}),
        Entry(Kind.OPENED, T0 + timedelta(seconds=2), "alertmanager", 1, failed),
        Entry(Kind.ACKNOWLEDGED, T0 + timedelta(seconds=62), "on-call", 1, failed),
        Entry(Kind.NOTE, T0 + timedelta(seconds=300), "on-call", 1, failed, text="a duplicate title\nin old rows"),
        Entry(Kind.RESOLVED, T0 + timedelta(seconds=725), "alertmanager", 1, failed, T0 + timedelta(seconds=720)),
        Entry(Kind.OPENED, T0 + timedelta(hours=3), "alertmanager", 2, slow),
    ]
    path = folder / "journal.jsonl"
    path.write_bytes(b"".join(line_of(entry.numbered(number)) for number, entry in enumerate(entries, 1)))
    return path


def incidents(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run(*COMMAND, *arguments, env=BROKEN_SETTINGS | variables)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return journal_of_a_day(tmp_path)


def test_the_list_is_a_table(journal: Path) -> None:
    done = incidents("list", "--state", "all", "--journal", str(journal))

    assert done.returncode == 0
    header, second, first = done.stdout.splitlines()
    assert header.split() == ["ID", "SEVERITY", "STATE", "OPENED", "(UTC)", "CODE", "SERVICE", "TAKEN", "UP", "BY"]
    assert second.startswith("2   warning   open ")
    assert re.fullmatch(
        r"1   critical  resolved in 12 min +2025-11-27 21:08:52  migration_failed    taskmanager/production  on-call",
        first,
    )
    assert second.index("high_response_time") == first.index("migration_failed") == header.index("CODE")


def test_one_incident_is_shown_with_all_that_happened(journal: Path) -> None:
    done = incidents("show", "1", "--journal", str(journal))

    assert done.stdout == (
        "incident 1: critical, resolved\n"
        "  alert         MigrationFailed\n"
        "  code          migration_failed\n"
        "  labels        alertname=MigrationFailed, severity=critical, service=taskmanager, env=production,"
        " code=migration_failed\n"
        "  opened        2025-11-27 21:08:52 UTC\n"
        "  acknowledged  2025-11-27 21:09:52 UTC by on-call, 1 min after the opening\n"
        "  resolved      2025-11-27 21:20:55 UTC by alertmanager, 12 min after the opening\n"
        "  deployed      2025-11-27 21:08:50 UTC, 1.4.0, 9f3c01a (on time)\n"
        "  runbook       docs/runbooks/migration_failed.md\n"
        "\n"
        "  2025-11-27 21:08:52  opened          alertmanager\n"
        "  2025-11-27 21:09:52  acknowledged    on-call\n"
        "  2025-11-27 21:13:50  note            on-call: a duplicate title in old rows\n"
        "  2025-11-27 21:20:55  resolved        alertmanager\n"
    )


def test_machines_get_json(journal: Path) -> None:
    listed = json.loads(incidents("list", "--json", "--state", "all", "--journal", str(journal)).stdout)
    assert [(each["id"], each["state"]) for each in listed] == [(2, "open"), (1, "resolved")]
    shown = json.loads(incidents("show", "1", "--json", "--journal", str(journal)).stdout)
    assert shown["entries"][2]["text"] == "a duplicate title\nin old rows"


def test_nothing_open_is_said(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").touch()
    done = incidents("list", "--journal", str(tmp_path / "journal.jsonl"))

    assert (done.returncode, done.stdout) == (0, "No incident is open.\n")


def _on_a_terminal(*arguments: str, **variables: str) -> str:
    """What a command says to a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        process = subprocess.Popen(
            (*COMMAND, *arguments), env=environment | BROKEN_SETTINGS | {"TERM": "xterm"} | variables, stdout=theirs
        )
        os.close(theirs)
        said = b""
        try:
            while chunk := terminal.read(4096):
                said += chunk
        except OSError:  # the other end is closed
            pass
        assert process.wait(timeout=30) == 0
    return said.decode()


def test_a_terminal_gets_colours_that_say_nothing_that_no_word_says(journal: Path) -> None:
    arguments = ("list", "--state", "all", "--journal", str(journal))
    plain = incidents(*arguments).stdout
    coloured = _on_a_terminal(*arguments)

    assert "\x1b" not in plain
    assert "\x1b[1;31mcritical\x1b[0m" in coloured
    without = re.sub(r"\x1b\[[\d;]*m", "", coloured).replace("\r\n", "\n")
    age = re.compile(r"open .*? 2025")
    assert age.sub("", without) == age.sub("", plain)
    assert "\x1b" not in _on_a_terminal(*arguments, NO_COLOR="1")
    assert "\x1b" not in _on_a_terminal(*arguments, TERM="dumb")


def test_what_stands_in_a_journal_repaints_no_terminal(tmp_path: Path) -> None:
    evil = _alert("ab", "Evil", "evil", "critical")
    lines = [
        Entry(Kind.OPENED, T0, "alertmanager", 1, replace(evil, code="\x1b[2J")).numbered(1),
        Entry(Kind.NOTE, T0, "\x1b]0;x\x07", 1, evil, text="\x1b[2J\u202e").numbered(2),
    ]
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(map(line_of, lines)))

    for arguments in (("list",), ("show", "1")):
        assert not set("\x1b\x07\u202e") & set(incidents(*arguments, "--journal", str(path)).stdout)


def test_people_take_up_note_resolve_and_record_deployments(receive: Receivers) -> None:
    receiver = receive()
    receiver.notify(alert())

    assert receiver.command("ack", "1", "--by", "on-call").stdout == (
        "Incident 1 (high_error_rate) is acknowledged, by on-call.\n"
    )
    assert receiver.command("note", "1", "the", "disk", "was full", "--by", "on-call").returncode == 0
    assert receiver.command("resolve", "1", "space freed", LOGNAME="ada").stdout == (
        "Incident 1 (high_error_rate) is resolved, by ada.\n"
    )
    deployed = receiver.command(
        "deployment", "--version", "1.4.0", "--commit", "9f3c01a", "--env", "production", "late"
    )
    assert re.fullmatch(r"Recorded at \S+Z: version 1.4.0, commit 9f3c01a, env production.\n", deployed.stdout)
    said = [(entry["kind"], entry.get("text")) for entry in receiver.entries()]
    assert said == [
        ("opened", None),
        ("acknowledged", None),
        ("note", "the disk was full"),
        ("resolved", "space freed"),
        ("deployment", "late"),
    ]


def test_exit_statuses_tell_programs_what_happened(receive: Receivers) -> None:
    receiver = receive()
    receiver.notify(alert())
    receiver.command("resolve", "1")

    for arguments, status, told in (
        (("show", "7"), 3, "There is no such incident"),
        (("ack", "7"), 3, "There is no such incident"),
        (("ack", "1"), 5, "there is nothing to take up"),
        (("resolve", "1"), 5, "is resolved already"),
        (("ack", "x"), 2, "'x' is no incident's number"),
        (("note", "1"), 2, "TEXT"),
        (("deployment",), 2, "say what was deployed"),
        (("ack", "1", "--by", "receiver"), 1, "must not be the name by which a program signs"),
    ):
        done = receiver.command(*arguments)
        assert (done.returncode, done.stdout) == (status, ""), done.stderr
        assert told in done.stderr


def test_a_wrong_key_is_told_with_the_variable_that_holds_it(receive: Receivers) -> None:
    receiver = receive(environment={"TASKMANAGER_INCIDENTS_KEY": KEY})
    receiver.notify(alert(), Authorization=f"Bearer {KEY}")
    assert receiver.command("ack", "1").returncode == 0

    done = receiver.command("list", TASKMANAGER_INCIDENTS_KEY="another-key-0123456789")
    assert done.returncode == 77
    assert "Set TASKMANAGER_INCIDENTS_KEY or TASKMANAGER_INCIDENTS_KEY_FILE." in done.stderr
    assert "another-key" not in done.stderr


def test_the_key_may_stand_in_the_env_file_beside_settings_that_are_broken(receive: Receivers, tmp_path: Path) -> None:
    receiver = receive(environment={"TASKMANAGER_INCIDENTS_KEY": KEY})
    file = tmp_path / "env"
    file.write_text(f"this is = no 'line\nTASKMANAGER_NO_SUCH=1\nTASKMANAGER_INCIDENTS_KEY={KEY}\n")

    done = receiver.command("list", TASKMANAGER_ENV_FILE=str(file), TASKMANAGER_INCIDENTS_KEY="")
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_server_the_journal_is_offered_and_read(journal: Path, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    (tmp_path / ".data" / "incidents").mkdir(parents=True)
    journal.rename(tmp_path / ".data" / "incidents" / "journal.jsonl")

    done = run(*COMMAND, "list", "--url", nobody, env=BROKEN_SETTINGS, cwd=tmp_path)
    assert done.returncode == 69
    assert f"the incident receiver at {nobody} does not answer: connection refused" in done.stderr
    offered = re.search(r"its journal can be read: (--journal \S+)", done.stderr)
    assert offered is not None
    read = run(*COMMAND, "list", *offered[1].split(), env=BROKEN_SETTINGS, cwd=tmp_path)
    assert (read.returncode, "high_response_time" in read.stdout) == (0, True)
    assert run(*COMMAND, "ack", "2", "--url", nobody).returncode == 69


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "file:///etc/passwd", "127.0.0.1:9095", "http://"])
def test_what_is_no_address_is_told(url: str) -> None:
    done = incidents("list", "--url", url)

    assert done.returncode == 69
    assert len(done.stderr.splitlines()) == 1


def test_another_program_at_the_address_is_told_apart() -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        done = incidents("list", "--url", f"http://127.0.0.1:{server.server_port}")
    assert done.returncode == 69
    assert "it answered 302, and not in JSON" in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(journal: Path) -> None:
    command = f"{sys.executable} -m taskmanager incidents list --state all --json --journal {journal} | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_help_shows_every_verb_by_example() -> None:
    done = incidents("--help")

    assert done.returncode == 0
    for word in ("serve", "list", "show 3", "ack 3", "note 3", "resolve 3", "deployment --version", "postmortem 3"):
        assert f"taskmanager incidents {word}" in done.stdout
    assert "--by on-call names a role" in done.stdout
    for verb in ("serve", "list", "show", "ack", "note", "resolve", "deployment", "postmortem", "prune"):
        assert incidents(verb, "--help").stdout.startswith(f"usage: taskmanager incidents {verb}")


def test_pruning_takes_off_what_is_old_and_keeps_numbers(receive: Receivers, journal: Path) -> None:
    done = incidents("prune", "--journal", str(journal), "--older-than", "1s")
    assert done.stdout == "5 lines of 1 incidents taken off, 0 names forgotten, 2 lines left.\n"

    receiver = receive(journal=journal)
    assert [incident["id"] for incident in receiver.incidents()] == [2]
    receiver.notify(alert(9))
    assert receiver.incidents()[0]["id"] == 3
    numbers = [entry["seq"] for entry in receiver.entries()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_number_that_was_taken_off_is_not_given_again(receive: Receivers, journal: Path) -> None:
    slow = _alert("cd", "HighResponseTime", "high_response_time", "warning")
    with journal.open("ab") as end:
        end.write(line_of(Entry(Kind.RESOLVED, T0 + timedelta(hours=4), "alertmanager", 2, slow).numbered(7)))
    assert "of 2 incidents taken off" in incidents("prune", "--journal", str(journal), "--older-than", "1s").stdout

    receiver = receive(journal=journal)
    assert receiver.incidents() == []
    receiver.notify(alert(9))
    assert receiver.incidents()[0]["id"] == 3


def test_a_name_is_forgotten_on_request(journal: Path) -> None:
    done = incidents("prune", "--journal", str(journal), "--forget", "ada")

    assert done.returncode == 0
    assert "1 names forgotten" in done.stdout
    assert '"ada"' not in journal.read_text()
    assert '"who":"(forgotten)"' in journal.read_text()
    shown = incidents("show", "1", "--journal", str(journal))
    assert "a duplicate title" in shown.stdout


def _journal_of_two_environments(folder: Path) -> Path:
    """Their watchdogs' lines alternate, as releases that knew one watchdog wrote them."""
    watchdogs = [
        Alert(env[:1], "watchdog", {"alertname": "Watchdog", "service": "monitoring", "env": env})
        for env in ("production", "staging")
    ]
    seen = [Entry(Kind.WATCHDOG_SEEN, T0, "receiver", alert=watchdog) for watchdog in watchdogs * 3]
    path = folder / "journal.jsonl"
    path.write_bytes(b"".join(line_of(entry.numbered(number)) for number, entry in enumerate(seen, 1)))
    return path


def _awaited(journal: Path) -> list[str]:
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return [line["labels"]["env"] for line in lines if line["kind"] == "watchdog_seen"]


def test_pruning_keeps_the_newest_heartbeat_of_each_watchdog(tmp_path: Path) -> None:
    journal = _journal_of_two_environments(tmp_path)
    done = incidents("prune", "--journal", str(journal), "--older-than", "1s")

    assert done.stdout.startswith("4 lines of 0 incidents taken off")
    assert _awaited(journal) == ["production", "staging"]


def test_an_environment_that_is_gone_is_no_longer_waited_for_once_it_is_retired(tmp_path: Path) -> None:
    journal = _journal_of_two_environments(tmp_path)
    done = incidents("prune", "--journal", str(journal), "--retire", "staging")
    assert done.returncode == 0, done.stderr
    assert _awaited(journal) == ["production"] * 3

    unknown = incidents("prune", "--journal", str(journal), "--retire", "stagin")
    assert unknown.returncode == 1
    assert "knows no watchdog of the environment 'stagin'; it knows: production" in unknown.stderr


def test_a_note_that_still_mentions_a_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    note = Entry(Kind.NOTE, T0, "ada", 1, _alert("ab", "Name", "code", "critical"), text="ada freed space")
    path.write_bytes(line_of(note.numbered(1)))

    done = incidents("prune", "--journal", str(path), "--forget", "ada")
    assert "1 names forgotten" in done.stdout
    assert "1 notes still mention the name in their text." in done.stdout


def test_pruning_is_refused_while_a_server_writes_and_where_lines_would_be_lost(receive: Receivers) -> None:
    receiver = receive()
    receiver.notify(alert())
    before = receiver.journal.read_bytes()
    done = incidents("prune", "--journal", str(receiver.journal), "--forget", "ada")
    assert done.returncode == 4
    assert f"is in use by process {receiver.process.pid}" in done.stderr

    receiver.stop()
    receiver.journal.write_bytes(before + b"damaged\n")
    done = incidents("prune", "--journal", str(receiver.journal), "--forget", "ada")
    assert done.returncode == 1
    assert "has damaged lines (2), which would be lost" in done.stderr
    assert receiver.journal.read_bytes() == before + b"damaged\n"


def test_a_receiver_imports_neither_the_gate_nor_what_migrates(tmp_path: Path) -> None:
    """It must start where nothing else of ours can be imported."""
    code = (
        "import sys\n"
        "from taskmanager.incidents import http_api, serving, verbs_cli\n"
        "from taskmanager.incidents.postmortem import writing\n"
        "others = {'migration_gate', 'sqlalchemy', 'asyncpg', 'psycopg', 'alembic', 'pydantic'}\n"
        "loaded = {name.partition('.')[0] for name in sys.modules} & others\n"
        "ours = {name for name in sys.modules if name.startswith('taskmanager.') and '.incidents' not in name}\n"
        "print(sorted(loaded | ours))"
    )
    assert run(sys.executable, "-c", code).stdout == "[]\n"


def test_the_receivers_variables_do_not_stop_the_service() -> None:
    load_settings({"TASKMANAGER_ENV_FILE": "", "TASKMANAGER_INCIDENTS_KEY": KEY, "TASKMANAGER_INCIDENTS_URL": "x"})
