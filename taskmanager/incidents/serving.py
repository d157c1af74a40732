"""`taskmanager incidents serve`: one process that holds the journal and answers."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from taskmanager.incidents import variables
from taskmanager.incidents.access import Gatekeeper, is_loopback
from taskmanager.incidents.journal import Journal, JournalUnusable, make_folder
from taskmanager.incidents.lock import JournalInUse, WriterLock

logger = logging.getLogger(__name__)

# EX_CONFIG of sysexits.h: starting again changes nothing, somebody has to change a setting.
UNUSABLE_SETTINGS = 78

CANNOT_START = 1
JOURNAL_IN_USE = 4


@dataclass(frozen=True, slots=True)
class ServeOptions:
    host: str
    port: int
    journal: Path
    watchdog_timeout_s: float
    expect_watchdog: bool
    reopened_within: timedelta
    alertmanager: str | None
    """The option, None where it is not given: then the variable counts."""
    gone_after_s: float


def serve(options: ServeOptions) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        keys = variables.keys()
        alertmanager = variables.alertmanager(options.alertmanager)
        webhook_url = variables.webhook_url()
    except variables.UnusableVariable as error:
        return _complain(str(error), UNUSABLE_SETTINGS)
    if not keys and not is_loopback(options.host):
        return _complain(_no_key(options.host), UNUSABLE_SETTINGS)
    lock = WriterLock(options.journal)
    try:
        _make_folder(options.journal.parent)
        listener = _listen(options.host, options.port)
    except OSError as error:
        return _complain(str(error), CANNOT_START)
    with listener:
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        try:
            lock.acquire(f"serving {address}")
            journal = Journal(options.journal)
        except JournalInUse as error:
            return _complain(f"{options.journal} is in use by {error}; stop that one, or name another", JOURNAL_IN_USE)
        except (JournalUnusable, OSError) as error:
            return _complain(_reason(error), CANNOT_START)
        try:
            _tell(journal, address, keyed=bool(keys))
            return _run(options, journal, keys, listener, alertmanager, webhook_url)
        finally:
            journal.close()
            lock.release()


def _no_key(host: str) -> str:
    return (
        f"with --host {host} other machines reach this receiver, and it has no key; set {variables.KEY_FILE} to a file"
        f" that holds one (`openssl rand -hex 32`), or {variables.KEY}, or keep to --host 127.0.0.1"
    )


def _make_folder(folder: Path) -> None:
    try:
        make_folder(folder)
    except OSError as error:
        raise OSError(f"the folder {folder} cannot be made: {_reason(error)}") from None


def _listen(host: str, port: int) -> socket.socket:
    """Bind before the journal is touched, so that a taken port is the first thing that is told."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        raise OSError(f"cannot listen on {host}:{port}: {_reason(error)}; choose another with --port") from None


def _reason(error: Exception) -> str:
    if isinstance(error, socket.gaierror):  # its numbers are the resolver's
        return error.strerror or str(error)
    # Not `strerror`: create_server adds the address to it, which is told already.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def _tell(journal: Journal, address: str, *, keyed: bool) -> None:
    who = "whoever has its key" if keyed else "this machine alone"
    logger.info("incidents: listening on %s for %s; journal %s", address, who, journal.path)
    for damage in journal.contents.damage:
        logger.error("journal %s, line %d is left out: %s", journal.path, damage.line, damage.reason)
    if journal.kept_aside is not None:
        logger.warning("the journal ended in the middle of a line; what there was of it is in %s", journal.kept_aside)
    elif journal.contents.torn:
        logger.warning("the journal ends in the middle of a line, which cannot be set aside yet: the disk refuses")


def _run(
    options: ServeOptions,
    journal: Journal,
    keys: tuple[str, ...],
    listener: socket.socket,
    alertmanager: str,
    webhook_url: str,
) -> int:
    # Here and not above: what is refused must not wait for these imports.
    import uvicorn

    from taskmanager.incidents.http_api import create_app
    from taskmanager.incidents.receiver import Receiver
    from taskmanager.incidents.reconciliation import Reconciliation, asking

    receiver = Receiver(
        journal,
        watchdog_timeout_s=options.watchdog_timeout_s,
        expect_watchdog=options.expect_watchdog,
        reopened_within=options.reopened_within,
        webhook_url=webhook_url,
    )
    reconciliation = Reconciliation(receiver, asking(alertmanager), options.gone_after_s) if alertmanager else None
    config = uvicorn.Config(
        create_app(receiver, Gatekeeper(keys), reconciliation),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=256,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=3,
    )
    # uvicorn raises the signal that stopped it once more; who stops as told has not been killed.
    signal.signal(signal.SIGTERM, _stop)
    with suppress(KeyboardInterrupt, _Stopped):
        uvicorn.Server(config).run(sockets=[listener])
    return 0


class _Stopped(Exception):
    pass


def _stop(number: int, frame: object) -> None:
    raise _Stopped


def _complain(line: str, status: int) -> int:
    print(f"taskmanager: incidents: {line}", file=sys.stderr)  # noqa: T201
    return status
