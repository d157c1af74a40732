"""What a deployment does, step by step: each is told when it begins and when it ends, and is timed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

# What happens, as machines read it: {"event": "began" | "note" | "ended", "step": TEXT, …}.
Event = dict[str, object]
Listen = Callable[[Event], None]


@dataclass
class Step:
    """`seconds` is how long it took; `outcome` is `done`, `skipped` or `failed`; `note` is in one line."""

    step: str
    slot: str = ""
    seconds: float = 0.0
    outcome: str = "done"
    note: str = ""

    def skip(self, why: str) -> None:
        self.outcome, self.note = "skipped", why


class Steps:
    """The steps so far, the running one last."""

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self.taken: list[Step] = []

    @contextmanager
    def step(self, name: str, slot: str = "") -> Iterator[Step]:
        """A step, for as long as the block lasts; an exception makes it a failed one and goes on."""
        taken = Step(name, slot)
        self.taken.append(taken)
        self._listen({"event": "began", "step": name, "slot": slot})
        begun = time.monotonic()
        try:
            yield taken
        except BaseException as error:
            taken.outcome, taken.note = "failed", taken.note or f"{error}".partition("\n")[0]
            raise
        finally:
            taken.seconds = round(time.monotonic() - begun, 3)
            self._listen({"event": "ended", **asdict(taken)})

    def as_json(self) -> list[dict[str, object]]:
        return [asdict(step) for step in self.taken]
