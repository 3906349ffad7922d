"""The report's page with 50 and with 10,000 cells: its size, when it is painted, how fast it filters.

Run by hand, needs Chromium: ``nox -s bench -- report_page``. Budgets: 50 cells below 2.5 MB; 10,000 cells below 12 MB, painted
within 2 s, filtered within 100 ms. Times are medians of several, in a fresh browser each.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from harness import report
from tests.results_factory import many

REPEATS = 5
PAINTED = """performance.getEntriesByName("first-contentful-paint")[0].startTime"""
READY = """performance.now()"""
#: From the choice to the next frame in which the browser has laid the table out.
FILTERED = """async () => {
  const select = document.querySelector("[name=method]"), times = [];
  for (const value of ["int8-dynamic", "", "fp16", "", "original", ""]) {
    const begin = performance.now();
    select.value = value;
    select.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.getBoundingClientRect();
    times.push(performance.now() - begin);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }
  return times;
}"""


def main() -> None:
    """Print a line a size; exit with 1 where a budget is broken."""
    kept = True
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for cells, megabytes in ((50, 2.5), (10_000, 12.0)):
            start = time.perf_counter()
            report.render(many(cells), Path(folder) / str(cells))
            drawn_s = time.perf_counter() - start
            page = Path(folder) / str(cells) / "index.html"
            size = page.stat().st_size / 1e6
            painted, ready, filtered = (statistics.median(times) for times in zip(*_visits(browser, page), strict=True))
            fits = size < megabytes and painted < 2000 and filtered < 100
            kept = kept and fits
            print(
                f"{cells:6d} cells: {size:.2f} MB of {megabytes}, painted in {painted:.0f} ms of 2000, at work "
                f"in {ready:.0f} ms, filtered in {filtered:.0f} ms of 100; drawn in {drawn_s:.1f} s{'' if fits else '  MISS'}"
            )
        browser.close()
    sys.exit(0 if kept else 1)


def _visits(browser: Browser, page: Path) -> list[tuple[float, float, float]]:
    """Milliseconds to the first paint, to the script's end of work, and of a filter, for each visit."""
    found = []
    for _ in range(REPEATS):
        context = browser.new_context()
        opened = context.new_page()
        opened.goto(page.as_uri())
        expect(opened.locator("form.filters output")).not_to_be_empty(timeout=30_000)  # the script has begun
        ready = opened.evaluate(READY)
        painted = opened.evaluate(PAINTED)
        filtered = statistics.median(opened.evaluate(FILTERED))
        found.append((painted, ready, filtered))
        context.close()
    return found


if __name__ == "__main__":
    main()
