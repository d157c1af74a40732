"""What a deployment does once, on this machine: by the releases' own commands, as an operator would type them."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stack.deploy.errors import NotDone, Refused, StepFailed
from stack.deploy.releases import Release, Releases, Told, new_log, read_json, revision_heads
from stack.deploy.works import require_servable
from stack.log_file import last_lines
from stack.postgres import create_database, temporary_cluster
from stack.process import GuardedProcess, describe_end

MIGRATION_GRACE_SECONDS = 20.0
TRY_AGAIN = 75
TRY_AGAIN_SECONDS = 120.0
SAY_EVERY_SECONDS = 5.0
POLL_SECONDS = 0.1
FRESH = timedelta(hours=24)
FINDINGS = 5
# argparse's, for a verb that a release does not have.
WRONG_USAGE = 2
BACKUP_SECONDS = 3600.0
SHOWN_FINDINGS = 5


class LocalWorks:
    """See works.Works. `variables` name the database that is served."""

    def __init__(self, data: Path, releases: Releases, variables: Mapping[str, str]) -> None:
        self._data = data.absolute()
        self._releases = releases
        self._variables = variables

    def resolve(self, reference: str, source: Path) -> str:
        return self._releases.resolve(reference, source)

    def fetch(self, release: str, source: Path) -> str:
        there = self._releases.checked_out(release) is not None
        self._releases.check_out(release, source)
        return "it is here already" if there else "checked out"

    def lint(self, running: str, new: str) -> str:
        release = self._release(new)
        told = release.ask("migration_gate", "lint", "--since", running, "--json", variables={}, timeout=120)
        if told.code not in (0, FINDINGS):
            raise StepFailed("migration-gate lint did not work", told.last_words())
        if told.code == FINDINGS:
            findings = _findings(told)
            raise Refused(
                f"migration-gate lint has found what would lock or break something: {findings[0]} Mend it in the "
                f"migration, or allow it there with a reason; in {release.folder}: migration-gate lint --since "
                f"{running[:12]}",
                findings,
            )
        return "nothing dangerous"

    def prove_compatible(self, running: str, new: str) -> str:
        before, after = self._release(running), self._release(new)
        if revision_heads(before) == revision_heads(after):
            return "no new migration"
        with temporary_cluster() as cluster:
            # Empty tables are enough: what counts are the schema and what the ledger says of it.
            database = create_database(cluster, "compatibility")
            own = {
                **self._variables,
                "DATABASE_URL": database.app_url,
                "MIGRATION_DATABASE_URL": database.migrator_url,
                "TASKMANAGER_ENV": "development",
            }
            told = after.ask("taskmanager", "migrate", variables=own, timeout=300)
            if told.code != 0:
                raise Refused(
                    f"the migrations of {new[:12]} do not run on an empty database: {' | '.join(told.last_words(1))}",
                    told.last_words(),
                )
            verdict = _verdict(before, own)
        if not verdict.get("servable"):
            raise contracting(running, new, verdict)
        return f"{running[:12]} serves on it: {verdict.get('state')}, every statement prepared"

    def back_up(self, release: str) -> str:
        found = self._release(release)
        told = found.ask("taskmanager", "backups", "--json", variables=self._variables)
        newest = None if told.code == WRONG_USAGE else newest_backup(told)
        if newest is None:
            raise NotDone("no backups are configured")
        return see_to_fresh_backup(
            newest, lambda: found.ask("taskmanager", "backup", variables=self._variables, timeout=BACKUP_SECONDS)
        )

    def migrate(self, release: str, say: Callable[[str], None]) -> str:
        deadline = time.monotonic() + TRY_AGAIN_SECONDS
        while True:
            code, words = self._migrate_once(release, say)
            if code == 0:
                return words[-1] if words else ""
            if code != TRY_AGAIN or time.monotonic() >= deadline:
                raise StepFailed(f"the migration ended with {describe_end(code)}: {words[-1] if words else ''}", words)
            say("the database or another migrator is busy; trying again")
            time.sleep(1)

    def _migrate_once(self, release: str, say: Callable[[str], None]) -> tuple[int, list[str]]:
        log, begin = new_log(self._data / "replicas", "migrate")
        found = self._release(release)
        process = found.begin(
            "taskmanager", "migrate", variables=self._variables, log=log, grace=MIGRATION_GRACE_SECONDS
        )
        code = _wait(process, say)
        return code, [line for line in last_lines(log, 8, begin).split(" | ") if line]

    def status(self, release: str) -> Mapping[str, object]:
        return _verdict(self._release(release), self._variables)

    def _release(self, commit: str) -> Release:
        found = self._releases.checked_out(commit)
        if found is None:
            raise Refused(f"the release {commit[:12]} is not here any more: deploy it again")
        return found


def _wait(process: GuardedProcess, say: Callable[[str], None]) -> int:
    begun = said = time.monotonic()
    try:
        while (code := process.poll()) is None:
            if time.monotonic() - said >= SAY_EVERY_SECONDS:
                said = time.monotonic()
                say(f"the migration is at work for {said - begun:.0f} s")
            time.sleep(POLL_SECONDS)
    except BaseException:
        process.stop()
        raise
    return code


def _verdict(release: Release, variables: Mapping[str, str]) -> Mapping[str, object]:
    told = read_json(
        release.ask("taskmanager", "status", "--json", variables=variables),
        f"`taskmanager status` of {release.commit[:12]}",
    )
    return told if isinstance(told, dict) else {}


def contracting(running: str, new: str, verdict: Mapping[str, object]) -> Refused:
    """Why `running` cannot serve on the schema of `new`, by its own verdict, and what to do instead."""
    if verdict.get("state") == "behind":
        return Refused(
            f"{new[:12]} lacks migrations that {running[:12]}, which serves now, needs: it is older, or of another "
            f"branch. To go back: stack rollback {new[:12]}. To go on: put it on top of {running[:12]}, and deploy that"
        )
    try:
        require_servable(verdict, running)
        evidence = ""
    except (Refused, StepFailed) as error:
        evidence = " | ".join(error.evidence) or f"{error}"
    broken = verdict.get("broken_statements")
    statements = [f"{each.get('name')}: {each.get('message')}" for each in broken] if isinstance(broken, list) else []
    return Refused(
        f"the migrations of {new[:12]} take away what {running[:12]}, which serves now, still needs "
        f"({verdict.get('state')}: {evidence}). While replicas are replaced both serve, so do it in two deployments: "
        "first a release whose code no longer needs it and whose schema still has it, then this one",
        [evidence, *statements],
    )


def _findings(told: Told) -> list[str]:
    try:
        found = json.loads(told.output)["findings"]
        lines = [f"{each.get('rule')}: {each.get('message')}" for each in found if each.get("level") == "error"]
    except (ValueError, KeyError, TypeError, AttributeError):
        lines = []
    return (lines or told.last_words())[:SHOWN_FINDINGS] or ["(it does not say what)"]


def see_to_fresh_backup(newest: datetime, back_up: Callable[[], Told]) -> str:
    """Makes one where the newest is older than a day. Raises Refused."""
    if datetime.now(UTC) - newest < FRESH:
        return f"the newest is of {newest:%Y-%m-%d %H:%M} UTC"
    done = back_up()
    if done.code != 0:
        raise Refused(
            f"the newest backup is of {newest:%Y-%m-%d %H:%M} UTC, and a new one failed: "
            f"{' | '.join(done.last_words(1))}. Mend that first: taskmanager backup",
            done.last_words(),
        )
    return "made anew"


def newest_backup(told: Told) -> datetime | None:
    """When the newest of the kept ones was made; None where none is kept, or configured."""
    try:
        found = json.loads(told.output)
        backups = found["backups"] if isinstance(found, dict) else found
        return max((_time(each) for each in backups), default=None)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _time(backup: Mapping[str, object]) -> datetime:
    name = next(name for name in ("finished_at", "made_at", "at", "created_at", "taken_at") if name in backup)
    return datetime.fromisoformat(f"{backup[name]}").astimezone(UTC)
