"""The service with a server that loses its patience within a second, so that tests need not wait for it."""

from __future__ import annotations

import sys

from taskmanager.cli import main
from taskmanager.server import http_connection, http_server

http_connection.READ_TIMEOUT_S = 0.5
http_connection.WRITE_TIMEOUT_S = 0.5
http_server.KEEP_ALIVE_S = 1

if __name__ == "__main__":
    sys.exit(main(["serve", "--port", sys.argv[1]]))
