"""Headless Chromium through chromedriver's HTTP interface, with the standard library alone."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def installed() -> bool:
    return bool(shutil.which("chromedriver") and shutil.which("chromium"))


class Browser:
    """One page in one browser; use as a context manager."""

    def __init__(self, profile: Path, width: int = 1280, height: int = 900, dark: bool = False):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._server = subprocess.Popen(
            ["chromedriver", f"--port={port}", "--log-level=OFF"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._root = f"http://127.0.0.1:{port}"
        self._wait()
        flags = [*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        if dark:
            flags.append("--force-dark-mode")
        answer = self._post(
            "/session",
            {
                "capabilities": {
                    "alwaysMatch": {
                        "goog:chromeOptions": {"args": flags, "binary": shutil.which("chromium")},
                        "goog:loggingPrefs": {"browser": "ALL"},
                    }
                }
            },
        )
        self._session = f"/session/{answer['sessionId']}"
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        if dark:
            self.command(
                "Emulation.setEmulatedMedia",
                features=[{"name": "prefers-color-scheme", "value": "dark"}],
            )

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error) -> None:
        with contextlib.suppress(OSError):
            self._call("DELETE", self._session)
        self._server.terminate()
        self._server.wait(10)

    def open(self, path: Path) -> float:
        """Load a local page; return the seconds until its load event ended."""
        self._post(f"{self._session}/url", {"url": path.absolute().as_uri()})
        return self.run("return performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000

    def run(self, script: str, *arguments):
        """Run a script in the page and return its value."""
        return self._post(f"{self._session}/execute/sync", {"script": script, "args": arguments})

    def until(self, script: str, seconds: float = 20):
        """Run a script until its value is true."""
        end = time.monotonic() + seconds
        while not (value := self.run(script)):
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {script}")
            time.sleep(0.05)
        return value

    def keys(self, *keys: str) -> None:
        """Press keys, one after the other."""
        actions = [
            a
            for key in keys
            for a in ({"type": "keyDown", "value": key}, {"type": "keyUp", "value": key})
        ]
        self._post(
            f"{self._session}/actions",
            {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]},
        )

    def pointer(self, *moves: tuple[str, int, int]) -> None:
        """Move, press and release the mouse: ("move" | "down" | "up", x, y)."""
        kinds = {"move": "pointerMove", "down": "pointerDown", "up": "pointerUp"}
        actions = [
            {"type": kinds[kind]}
            | ({"x": x, "y": y, "duration": 60} if kind == "move" else {"button": 0})
            for kind, x, y in moves
        ]
        self._post(
            f"{self._session}/actions",
            {
                "actions": [
                    {
                        "type": "pointer",
                        "id": "mouse",
                        "parameters": {"pointerType": "mouse"},
                        "actions": actions,
                    }
                ]
            },
        )

    def errors(self) -> list[str]:
        """Return what the console complained of since the last call."""
        log = self._post(f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] in ("SEVERE", "WARNING")]

    def command(self, name: str, **parameters):
        """Send a command of the browser's debugging protocol."""
        return self._post(f"{self._session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Write what is seen, or the whole page, as PNG."""
        answer = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def print(self, path: Path) -> None:
        """Print the page to PDF."""
        answer = self.command("Page.printToPDF", printBackground=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while True:
            try:
                if self._call("GET", "/status")["ready"]:
                    return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _post(self, path: str, body: dict):
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: dict | None = None):
        request = urllib.request.Request(
            self._root + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:2000]) from None
