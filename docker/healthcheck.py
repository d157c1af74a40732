"""The container's HEALTHCHECK: is what runs here ready (serve) or alive (the other roles)?

Says it in one line, which `docker inspect` keeps. Exit status: 0 healthy, 1 not. It is run with `python -I -S` and
imports nothing but sockets, since it starts again and again beside the service.
"""

import socket
import sys

TIMEOUT_S = 2.5

# What is asked, by role: its default port and its path.
ROLES = {"serve": (8000, "/readyz"), "incidents": (9095, "/livez"), "backup": (9096, "/livez")}


def question(command):
    """What to ask of the process that was started by `command`, a list of words: (port, path), or None for nothing."""
    if "migrate" in command:  # it ends by itself, and its exit status tells all
        return None
    role = next((word for word in command if word in ROLES), "serve")
    port, path = ROLES[role]
    if "--port" in command[:-1]:
        port = int(command[command.index("--port") + 1])
    return port, path


def status_line(port, path):
    """The first line of the answer; raises OSError where none comes in time."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return connection.makefile("rb").readline(200).decode("latin-1").strip()


def main():
    # The first process of the container; under `docker run --init` its words follow those of the init.
    with open("/proc/1/cmdline", "rb") as file:  # noqa: PTH123  pathlib takes as long to import as all the rest
        command = file.read().decode(errors="replace").split("\0")
    asked = question(command)
    if asked is None:
        sys.stdout.write("this role answers nothing\n")
        return 0
    try:
        said = status_line(*asked)
    except OSError as error:
        said = f"no answer: {error}"
    sys.stdout.write(f"{asked[1]} on port {asked[0]}: {said}\n")
    return 0 if said.split(" ")[1:2] == ["200"] else 1


if __name__ == "__main__":
    sys.exit(main())
