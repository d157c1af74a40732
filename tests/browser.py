"""A small client of the Chrome DevTools Protocol: a real browser that opens a page, with or without JavaScript.

with Browser() as browser:
    browser.open("http://127.0.0.1:8000/")
    assert browser.evaluate("document.title") == "Tasks"
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from tests.processes import lacking

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
)
_ANSWER_WITHIN_S = 30.0


class BrowserFault(AssertionError):
    """The browser did not do what it was told, or a script in the page threw."""


def chromium() -> str:
    """Where the browser is; the test that asks is skipped, or fails, where there is none."""
    for name in _PROGRAMS:
        if found := shutil.which(name):
            return found
    return lacking("Chromium", "install the package chromium")


def _axe_core() -> str:
    found = importlib.util.find_spec("axe_core_python")
    if found is None or found.origin is None:
        return lacking("axe-core", "pip install axe-core-python")
    return Path(found.origin).with_name("axe.min.js").read_text()


class Browser:
    """One headless Chromium with one page. `requested` are the addresses that it has asked for, and `complaints` what
    it wrote to its console, a breach of the page's own policy among it."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="browser-")
        self._process = subprocess.Popen(
            [chromium(), *_FLAGS, f"--user-data-dir={self._folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self._ids = 0
        self._ending = ExitStack()
        self._session: str | None = None
        self._socket: ClientConnection | None = None
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        port_file = Path(self._folder) / "DevToolsActivePort"
        _until(lambda: port_file.is_file() and port_file.read_text().count("\n") >= 1, "Chromium did not start")
        port, path = port_file.read_text().split("\n")[:2]
        self._socket = self._ending.enter_context(connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None))
        targets = self.tell("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.tell("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the protocol and return its result."""
        assert self._socket is not None
        self._ids += 1
        command = {"id": self._ids, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        self._socket.send(json.dumps(command))
        while True:
            message = json.loads(self._socket.recv(timeout=_ANSWER_WITHIN_S))
            if message.get("id") == self._ids:
                if "error" in message:
                    raise BrowserFault(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requested.append(event["params"]["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(event["params"]["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(event["params"]["exceptionDetails"].get("text")))

    def open(self, url: str) -> None:
        """Go to an address and wait until the document is there, whatever its status."""
        answer = self.tell("Page.navigate", url=url)
        if answer.get("errorText"):
            raise BrowserFault(f"{url}: {answer['errorText']}")
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for. Works where the page's own scripts do not."""
        answer = self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserFault(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait_for(self, expression: str, within_s: float = 20.0) -> None:
        """Wait until an expression is true, over reloads of the page."""
        _until(lambda: self._holds(expression), f"in the browser this did not come true: {expression}", within_s)

    def _holds(self, expression: str) -> bool:
        try:
            return bool(self.evaluate(expression))
        except BrowserFault:  # the page is being replaced
            return False

    @property
    def text(self) -> str:
        """What a person reads."""
        return str(self.evaluate("document.body.innerText"))

    def scripts(self, *, run: bool) -> None:
        """Let the scripts of pages run, or not."""
        self.tell("Emulation.setScriptExecutionDisabled", value=not run)

    def emulate(self, *, scheme: str = "light", motion: str = "no-preference", accept_language: str = "") -> None:
        """Prefer a colour scheme (light or dark), a motion (no-preference or reduce) and languages from now on."""
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        self.tell(
            "Emulation.setEmulatedMedia",
            features=[{"name": name, "value": value} for name, value in features.items()],
        )
        headers = {"Accept-Language": accept_language} if accept_language else {}
        self.tell("Network.setExtraHTTPHeaders", headers=headers)

    def resize(self, width: int, height: int, scale: float = 1.0) -> None:
        """Make the window so many CSS pixels wide and high."""
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    def screenshot(self, file: Path) -> Path:
        """Write the whole page as PNG."""
        picture = self.tell("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(picture["data"]))
        return file

    def axe(self) -> list[str]:
        """What axe-core finds against the page's accessibility, a line each; empty is what one wants."""
        self.evaluate(_axe_core())
        found = self.evaluate("axe.run().then(result => result.violations)")
        return [
            f"{violation['id']} ({violation['impact']}): {node['html']} {node.get('failureSummary', '')}"
            for violation in found
            for node in violation["nodes"]
        ]

    def close(self) -> None:
        """End the browser and forget its profile."""
        self._ending.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=20)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _until(condition: Callable[[], object], otherwise: str, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise BrowserFault(otherwise)
        time.sleep(0.05)
