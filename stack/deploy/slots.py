"""The slots that replicas stand in, and what is in each: the one picture that every step reads and changes."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum


class Stand(StrEnum):
    """What a slot's replica is doing."""

    EMPTY = "empty"
    STARTING = "starting"
    SERVING = "serving"
    DRAINED = "drained"
    """It runs and gets no new requests: kept until its replacement has proved itself."""


@dataclass
class Slot:
    """`release` is the commit of what stands in it, empty where nothing does; `host` and `port` are its address."""

    name: str
    release: str = ""
    stand: Stand = Stand.EMPTY
    host: str = ""
    port: int = 0

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def clear(self) -> None:
        self.release, self.stand = "", Stand.EMPTY

    def as_json(self) -> dict[str, str | int]:
        return asdict(self)


class Slots:
    """All slots in their order; one is spare while `replicas` stand in the others."""

    def __init__(self, replicas: int, slots: Iterable[Slot] = ()) -> None:
        """`replicas` is how many are to serve; `slots` are as they were recorded, none for new ones."""
        self.replicas = replicas
        self._slots = list(slots) or [Slot(f"slot{number}") for number in range(1, replicas + 2)]

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._slots)

    def named(self, name: str) -> Slot:
        return next(slot for slot in self._slots if slot.name == name)

    def of(self, release: str, *stands: Stand) -> list[Slot]:
        """Those in which `release` stands, in one of `stands` (none: any)."""
        return [slot for slot in self if slot.release == release and (not stands or slot.stand in stands)]

    def others(self, release: str) -> list[Slot]:
        """Those in which something else stands."""
        return [slot for slot in self if slot.release not in ("", release)]

    def serving(self) -> list[Slot]:
        return [slot for slot in self if slot.stand is Stand.SERVING]

    def empty(self) -> Slot | None:
        return next((slot for slot in self if slot.stand is Stand.EMPTY), None)
