"""Headless Chromium for tests of pages."""

from __future__ import annotations

import json
import os
import select as ready
import subprocess
import sys
from pathlib import Path
from typing import Any


class Browser:
    """Headless Chromium, driven over a pair of pipes by the DevTools protocol: no socket, no driver to install."""

    TIMEOUT_S = 120
    # Chromium reads commands from descriptor 3 and answers on 4.
    _LAUNCHER = (
        "import fcntl, os, sys; given = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 10) for n in sys.argv[1:3]];"
        "os.dup2(given[0], 3); os.dup2(given[1], 4); os.execvp(sys.argv[3], sys.argv[3:])"
    )

    def __init__(self, program: str, profile: Path) -> None:
        commands, answers = os.pipe(), os.pipe()
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe"]
        arguments = [program, *flags, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", self._LAUNCHER, str(commands[0]), str(answers[1]), *arguments],
            pass_fds=(commands[0], answers[1]),
            stderr=subprocess.DEVNULL,
        )
        os.close(commands[0])
        os.close(answers[1])
        self._write, self._read = commands[1], answers[0]
        self._received = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        page = next(target for target in self.send("Target.getTargets")["targetInfos"] if target["type"] == "page")
        self._session = self.send("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        """Ask it to end, and wait until it has: it may go before it answers."""
        self._session = None
        self._post("Browser.close")
        self._process.wait(self.TIMEOUT_S)
        os.close(self._write)
        os.close(self._read)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its answer; what happened meanwhile is added to `events`."""
        self._post(method, **parameters)
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _post(self, method: str, **parameters: Any) -> None:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **({"sessionId": self._session} if self._session else {})}
        os.write(self._write, json.dumps(message).encode() + b"\0")

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            assert ready.select([self._read], [], [], self.TIMEOUT_S)[0], "the browser does not answer"
            part = os.read(self._read, 1 << 16)
            assert part, "the browser has gone"
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        codes = {
            "Tab": 9,
            "Enter": 13,
            "Escape": 27,
            "PageDown": 34,
            "End": 35,
            "Home": 36,
            "ArrowLeft": 37,
            "ArrowRight": 39,
            "ArrowDown": 40,
        }
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes.get(key, ord(key[0].upper())))

    def show(self, page: Path | str, address: str = "", *, width: int = 1280, dark: bool = False) -> None:
        """Open a page, a file or a URL, and wait until its script has run."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.send("Page.navigate", url="about:blank")
        self.events.clear()
        self.send("Page.navigate", url=(page if isinstance(page, str) else page.as_uri()) + address)
        while not self.evaluate("document.documentElement?.dataset.ready === 'yes'"):
            pass

    def complaints(self, own: str | None = None) -> list[dict[str, Any]]:
        """Everything the page logged, threw or asked the network for since it was shown; of its `own` server it may ask."""
        return [
            event
            for event in self.events
            if event.get("method") in {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
            or (event.get("method") == "Network.requestWillBeSent" and not _is_due(event["params"], own))
        ]


def _is_due(asked: dict[str, Any], own: str | None) -> bool:
    if own is None:
        return bool(asked["type"] == "Document")
    url: str = asked["request"]["url"]
    return url.startswith((own, "data:"))
