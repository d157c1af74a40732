"""What the tests of the release before have said of this one's schema: `compatibility.toml`, beside `revisions.lock`.

`migration-gate compatibility` runs those tests and writes the file. What it says becomes the `minimum_code` of the
revisions between the two releases, and through an upgrade the ledger's: that is how an old image can judge a
schema that is newer than itself.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migration_gate.errors import RevisionsLockError
from migration_gate.expected import Expected, lineage

FILE_NAME = "compatibility.toml"
FORMAT = 1

PASSED, FAILED = "passed", "failed"

_HEADER = f"""\
# Whether the release before runs on the schema of the one after it, as its own tests have shown. Written by
#   migration-gate compatibility --since REF --command "COMMAND"
# and committed with the migrations. A table is named after the heads that the schema was at. `passed` means that the
# code of the `previous` heads runs on it; `failed`, that no code does which lacks the first of the `revisions`. They
# are told by the checksums of their files: after an edit the verdict is stale, says nothing, and `--check` tells so.
# Of several verdicts on a revision the last counts. In a conflict keep the tables of both sides, and run it again.
format = {FORMAT}
"""


@dataclass(frozen=True)
class Verdict:
    """What one run has shown.

    `heads` are those of the schema, `previous` those of the code that was tried on it, `reference` its commit, `when`
    the time in UTC as ISO 8601 writes it. `revisions` maps each revision between the two to the checksum of its file.
    """

    heads: tuple[str, ...]
    previous: tuple[str, ...]
    result: str
    reference: str
    command: str
    when: str
    revisions: Mapping[str, str]

    @property
    def tells_of_older_code(self) -> bool:
        """Whether older code was tried, and runs."""
        return self.result == PASSED and bool(self.previous)

    def is_stale(self, expected: Expected) -> bool:
        """Whether another graph, or other files, were tried than there are now."""
        if not {*self.heads, *self.previous} <= expected.revisions.keys():
            return True
        between = between_releases(expected, self.previous, self.heads)
        return {id_: expected.revisions[id_].checksum for id_ in between} != dict(self.revisions)


def between_releases(expected: Expected, previous: tuple[str, ...], heads: tuple[str, ...]) -> tuple[str, ...]:
    """The revisions that lead from one release's heads to another's, in the order in which they are applied."""
    new = lineage(heads, expected.parents) - lineage(previous, expected.parents)
    return tuple(id_ for id_ in expected.revisions if id_ in new)


def minimum_codes(verdicts: tuple[Verdict, ...], expected: Expected) -> dict[str, str]:
    """For each revision on which there is a verdict, the oldest head whose code runs on the schema after it."""
    return {id_: _needed(verdict, expected) for id_, verdict in _fresh(verdicts, expected).items()}


def proven_codes(verdicts: tuple[Verdict, ...], expected: Expected) -> dict[str, str]:
    """Those of `minimum_codes` that tests have passed for; a test that failed proves nothing of older code."""
    fresh = _fresh(verdicts, expected).items()
    return {id_: _needed(verdict, expected) for id_, verdict in fresh if verdict.tells_of_older_code}


def _fresh(verdicts: tuple[Verdict, ...], expected: Expected) -> dict[str, Verdict]:
    """For each revision, the verdict that counts: the last that is not stale."""
    return {id_: verdict for verdict in verdicts if not verdict.is_stale(expected) for id_ in verdict.revisions}


def _needed(verdict: Verdict, expected: Expected) -> str:
    if verdict.tells_of_older_code:
        # Of several heads, the one that was applied last: code that knows it is seldom without the others.
        return [id_ for id_ in expected.revisions if id_ in verdict.previous][-1]
    return between_releases(expected, verdict.previous, verdict.heads)[0]


def read(path: Path) -> tuple[Verdict, ...]:
    """The verdicts of a file, in its order; none where there is no file.

    Raises
    ------
    RevisionsLockError: it cannot be read (a merge conflict left in it, say).
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        return tuple(_verdicts(document))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RevisionsLockError(
            f"{path} cannot be read: {error}.",
            solution="settle the conflict that was left in it, or remove the file and run migration-gate compatibility",
        ) from error


def _verdicts(document: Mapping[str, Any]) -> Iterator[Verdict]:
    if document.get("format") != FORMAT:
        raise ValueError(f"its format is {document.get('format')!r}, this version reads {FORMAT}")
    for heads, table in document.get("head", {}).items():
        if table["result"] not in {PASSED, FAILED}:
            raise ValueError(f"the result for {heads} is {table['result']!r}")
        yield Verdict(
            heads=tuple(heads.split(",")),
            previous=tuple(map(str, table["previous"])),
            result=table["result"],
            reference=str(table["reference"]),
            command=str(table["command"]),
            when=str(table["when"]),
            revisions={str(id_): str(checksum) for id_, checksum in table["revisions"].items()},
        )


def write(path: Path, verdict: Verdict) -> None:
    """Add a verdict as the last; an older one on the same heads gives way."""
    kept = [each for each in read(path) if each.heads != verdict.heads]
    path.write_text(render((*kept, verdict)), encoding="utf-8")


def render(verdicts: tuple[Verdict, ...]) -> str:
    """The text of the file."""
    parts = [_HEADER]
    for verdict in verdicts:
        table = f"head.{json.dumps(','.join(verdict.heads))}"
        parts.append(
            f"\n[{table}]\nprevious = {json.dumps(list(verdict.previous))}\nresult = {json.dumps(verdict.result)}\n"
            f"reference = {json.dumps(verdict.reference)}\n"
            f"command = {json.dumps(verdict.command, ensure_ascii=False)}\nwhen = {json.dumps(verdict.when)}\n"
            f"\n[{table}.revisions]\n"
        )
        parts += [f"{json.dumps(id_)} = {json.dumps(checksum)}\n" for id_, checksum in verdict.revisions.items()]
    return "".join(parts)
