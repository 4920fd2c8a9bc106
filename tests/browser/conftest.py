"""A real browser, headless; skipped where there is none. ``make browser-tests`` installs what is needed."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page of a file, and what it complained of or asked for.

    Args:
        context: the browser's.
        path: the file.
    """

    def __init__(self, context: Any, path: Any) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def asked_outside(self) -> list[str]:
        """Addresses of requests that were for anything but this machine's files."""
        return [url for url in self.requests if not url.startswith(("data:", "file:", "blob:"))]
