"""A headless Chromium for tests, spoken to over two pipes in the DevTools protocol: no driver, no package.

https://chromedevtools.github.io/devtools-protocol; with --remote-debugging-pipe the browser reads commands from file
descriptor 3 and writes answers and events to 4, each a JSON object and a NUL.
"""

import base64
import fcntl
import itertools
import json
import os
import pathlib
import select
import shutil
import subprocess
import time
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE_SECONDS = 30.0


def _high_pipe() -> tuple[int, int]:
    """A pipe whose ends are not 3 or 4: those are what the browser gets, and one would be put over the other."""
    low = os.pipe()
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 100) for descriptor in low]
    for descriptor in low:
        os.close(descriptor)
    return high[0], high[1]


def find_chromium() -> str | None:
    """The browser's program, or None."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


class Chromium:
    """One page of a browser.

    Attributes:
        errors: what it wrote to the console as an error, exceptions that nobody caught, and files that did not load.
    """

    def __init__(self, program: str, profile: pathlib.Path):
        self.errors: list[str] = []
        self.requested: list[str] = []
        self._log = profile / "stderr.log"
        commands, self._send = _high_pipe()
        self._receive, answers = _high_pipe()
        command = [
            *(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"),
            *("--remote-debugging-pipe", "--no-first-run", "--hide-scrollbars", "--disable-extensions"),
            *("--disable-background-networking", "--autoplay-policy=no-user-gesture-required"),
            *(f"--user-data-dir={profile}", "about:blank"),
        ]
        shell = f'exec 3<&{commands} 4>&{answers}; exec "$@"'
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", shell, "chromium", *command],
                pass_fds=(commands, answers),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        os.close(commands)
        os.close(answers)
        self._numbers = itertools.count(1)
        self._unread = b""
        self._session: str | None = None
        targets = self._ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a page, anew also if only the fragment differs."""
        self._ask("Page.navigate", url="about:blank")
        self._ask("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are waited for."""
        answer = self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression is true, as JavaScript sees it: an element comes here as an empty dict."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > until:
                raise AssertionError(f"never true: {condition}; errors: {self.errors}")
            select.select([], [], [], 0.02)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """The size of the window in pixels, and what its user prefers."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str) -> None:
        """A key, by its DOM name."""
        for kind in ("keyDown", "keyUp"):
            self._ask(
                "Input.dispatchKeyEvent", type=kind, key=key, text=key if len(key) == 1 and kind == "keyDown" else ""
            )

    def click(self, x: float, y: float) -> None:
        """The left button, at a place in the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: pathlib.Path) -> None:
        """What the window shows, as a PNG."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End the browser."""
        os.close(self._send)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._receive)

    def _ask(self, method: str, **parameters: object) -> Any:
        number = next(self._numbers)
        told: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session:
            told["sessionId"] = self._session
        os.write(self._send, json.dumps(told).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]
            self._note(message)

    def _next(self) -> Any:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._receive], [], [], _PATIENCE_SECONDS)
            chunk = os.read(self._receive, 1 << 20) if ready else b""
            if not chunk:
                raise AssertionError(f"the browser does not answer: {self._log.read_text(errors='replace')[-2000:]}")
            self._unread += chunk
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    def _note(self, message: Any) -> None:
        method, told = message.get("method"), message.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            self.errors.append(str(details.get("exception", {}).get("description") or details["text"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.errors.append(str([argument.get("value") for argument in told["args"]]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requested.append(told["request"]["url"])
