"""The receiver's own variables. Read here and not in the service's settings: those may be what is broken."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

KEY = "TASKMANAGER_INCIDENTS_KEY"
KEY_FILE = "TASKMANAGER_INCIDENTS_KEY_FILE"
URL = "TASKMANAGER_INCIDENTS_URL"
ALERTMANAGER = "TASKMANAGER_INCIDENTS_ALERTMANAGER"
WEBHOOK_URL = "TASKMANAGER_INCIDENTS_WEBHOOK_URL"
WEBHOOK_URL_FILE = "TASKMANAGER_INCIDENTS_WEBHOOK_URL_FILE"
ENV_FILE = "TASKMANAGER_ENV_FILE"
ENV = "TASKMANAGER_ENV"

DEFAULT_URL = "http://127.0.0.1:9095"
DEFAULT_JOURNAL = Path(".data/incidents/journal.jsonl")

# The one of the compose file for development: ops/development/incidents_key.
DEVELOPMENT_KEY = "development-key-that-everybody-knows"

_SHORTEST_KEY = 16
_KEY = re.compile(r"[\x21-\x7e]{16,512}", re.ASCII)


class UnusableVariable(ValueError):
    """A variable cannot be used. The message names it and quotes neither a key nor a secret address."""


def variable(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """A variable of the environment, else of `.env` (or the file that TASKMANAGER_ENV_FILE names), else empty.

    A file that cannot be read, or a line of it, is passed over: the service tells it, and an incident must not wait.
    """
    if environment.get(name):
        return environment[name]
    file = environment.get(ENV_FILE, ".env")
    if not file or not Path(file).is_file():
        return ""
    from dotenv import dotenv_values

    logging.getLogger("dotenv").setLevel(logging.CRITICAL)
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    return dotenv_values(stream=StringIO(text), interpolate=False).get(name) or ""


def alertmanager(option: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """Alertmanager's address: the option's, else the variable's, else empty.

    Raises
    ------
    UnusableVariable: it is no address.
    """
    url = option if option is not None else variable(ALERTMANAGER, environment).strip()
    name = ALERTMANAGER if option is None else "--alertmanager"
    if url and not _is_address(url):
        raise UnusableVariable(
            f"{name} is no address: http://HOST:9093 or https://HOST/PATH, without user, password, query and spaces"
        )
    return url


def webhook_url(environment: Mapping[str, str] = os.environ) -> str:
    """The address that is told when alerting is silent; empty where nobody is. It is a secret, and may have a query.

    Raises
    ------
    UnusableVariable: both variables are set, the file cannot be read, or what is set is no address.
    """
    text, file = variable(WEBHOOK_URL, environment), variable(WEBHOOK_URL_FILE, environment)
    if text and file:
        raise UnusableVariable(f"{WEBHOOK_URL} and {WEBHOOK_URL_FILE} are both set; set one of them")
    url = (_text_of(Path(file), WEBHOOK_URL_FILE) if file else text).strip()
    if (text or file) and not _is_address(url, may_have_query=True):
        name = WEBHOOK_URL_FILE if file else WEBHOOK_URL
        raise UnusableVariable(f"{name} is no address: https://HOST/PATH, without user, password and spaces")
    return url


def _is_address(url: str, *, may_have_query: bool = False) -> bool:
    if not re.fullmatch(r"[\x21-\x7e]+", url, re.ASCII):
        return False
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return fits and "@" not in parts.netloc and (may_have_query or not parts.query) and not parts.fragment


def keys(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The keys, none where none is set; the first one is what a command sends.

    A file has one key a line, comments after #, so that one can be replaced by another without a moment without any.

    Raises
    ------
    UnusableVariable: both variables are set, the file cannot be read or is empty, a key is too short to be one, or in
        production everybody knows it.
    """
    text, file = variable(KEY, environment), variable(KEY_FILE, environment)
    if text and file:
        raise UnusableVariable(f"{KEY} and {KEY_FILE} are both set; set one of them")
    found = _keys_of(Path(file)) if file else (_checked(text.strip(), KEY),) if text else ()
    if DEVELOPMENT_KEY in found and variable(ENV, environment).strip().lower() == "production":
        raise UnusableVariable(
            f"{KEY_FILE if file else KEY}: the key is the one for development, which everybody knows;"
            " in production make one of your own: `openssl rand -hex 32`"
        )
    return found


def _keys_of(file: Path) -> tuple[str, ...]:
    lines = _text_of(file, KEY_FILE).splitlines()
    found = [line.partition("#")[0].strip() for line in lines]
    if not any(found):
        raise UnusableVariable(f"{KEY_FILE}: {file} holds no key; `openssl rand -hex 32` makes one")
    return tuple(_checked(key, f"{KEY_FILE}: a key of {file}") for key in found if key)


def _text_of(file: Path, name: str) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UnusableVariable(f"{name}: {file} cannot be read: {os.strerror(error.errno or 0)}") from None
    except ValueError:
        raise UnusableVariable(f"{name}: {file} is not UTF-8 text") from None


def _checked(key: str, what: str) -> str:
    if not _KEY.fullmatch(key):
        raise UnusableVariable(
            f"{what}: a key has {_SHORTEST_KEY} to 512 printable characters without spaces;"
            " `openssl rand -hex 32` makes one"
        )
    return key
