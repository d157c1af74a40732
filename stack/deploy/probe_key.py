"""The key by which the business probe creates, reads and deletes a task, where the service asks for one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stack.monitoring.metrics_key import KEYS_FILE_VARIABLE, KEYS_VARIABLE, keys_are_asked_for, new_key
from stack.user_settings import UserSettings


@dataclass(frozen=True)
class ProbeKey:
    """`key` is kept in memory alone, empty where none is needed; `service` are variables by which it is known."""

    key: str = ""
    service: Mapping[str, str] = field(default_factory=dict)


def probe_key(settings: UserSettings, variables: Mapping[str, str]) -> ProbeKey:
    """One for this run. `variables` are the service's so far, whose keys it keeps.

    Where the user has named no keys there is none either: it would let a service start that nobody can call.

    Raises StackError when none could be made.
    """
    known = variables.get(KEYS_VARIABLE) or settings.value(KEYS_VARIABLE)
    if not keys_are_asked_for(settings) or not (known or settings.value(KEYS_FILE_VARIABLE)):
        return ProbeKey()
    key, line = new_key("business probe of stack deploy", "tasks:read", "tasks:write")
    return ProbeKey(key, {KEYS_VARIABLE: ";".join(filter(None, (known, line)))})
