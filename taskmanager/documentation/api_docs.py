"""The API's documentation as pages: Swagger UI at /docs, ReDoc at /redoc, both without a network.

Their scripts come from the package fastapi-offline, of which nothing but the files is used, and are read when they
are first asked for. Nothing in a page is inline, so its policy (DOCS_SECURITY_HEADERS) need not allow that. Every
address in a page is relative: it works behind a proxy that serves the whole under a path of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI, Request, Response

from taskmanager.access.security_headers import DOCS_SECURITY_HEADERS

OPENAPI_PATH = "/openapi.json"


def _page(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """A page of one element, of which its scripts make the rest. They and the styles are names of files under /docs."""
    style_lines = "".join(f'<link rel="stylesheet" href="docs/{name}">\n' for name in styles)
    script_lines = "".join(f'<script src="docs/{name}"></script>\n' for name in scripts)
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TaskManager API</title>
<link rel="icon" type="image/png" href="docs/favicon.png">
{style_lines}</head>
<body>
<div id="documentation"></div>
<noscript>This page needs JavaScript; <a href="openapi.json">openapi.json</a> says the same.</noscript>
{script_lines}</body>
</html>
"""


_SWAGGER_PAGE = _page(["swagger-ui.css", "page.css"], ["swagger-ui-bundle.js", "swagger-start.js"])
_REDOC_PAGE = _page(["page.css"], ["redoc.standalone.js", "redoc-start.js"])

# A validator of others would be sent the address, and a key that is kept would outlive its page.
_SWAGGER_START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#documentation",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
"""

# The search runs in a worker made of text, which the policy forbids; the browser's own finds as much here.
_REDOC_START = """\
Redoc.init("openapi.json", { disableSearch: true }, document.getElementById("documentation"));
"""

_PAGE_STYLE = "body { margin: 0; }\n"

_HTML = "text/html; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"


def _text(text: str) -> Callable[[], bytes]:
    return text.encode


# ReDoc decorates its footer with a picture from its makers' server, and leaves it out where there is none.
_OUTSIDE_PICTURE = b"https://cdn.redoc.ly/redoc/logo-mini.svg"


def _file(name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        # Found and not imported: the package's own code would take part in the start.
        package = find_spec("fastapi_offline")
        assert package is not None  # noqa: S101  a dependency
        assert package.origin is not None  # noqa: S101  a package with an __init__.py
        return (Path(package.origin).parent / "static" / name).read_bytes().replace(_OUTSIDE_PICTURE, b"data:,")

    return read


_CONTENTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "/docs": (_HTML, _text(_SWAGGER_PAGE)),
    "/redoc": (_HTML, _text(_REDOC_PAGE)),
    "/docs/page.css": (_STYLE, _text(_PAGE_STYLE)),
    "/docs/swagger-start.js": (_SCRIPT, _text(_SWAGGER_START)),
    "/docs/swagger-ui-bundle.js": (_SCRIPT, _file("swagger-ui-bundle.js")),
    "/docs/swagger-ui.css": (_STYLE, _file("swagger-ui.css")),
    "/docs/redoc-start.js": (_SCRIPT, _text(_REDOC_START)),
    "/docs/redoc.standalone.js": (_SCRIPT, _file("redoc.standalone.js")),
    "/docs/favicon.png": ("image/png", _file("favicon.png")),
}

PATHS = frozenset(_CONTENTS) | {OPENAPI_PATH}
"""Everything that these pages need. It holds no secret, so whoever reaches the service may read it."""


def install(app: FastAPI) -> None:
    """Serve the pages. The application's own `docs_url` and `redoc_url` must be None."""
    for path in _CONTENTS:
        app.add_api_route(path, partial(_serve, path), methods=["GET"], include_in_schema=False)


def _serve(path: str, request: Request) -> Response:
    """Not a coroutine, so that FastAPI reads the files in a thread."""
    media_type = _CONTENTS[path][0]
    content, etag = _content(path)
    # Asked for anew each time and mostly answered 304: a page must not run with scripts of an older release.
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if media_type == _HTML:
        headers |= {name.decode(): value.decode() for name, value in DOCS_SECURITY_HEADERS}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "Content-Type": media_type})


@cache
def _content(path: str) -> tuple[bytes, str]:
    content = _CONTENTS[path][1]()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
