"""The report's colours, light and dark, from one table: for the page and for each chart that stands alone."""

from __future__ import annotations

#: Name -> (light, dark). Text and marks keep WCAG AA contrast on their paper. ``m1`` to ``m7``: Okabe & Ito 2008,
#: shifted in lightness per theme where the original would be too faint; ``m0`` is what was not compressed.
COLOURS = {
    "paper": ("#ffffff", "#14171a"),
    "soft": ("#f6f7f8", "#1c2024"),
    "line": ("#e2e5e9", "#2e343a"),
    "ink": ("#1a1e23", "#e7eaed"),
    "muted": ("#5b636d", "#9ba4ae"),
    "accent": ("#0b5cad", "#7fb8f2"),
    "good": ("#0a6b4d", "#5fcaa3"),
    "bad": ("#a33a12", "#f0986a"),
    "m0": ("#3d444d", "#c3cad2"),
    "m1": ("#0072b2", "#4ea9e0"),
    "m2": ("#d55e00", "#ee7c26"),
    "m3": ("#009e73", "#26bd92"),
    "m4": ("#cc79a7", "#db93bb"),
    "m5": ("#d08e00", "#e6a92f"),
    "m6": ("#3aa0dc", "#8accf2"),
    "m7": ("#8a7f00", "#f0e442"),
}


def page() -> str:
    """Custom properties that follow the system, unless ``data-theme`` on the root says otherwise."""
    dark = ":root:not([data-theme=light])"
    forced = f":root[data-theme=dark]{{color-scheme:dark;{_properties(1)}}}"
    light = f":root{{color-scheme:light;{_properties(0)}}}"
    screen = f"@media screen and (prefers-color-scheme:dark){{{dark}{{color-scheme:dark;{_properties(1)}}}}}"
    return f"{light}\n{screen}\n@media screen{{{forced}}}"


def standalone() -> str:
    """Custom properties for an SVG file, which follows the system of whoever looks at it."""
    return f":root{{{_properties(0)}}}@media (prefers-color-scheme:dark){{:root{{{_properties(1)}}}}}"


def _properties(theme: int) -> str:
    return "".join(f"--{name}:{both[theme]};" for name, both in COLOURS.items())
