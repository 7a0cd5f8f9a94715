"""Pages in a real browser, where there is one: what stands in them after their script has run, and their width."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

__all__ = ["CHROMIUM", "in_a_browser", "needs_a_browser", "width_needed"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")


def in_a_browser(address: str) -> str:
    """A page's document after its script has run.

    Args:
        address: ``file://`` address.
    """
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [
                str(CHROMIUM), "--headless", "--hide-scrollbars", "--no-sandbox", "--disable-gpu", "--disable-quic",
                "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                f"--user-data-dir={profile}", "--virtual-time-budget=3000", "--dump-dom", address,
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )  # fmt: skip
    return done.stdout


def width_needed(page: str, width: int) -> int:
    """How wide a page gets, in pixels, in a window of this width; more than that has to be scrolled sideways.

    Args:
        page: text of the page.
        width: pixels.
    """
    frame = (
        f'<!doctype html><title></title><iframe width="{width}" height="900" style="border:0" '
        f'srcdoc="{html.escape(page)}"></iframe><script>document.querySelector("iframe").onload = event => '
        "{ document.title = event.target.contentDocument.documentElement.scrollWidth }</script>"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame.html"
        file.write_text(frame, encoding="utf-8")
        return int(re.search(r"<title>(\d+)</title>", in_a_browser(file.as_uri()))[1])
