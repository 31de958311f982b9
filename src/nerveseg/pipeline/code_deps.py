"""`python -m nerveseg.pipeline.code_deps`: write the code that each stage depends on into `dvc.yaml`.

A stage depends on its script and on each package that it reaches through imports, as a whole. Modules at the top of
`nerveseg` count separately.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path("src/nerveseg")


def code_of(stage: str, root: Path = Path()) -> list[str]:
    """Return the sorted paths of a stage's code, relative to the repository's root."""
    script = Path(f"stages/{stage}.py")
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += _imported(root / path, root)
    packages = {path.parent if path.parent != PACKAGE else path for path in seen - {script}}
    outermost = {PACKAGE / path.relative_to(PACKAGE).parts[0] for path in packages}
    return [str(script), *sorted(map(str, outermost))]


def with_code_deps(text: str, root: Path = Path()) -> str:
    """Return the text of `dvc.yaml` with the current code deps of each stage; its other deps stay."""
    lines, stage, in_deps = [], "", False
    for line in text.splitlines():
        if found := re.match(r"  (\w+):$", line):
            stage = found[1]
        in_deps = line == "    deps:" or (in_deps and line.startswith("      - "))
        if in_deps and re.match(r"      - (src|stages)/", line):
            continue
        lines.append(line)
        if line == "    deps:":
            lines += [f"      - {path}" for path in code_of(stage, root)]
    return "\n".join(lines) + "\n"


def _imported(path: Path, root: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == "nerveseg":
                yield from _files_of(name, root)


def _files_of(name: str, root: Path) -> Iterator[Path]:
    """Yield a module's file, and the `__init__` of each package above it."""
    parts = name.split(".")[1:]
    for depth in range(len(parts) + 1):
        module = PACKAGE.joinpath(*parts[:depth])
        for found in (module / "__init__.py", module.with_suffix(".py")):
            if (root / found).is_file():
                yield found


if __name__ == "__main__":
    dvc_yaml = Path("dvc.yaml")
    dvc_yaml.write_text(with_code_deps(dvc_yaml.read_text(encoding="utf-8")), encoding="utf-8")
