"""Check of a page in a real browser: how fast it opens, and whether anybody can read it.

`python -m bench.report.render.browser report.html` prints it. Needs Chromium and the extra `test`.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

WIDTHS = (400, 1280, 2560)
SCHEMES = ("light", "dark")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Visit:
    """Visit of a page at a width in pixels and in a colour scheme.

    seconds: until everything is loaded; width: of the content, more than the window's means that it scrolls
    sideways; errors: of the console and of scripts; requests: addresses requested besides the page itself.
    violations: of axe-core's rules, each with the element; None where they were not checked.
    """

    window: int
    scheme: str
    seconds: float
    width: int
    errors: list[str]
    requests: list[str]
    violations: list[str] | None


def executable() -> str | None:
    """Path of the installed Chromium, if there is one."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def axe() -> str | None:
    """Source of axe-core, as the package axe-playwright-python holds it."""
    try:
        return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        return None


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a browser, one at a time.

    Raises:
        ModuleNotFoundError: playwright is not installed.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        yield running
        running.close()


def visits(
    running: Any, address: str, widths: Sequence[int] = WIDTHS, rules: str | None = None
) -> Iterator[Visit]:
    """Visit the page at these widths in every scheme; `rules` is the source of axe-core."""
    for scheme in SCHEMES:
        for width in widths:
            yield _visit(running, address, width, scheme, rules)


def _visit(browser: Any, address: str, width: int, scheme: str, rules: str | None) -> Visit:
    errors: list[str] = []
    requests: list[str] = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    start = time.perf_counter()
    page.goto(address, wait_until="load")
    seconds = time.perf_counter() - start
    content = page.evaluate("document.scrollingElement.scrollWidth")
    found = Visit(
        width,
        scheme,
        seconds,
        content,
        errors,
        [url for url in requests if url != address and not url.startswith("data:")],
        None if rules is None else _violations(page, rules),
    )
    context.close()
    return found


def _violations(page: Any, rules: str) -> list[str]:
    # Folded parts are checked too.
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    page.evaluate(rules)
    found = page.evaluate("axe.run()")["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


def main() -> None:
    """Print a line per visit."""
    page = Path(*sys.argv[1:2])
    if not page.is_file():
        print(f"error: no page '{page}': python -m bench.report.render.browser PAGE.html", file=sys.stderr)
        sys.exit(2)
    print(f"{page}: {page.stat().st_size / 1e6:.2f} MB")
    rules = axe()
    with chromium() as running:
        for visit in visits(running, page.resolve().as_uri(), rules=rules):
            _print(visit)


def _print(visit: Visit) -> None:
    broken = visit.violations
    violations = "axe-core is not installed" if broken is None else f"{len(broken)} violations"
    print(
        f"{visit.window:5} px, {visit.scheme:5}: opens in {visit.seconds:.2f} s, "
        f"{visit.width} px wide, {len(visit.errors)} errors, {len(visit.requests)} requests, {violations}"
    )
    for line in [*visit.errors, *visit.requests, *(broken or [])]:
        print(f"    {line}")


if __name__ == "__main__":
    main()
