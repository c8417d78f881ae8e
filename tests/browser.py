"""A real headless Chromium for tests of pages: no network, and every complaint is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

DESKTOP, PHONE = (1280, 900), (360, 740)
PATIENCE = 120_000  # milliseconds: a machine that trains beside the tests draws slowly


@dataclass
class Opened:
    """A page that was opened; `complaints` are console errors, exceptions and requests off the file."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def point(self, plot: int, trace: int = 0, index: int = 0) -> tuple[float, float]:
        """Where on the screen a drawn marker stands, scrolled into view."""
        marker = self.page.locator(".plot").nth(plot).locator(".scatterlayer .trace").nth(trace)
        dot = marker.locator(".points path").nth(index)
        dot.scroll_into_view_if_needed()
        box = dot.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def chromium_path() -> str:
    """The installed browser; skips the test with its reason where there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    if found is None:
        pytest.skip("no chromium, google-chrome or chromium-browser is installed")
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """A headless browser; costs about a second, so share it over a module's tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as machine:
        opened = machine.chromium.launch(
            executable_path=chromium_path(),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            timeout=PATIENCE,
        )
        yield opened
        opened.close()


@contextmanager
def opened(
    chromium: Any, path: Path, size: tuple[int, int] = DESKTOP, scheme: str = "light", beside: Path | None = None
) -> Iterator[Opened]:
    """`path` in a fresh, offline window of `size`, once page.js says that every figure was drawn. `beside` is the one
    other file that it may ask for."""
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    context.set_offline(True)
    context.set_default_timeout(PATIENCE)
    seen = Opened(context.new_page())
    _listen(seen, [file.resolve().as_uri() for file in (path, beside) if file is not None])
    seen.page.goto(path.resolve().as_uri())
    seen.page.wait_for_selector("body[data-ready]")
    yield seen
    context.close()


def _listen(seen: Opened, addresses: list[str]) -> None:
    def route(request_route: Any) -> None:
        url = request_route.request.url
        if url in addresses:
            request_route.continue_()
        else:
            seen.complaints.append(f"request: {url}")
            request_route.abort()

    seen.page.route("**/*", route)
    seen.page.on("console", lambda m: m.type in ("error", "warning") and seen.complaints.append(f"console: {m.text}"))
    seen.page.on("pageerror", lambda error: seen.complaints.append(f"exception: {error}"))
