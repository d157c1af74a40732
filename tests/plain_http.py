"""HTTP to the processes of the tests, which speak it without TLS.

Each of httpx's clients, and so each of its plain requests, reads the authorities of the system anew: 25 ms of a
processor, for one that asks a service on this machine and never needs them.
"""

from __future__ import annotations

import functools
import ssl

import httpx

# It trusts nobody, so that whoever asks by TLS here is told.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Client = functools.partial(httpx.Client, verify=NO_AUTHORITIES)
request = functools.partial(httpx.request, verify=NO_AUTHORITIES)
get = functools.partial(httpx.get, verify=NO_AUTHORITIES)
post = functools.partial(httpx.post, verify=NO_AUTHORITIES)
