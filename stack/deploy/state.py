"""What serves now, and what a deployment was doing when it was cut off: a file of the data, replaced as a whole."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stack.errors import StackError
from stack.private_file import write_private

# Replicas of `stack up` and containers may be deployed from one folder; of each other's slots they know nothing.
FILE, COMPOSE_FILE = "deployment.json", "deployment.compose.json"
FORMAT = 1


@dataclass
class State:
    """`release` serves, `previous` did before; `slots` are as Slot.as_json tells them.

    `under_way` is empty, or has `id`, `verb`, `release`, `reference`, `began` and `step` of a deployment at work.
    """

    release: str = ""
    previous: str = ""
    source: str = ""
    slots: list[dict[str, str | int]] = field(default_factory=list)
    under_way: dict[str, str | int] = field(default_factory=dict)


def read(file: Path) -> State:
    """Raises StackError when the file is there and is no state."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("it is of another format")
        return State(**content)
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StackError(
            f"{file} cannot be read ({error}): remove it, and name what to serve: stack up --release REF"
        ) from error


def write(file: Path, state: State) -> None:
    write_private(file, json.dumps({"format": FORMAT, **asdict(state)}, indent=2) + "\n")
