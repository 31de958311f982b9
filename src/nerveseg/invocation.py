"""How `nerveseg` was called: from a folder inside the repository, or with a misspelled command."""

import os
import re
import sys
from argparse import Action, ArgumentParser, ArgumentTypeError
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import shtab

from nerveseg.errors import DatasetError
from nerveseg.text.wording import not_expanded
from nerveseg.tracking.store_errors import public

SMALLEST_MB, LARGEST_MB = 0.01, 100_000
LARGEST_PORT = 65_535


class Parser(ArgumentParser):
    """Suggest the right command for a misspelled one, and let shells complete paths."""

    def add_argument(self, *names: Any, **options: Any) -> Action:
        action = super().add_argument(*names, **options)
        if isinstance(getattr(action.type, "__self__", None), Typed):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        return action

    def error(self, message: str) -> NoReturn:
        if wrong := re.match(r"argument COMMAND: invalid choice: '(.*?)' \(choose from (.*)\)", message):
            commands = re.findall(r"[\w-]+", wrong[2])
            near = get_close_matches(wrong[1].lower(), commands, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"the commands are {', '.join(commands)}"
            self.exit(2, f"error: there is no command `{wrong[1]}`; {hint}\n")
        super().error(message)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print like argparse, which hides that the disk is full."""
        (file or sys.stderr).write(message or "")


def megabytes(text: str) -> float:
    """Return a size that a machine can have."""
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not SMALLEST_MB <= size <= LARGEST_MB:
        raise ArgumentTypeError(f"{text} is no size in MB; give a number from {SMALLEST_MB:g} to {LARGEST_MB:,}")
    return size


def port(text: str) -> int:
    """A port that a server can listen on."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= LARGEST_PORT):
        raise ArgumentTypeError(f"{text} is no port; give a number from 1 to {LARGEST_PORT}")
    return int(text)


class Typed:
    """Resolve what was typed in a folder of a repository against its root, which becomes the working directory."""

    def __init__(self) -> None:
        try:
            self._here = here = Path.cwd()
        except FileNotFoundError:
            raise DatasetError("the current folder was deleted; change to another one and try again") from None
        around = (folder for folder in [here, *here.parents] if (folder / "params.yaml").is_file())
        self._root = next((folder for folder in around if folder == here or (folder / "dvc.yaml").is_file()), here)
        os.chdir(self._root)

    def path(self, text: str) -> Path:
        if not text:  # a shell's unset variable, which pathlib takes for the current folder
            raise ArgumentTypeError("the path is empty; name a file or a folder ('.' is this folder)")
        path = Path(text)
        if (remedy := not_expanded(text)) and not os.path.lexists(self._here / path):
            raise ArgumentTypeError(remedy)
        if self._root == self._here or path.is_absolute():
            return path
        absolute = Path(os.path.abspath(self._here / path))  # noqa: PTH100 - resolve() would follow DVC's links
        return absolute.relative_to(self._root) if absolute.is_relative_to(self._root) else absolute

    def model(self, text: str) -> str:
        """Return the path of a folder, or a URI."""
        return text if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text) else str(self.path(text))

    def source(self, text: str) -> Path | int:
        """Return the path of frames, or the number of a device if no file or folder is called so."""
        path = self.path(text)
        if "://" in text and not path.exists():
            raise ArgumentTypeError(
                f"{public(text)} is an address, which is not read; name a video, a folder, or the number of a capture device, such as 0"
            )
        # From 100 on, OpenCV takes hundreds for another library that opens the device.
        return int(text) if re.fullmatch("[0-9]{1,2}", text) and not path.exists() else path
