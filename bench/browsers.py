"""Find the Chromium of this machine, which opens the report."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def chromium() -> str | None:
    """Return its path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)
