"""`python -m nerveseg.pipeline.code_deps`: write the code that each stage depends on into `dvc.yaml`.

A stage depends on its script and on each package that it reaches through imports, as a whole. Modules at the top of
`nerveseg` count separately.
"""

import re
from modulefinder import ModuleFinder
from pathlib import Path

PACKAGE = Path("src/nerveseg")


def code_of(stage: str, root: Path = Path()) -> list[str]:
    """Return the sorted paths of a stage's code, relative to the repository's root."""
    script, package = f"stages/{stage}.py", root.absolute() / PACKAGE
    finder = ModuleFinder([str(package.parent)])  # it finds nothing but our own code there
    finder.run_script(str(root / script))
    files = [Path(file) for module in finder.modules.values() if (file := getattr(module, "__file__", None))]
    names = {file.relative_to(package).parts[0] for file in files if file.is_relative_to(package)}
    return [script, *sorted(str(PACKAGE / name) for name in names)]


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


if __name__ == "__main__":
    dvc_yaml = Path("dvc.yaml")
    dvc_yaml.write_text(with_code_deps(dvc_yaml.read_text(encoding="utf-8")), encoding="utf-8")
