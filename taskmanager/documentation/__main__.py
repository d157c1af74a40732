"""Print the API's description, or hold a file against it.

    python -m taskmanager.documentation > docs/openapi.json
    python -m taskmanager.documentation --check docs/openapi.json

It needs no database. The check exits with 1 and names every place that differs, so that no change of the API goes
unseen.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from taskmanager.app import create_app
from taskmanager.settings import Settings


def text_of(document: dict[str, Any]) -> str:
    """The document as it is kept: two blanks of indentation, characters as they are, a newline at the end."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def differences(kept: Any, made: Any, place: str = "#") -> Iterator[str]:
    """Where two documents differ, as JSON pointers (RFC 6901), each with what is the matter."""
    if isinstance(kept, dict) and isinstance(made, dict):
        for name in dict.fromkeys([*kept, *made]):
            below = f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}"
            if name not in made:
                yield f"{below}: is no more"
            elif name not in kept:
                yield f"{below}: is new"
            else:
                yield from differences(kept[name], made[name], below)
    elif isinstance(kept, list) and isinstance(made, list) and len(kept) == len(made):
        for index, (one, other) in enumerate(zip(kept, made, strict=True)):
            yield from differences(one, other, f"{place}/{index}")
    elif type(kept) is not type(made) or kept != made:  # to Python, true is 1
        yield f"{place}: has changed"


def check(file: Path, made: dict[str, Any]) -> list[str]:
    """Why this file is not the description any more; nothing where it is."""
    try:
        text = file.read_text(encoding="utf-8")
        kept = json.loads(text)
    except (OSError, ValueError) as error:
        return [f"cannot be read: {type(error).__name__}"]
    if found := list(differences(kept, made)):
        return found
    return [] if text == text_of(made) else ["#: is written otherwise, in another order or form"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m taskmanager.documentation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--check", metavar="FILE", type=Path, help="compare with this file instead of printing")
    options = parser.parse_args(arguments)
    # Nothing connects before the application's lifespan begins.
    made = create_app(Settings(database_url="postgresql://nobody@localhost/nothing", log_level="error")).openapi()
    if options.check is None:
        sys.stdout.write(text_of(made))
        return 0
    faults = check(options.check, made)
    for fault in faults:
        sys.stderr.write(f"{options.check}: {fault}\n")
    if faults:
        sys.stderr.write(f"Is that meant? Then: python -m taskmanager.documentation > {options.check}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
