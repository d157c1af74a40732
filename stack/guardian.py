"""Keeps one child process from outliving its launcher, even when the launcher is ended by SIGKILL.

    python -I -S guardian.py [--stop-signal INT] [--hasten-signal QUIT] [--grace 20] [--user UID --group GID]
                             [--cwd FOLDER] --report-fd N -- COMMAND [ARGUMENT ...]

Standard input is a pipe held by the launcher. When that pipe ends, or the guardian receives SIGTERM, SIGINT
or SIGHUP, the child is sent the stop signal, and SIGKILL if it is still there after the grace (seconds).
SIGUSR1 sends the hasten signal as well. The guardian exits with the child's code, 128 + n if signal n ended it.

On Linux the child also receives the stop signal when the guardian itself is ended by SIGKILL.

To `--report-fd` it writes `pid N`, and `error TEXT` when the command could not be executed.

It runs as a script of its own and imports little, since it stands in the way of every start.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # importing it from typing would add 6 ms to every start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

STOP_REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
HASTEN_REQUEST = signal.SIGUSR1
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
CANNOT_EXECUTE = 127


class Orders:
    """What the guardian has been asked to do so far."""

    def __init__(self) -> None:
        self.stop = False
        self.hasten = False

    def note(self, number: int, _frame: object) -> None:
        self.stop = True
        self.hasten = self.hasten or number == HASTEN_REQUEST


def parse(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options and command. argparse would add 10 ms to every start, and only our own launcher calls this."""
    separator = arguments.index("--")
    options = arguments[:separator]
    return dict(zip(options[::2], options[1::2], strict=True)), arguments[separator + 1 :]


def signal_named(name: str) -> signal.Signals:
    return signal.Signals["SIG" + name]


def listen(orders: Orders) -> int:
    """Routes requests into `orders`; returns a descriptor that becomes readable at each signal."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_read, False)
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (*STOP_REQUESTS, HASTEN_REQUEST):
        signal.signal(number, orders.note)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    return wake_read


def start(command: list[str], options: dict[str, str], report: int) -> int:
    """Forks the child and returns its pid. Signals wait meanwhile: none is lost between fork and exec."""
    guardian = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if child == 0:
        become(command, options, guardian, report)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    tell(report, f"pid {child}")
    os.close(report)
    return child


def become(command: list[str], options: dict[str, str], guardian: int, report: int) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in (*STOP_REQUESTS, HASTEN_REQUEST, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        # A group of its own, so that what the child leaves behind can be found by it.
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        prctl = load_prctl()
        drop_privileges(options)
        if "--cwd" in options:
            os.chdir(options["--cwd"])
        if prctl is not None:
            # After the change of ids, which clears the setting (prctl(2)).
            prctl(PR_SET_PDEATHSIG, signal_named(options.get("--stop-signal", "TERM")))
        if os.getppid() != guardian:
            os._exit(CANNOT_EXECUTE)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
        os.execvp(command[0], command)  # noqa: S606 - running the launcher's command is its purpose
    except BaseException as failure:  # noqa: BLE001 - the forked copy must never run on as a second guardian
        tell(report, f"error {command[0]}: {failure}")
    os._exit(CANNOT_EXECUTE)


def drop_privileges(options: dict[str, str]) -> None:
    if "--user" in options:
        os.setgroups([])
        os.setgid(int(options["--group"]))
        os.setuid(int(options["--user"]))


def load_prctl() -> Callable[[int, int], object] | None:
    """Comes before the change of ids: the new account may be unable to read Python's library."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes
    except ImportError:  # a Python built without libffi
        return None
    return lambda option, value: ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def tell(report: int, line: str) -> None:
    """The launcher may be gone already; then nobody reads."""
    try:
        os.write(report, f"{line}\n".encode())
    except OSError:
        return


def watch(child: int, options: dict[str, str], orders: Orders, wake: int) -> int:
    """Waits for the child, passing orders on to it; returns its wait status."""
    stop = signal_named(options.get("--stop-signal", "TERM"))
    hasten = signal_named(options.get("--hasten-signal", "KILL"))
    grace = float(options.get("--grace", "15"))
    stop_sent = hasten_sent = False
    deadline: float | None = None
    watched = [wake, sys.stdin.fileno()]
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if orders.stop and not stop_sent:
            send(child, stop)
            stop_sent = True
            deadline = time.monotonic() + grace
        if orders.hasten and not hasten_sent:
            send(child, hasten)
            hasten_sent = True
        if deadline is not None and time.monotonic() >= deadline:
            send(child, signal.SIGKILL)
            deadline = None
        ready, _, _ = select.select(
            watched, [], [], None if deadline is None else max(0.0, deadline - time.monotonic())
        )
        if wake in ready:
            os.read(wake, 512)
        if sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 512):
            watched = [wake]
            orders.stop = True


def send(child: int, number: signal.Signals) -> None:
    os.kill(child, number)
    # A paused process would keep the signal waiting until the grace is over.
    os.kill(child, signal.SIGCONT)


def sweep(child: int) -> None:
    """Ends what the child left in its process group."""
    try:
        os.killpg(child, signal.SIGKILL)
    except OSError:
        return


def main(arguments: list[str]) -> int:
    options, command = parse(arguments)
    report = int(options["--report-fd"])
    os.set_inheritable(report, False)
    orders = Orders()
    wake = listen(orders)
    child = start(command, options, report)
    status = watch(child, options, orders, wake)
    sweep(child)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
