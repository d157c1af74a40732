"""Writing migration code: what the rewrites are made of, ready to be pasted into a file of its own."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence

from sqlalchemy.dialects import postgresql

# SQLAlchemy's text() would take these for parameters.
_COLON = re.compile(r"(?<![:\w\\]):(?=\w+(?!:|\w))")
_NAMES = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]

NOTHING_TO_UNDO = '"""A valid constraint is no obstacle to the revisions before: there is nothing to undo."""'
VALUES_STAY = '"""The revisions before do not mind the values that this one wrote: there is nothing to undo."""'

#: Where a contracting revision has a release to itself, older code is the code at its parent.
CODE_BEFORE = "# The code of the release before runs on the schema after this one.\ngate_minimum_code = down_revision"
RERUNNABLE = "# Each batch commits by itself, and a row that is met twice stays as it is.\ngate_rerunnable = True"


def quoted(name: str) -> str:
    """A folded name of one part as SQL takes it."""
    return _NAMES.quote(name)


def code_at(revision: str, why: str) -> str:
    """The declaration that code from `revision` on runs on the schema after this one."""
    return f"# {why}\ngate_minimum_code = {json.dumps(revision)}"


def execute(sql: str) -> str:
    """`op.execute(…)` with this SQL, in lines that are short enough."""
    text = _COLON.sub(r"\:", sql.strip())
    if "\n" in text and not any("\n" in literal for literal in re.findall(r"'[^']*'", text)):
        body = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
        return f'op.execute(\n    """\n{textwrap.indent(body, "    ")}\n    """\n)'
    literal = json.dumps(text, ensure_ascii=False) if '"' not in text or "'" in text else repr(text)
    if len(literal) < 97 or "\n" in text:
        return f"op.execute({literal})"
    pieces = textwrap.wrap(
        text,
        94,
        drop_whitespace=False,
        replace_whitespace=False,
        expand_tabs=False,
        break_long_words=False,
        break_on_hyphens=False,
    )
    lines = "\n".join(f"    {json.dumps(piece, ensure_ascii=False)}" for piece in pieces)
    return f"op.execute(\n{lines}\n)"


def outside_transaction(lines: Sequence[str]) -> str:
    """The lines in an autocommit block."""
    return "with op.get_context().autocommit_block():\n" + textwrap.indent("\n".join(lines), "    ")


def revision(upgrade: Sequence[str], downgrade: Sequence[str], *declarations: str) -> str:
    """The part of a migration file below its ids."""
    functions = [
        f"def {name}() -> None:\n" + textwrap.indent("\n".join(body), "    ")
        for name, body in (("upgrade", upgrade), ("downgrade", downgrade))
    ]
    return "\n\n\n".join(["\n".join(declarations), *functions] if declarations else functions) + "\n"


def batched(table: str, key: str, statement: str) -> str:
    """`op.execute(…)` of a block that walks a table by ranges of its key and commits after each.

    Parameters
    ----------
    table: as SQL writes it.
    key: its folded name.
    statement: what is done to the rows whose key is BETWEEN first_key AND last_key.
    """
    key = quoted(key)
    return execute(
        f"""\
DO $$
DECLARE
    first_key {table}.{key}%TYPE;
    last_key {table}.{key}%TYPE;
BEGIN
    SELECT {key} INTO first_key FROM {table} ORDER BY {key} LIMIT 1;
    WHILE first_key IS NOT NULL LOOP
        SELECT {key} INTO last_key
        FROM (SELECT {key} FROM {table} WHERE {key} >= first_key ORDER BY {key} LIMIT 1000) AS batch
        ORDER BY {key} DESC LIMIT 1;
        {statement};
        COMMIT;
        SELECT {key} INTO first_key FROM {table} WHERE {key} > last_key ORDER BY {key} LIMIT 1;
    END LOOP;
END $$"""
    )


def batches(table: str, key: str, statement: str) -> str:
    """A whole data revision: `batched`, outside a transaction and safe to run again."""
    return revision([outside_transaction([batched(table, key, statement)])], [VALUES_STAY], RERUNNABLE)
