"""Make the page about the command line from the parser."""

import argparse
import os
from unittest.mock import patch

from nerveseg.cli import command_line
from nerveseg.invocation import Typed
from tables import code, table

OPENING = """# Command line

Which commands and options does `nerveseg` have? This page lists them. To see them in your terminal, type:

```
nerveseg --help
nerveseg predict --help
```

`dvc` runs the pipeline. `nerveseg` does the rest: it checks data, segments frames, compares models and serves them. It works
anywhere in the repository. Paths are relative to the current folder.

| exit code | meaning |
| --- | --- |
| 0 | Success. |
| 1 | Something could not be used, or did not pass. A message says what. |
| 2 | The command line was not understood. |
| 130 | You pressed Ctrl-C. |"""


def commands_page() -> str:
    with patch.dict(os.environ, {"COLUMNS": "100"}):  # otherwise the page would depend on the terminal that builds it
        return "\n\n".join([OPENING, *(_section(name, command) for name, command in commands().items())]) + "\n"


def commands() -> dict[str, argparse.ArgumentParser]:
    parser = command_line(Typed())
    (subcommands,) = (action for action in _actions(parser) if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    return dict(subcommands.choices)


def _section(name: str, command: argparse.ArgumentParser) -> str:
    usage = command.format_usage().removeprefix("usage: ").rstrip()
    rows = [
        [_spelled(action), command._get_formatter()._expand_help(action) if action.help else ""]  # noqa: SLF001 - the only way
        for action in _actions(command)
        if action.dest != "help"
    ]
    parts = [f"## {name}", command.description or "", f"```\n{usage}\n```"]
    return "\n\n".join([*parts, table(["argument", "meaning"], rows)] if rows else parts)


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no other way to ask


def _spelled(action: argparse.Action) -> str:
    if not action.option_strings:
        return code(str(action.metavar or action.dest))
    metavar = action.metavar or action.dest.upper()
    value = "" if action.nargs == 0 else f" {metavar if isinstance(metavar, str) else ' '.join(metavar)}"
    return code(", ".join(action.option_strings) + value)
