"""A deployment that was at work when whoever did it was ended: it gets its record all the same."""

from pathlib import Path

from stack.deploy import record as records
from stack.deploy.record import Record, Result
from stack.deploy.state import State


def record_cut_off(data: Path, state: State, why: str) -> Record | None:
    """The record that is added for it, None where none was at work or its own was written; `state` forgets it.

    Raises OSError when the records cannot be read or written.
    """
    under_way, state.under_way = state.under_way, {}
    if not under_way or any(record.id == under_way.get("id") for record in records.read(data)):
        return None
    # Where it had ended, and only its record was missing, the state has how.
    ended = f"{under_way.get('result', '')}"
    cut_off = f"it was cut off at the step {under_way.get('step')!r}: {why}"
    record = Record(
        int(under_way.get("id", 0)),
        f"{under_way.get('verb')}",
        f"{under_way.get('release')}",
        state.previous if ended == Result.SUCCEEDED else state.release,
        f"{under_way.get('reference')}",
        f"{under_way.get('began')}",
        result=Result(ended) if ended else Result.FAILED,
        reason=f"{under_way.get('reason', '')}" if ended else cut_off,
    )
    records.append(data, record)
    return record
