"""What a deployment does once, whatever the road: get the release, ask whether it may, and migrate."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from stack.deploy.errors import Refused, StepFailed


class Works(Protocol):
    """All raise Refused where the answer is no, StepFailed where there is none. Each returns a note in one line.

    The checks raise NotDone where there is nothing to do them with.
    """

    def resolve(self, reference: str, source: Path) -> str:
        """The release that a reference names."""

    def fetch(self, release: str, source: Path) -> str:
        """Makes it ready to be started."""

    def lint(self, running: str, new: str) -> str:
        """Looks for what is dangerous in the migrations that `running` has not."""

    def prove_compatible(self, running: str, new: str) -> str:
        """Finds out whether `running` can serve on the schema of `new`."""

    def back_up(self, release: str) -> str:
        """Makes sure of a fresh backup."""

    def migrate(self, release: str, say: Callable[[str], None]) -> str:
        """Applies the migrations of `release` and proves them, once."""

    def status(self, release: str) -> Mapping[str, object]:
        """The verdict of `release` on the database as it is."""


def require_servable(status: Mapping[str, object], release: str) -> str:
    """The verdict's state, where that release may serve. Raises Refused, with the safe way."""
    state = f"{status.get('state')}"
    if status.get("servable"):
        return f"{release[:12]} finds the schema {state}"
    cause, solution = _one_line(status.get("cause")), _one_line(status.get("solution"))
    evidence = _one_line(status.get("evidence"))
    if state == "unreachable":
        raise StepFailed(f"the database cannot be asked: {evidence or cause}", [solution])
    if state == "behind":
        raise Refused(
            f"the schema lacks migrations of {release[:12]}, so that this is no way back: stack deploy {release[:12]}",
            [evidence],
        )
    raise Refused(
        f"{release[:12]} cannot serve on the schema as it is ({state}): {cause} Roll forward instead: mend the fault "
        "in a new commit, which keeps the migrations, and deploy that (stack deploy REF). What the schema says: "
        f"{evidence}. {solution}",
        [evidence],
    )


def _one_line(text: object) -> str:
    return " ".join(f"{text or ''}".split())
