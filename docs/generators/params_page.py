"""Make the page about `params.yaml`: defaults and meanings from its lines, allowed values from the models that validate it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from nerveseg.params.file import read_params
from nerveseg.params.networks import ENCODERS
from nerveseg.registry.project_params import ProjectParams
from tables import code, table

SHOWS_EVERYTHING = "visualize"  # reads the sections of other stages, to show them
_KEY = re.compile(r"^(?P<indent>\s*)(?P<key>\w+):(?P<rest>.*)$")
_COMMENT = re.compile(r"(?:^|\s)# (?P<text>.*)$")

OPENING = """# Parameters

Which parameters are there, and which values do they take? They are all in `params.yaml`. Change one for a single experiment with `-S`:

```
dvc exp run -S unet.epochs=40 -S augment.variants=39
```

Or edit the file and run `dvc repro`. DVC then reruns the stages that read the parameter, and those that follow them. `visualize`
shows the parameters in the report, so it runs as well.

Every command validates the whole file first. An unknown name, or a value that is not allowed, is an error that names it."""


def params_page() -> str:
    comments = comments_of(Path("params.yaml").read_text(encoding="utf-8"))
    defaults, schema = read_params(), ProjectParams.model_json_schema()
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]
    single = [name for name in ProjectParams.model_fields if not isinstance(defaults[name], dict)]
    parts = [OPENING, "## At the top level", _rows(single, "", defaults, schema["properties"], schema, comments)]
    for section in defaults:
        if section in single:
            continue
        fields = _resolved(schema["properties"][section], schema)["properties"]
        parts += [f"## {section}", _about(comments.get(section, ""), section, stages)]
        parts.append(_rows(list(defaults[section]), f"{section}.", defaults[section], fields, schema, comments))
        if section == "unet":
            parts.append(f"Encoders of `segmentation_models`: {', '.join(map(code, ENCODERS))}.")
    return "\n\n".join(parts) + "\n"


def comments_of(text: str) -> dict[str, str]:
    """Return the comment on each key of a file such as params.yaml, by its dotted name.

    A comment belongs to the key on its line, and continues on the lines below that have only a comment.
    """
    found: dict[str, str] = {}
    section = key = ""
    for line in text.splitlines():
        comment = _COMMENT.search(line)
        if name := _KEY.match(line):
            section = section if name["indent"] else name["key"]
            key = f"{section}.{name['key']}" if name["indent"] else name["key"]
            found[key] = comment["text"].strip() if comment else ""
        elif comment and key and line.strip().startswith("#"):
            found[key] = f"{found[key]} {comment['text'].strip()}".strip()
    return found


def _about(comment: str, section: str, stages: dict[str, Any]) -> str:
    readers = [
        code(name)
        for name, stage in stages.items()
        if section in {str(param).split(".")[0] for param in stage["params"]}
        and (name == section or name != SHOWS_EVERYTHING)
    ]
    read = f"Read by {', '.join(readers)}." if readers else "No stage reads it, so a change reruns nothing."
    return f"{_sentence(comment)} {read}".strip()


def _rows(
    names: list[str],
    prefix: str,
    defaults: dict[str, Any],
    fields: dict[str, Any],
    schema: Any,
    comments: dict[str, str],
) -> str:
    rows = [
        [
            code(prefix + name),
            comments.get(prefix + name, ""),
            code(_shown(defaults[name])),
            allowed(fields[name], schema),
        ]
        for name in names
    ]
    return table(["parameter", "meaning", "default", "allowed"], rows)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_shown(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def allowed(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """Describe in words which values a field of a JSON schema allows."""
    field = _resolved(field, schema)
    if "anyOf" in field:
        return " or ".join(allowed(choice, schema) for choice in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(code(str(value)) for value in field.get("enum", [field.get("const")]))
    kind = field.get("type")
    if kind == "array":
        return _list(field, schema)
    plain = {"boolean": "`true`, `false`", "null": "empty", "string": "text"}
    if kind in plain:
        named = "a colour as `#rrggbb`" if field.get("pattern", "").startswith("^#") else "a name"
        return named if "pattern" in field else plain[kind]
    limits = ", ".join(_limits(field))
    return f"{'whole number' if kind == 'integer' else 'number'}{f', {limits}' if limits else ''}"


def _list(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if items := field.get("prefixItems"):
        return f"list of {len(items)}: {allowed(items[0], schema)}"
    return f"list of: {allowed(field['items'], schema)}"


def _limits(field: dict[str, Any]) -> Iterator[str]:
    least, most = field.get("minimum"), field.get("maximum")
    if least is not None and most is not None:
        yield f"{_number(least)} to {_number(most)}"
        least = most = None
    limits = (
        ("at least", least),
        ("above", field.get("exclusiveMinimum")),
        ("at most", most),
        ("below", field.get("exclusiveMaximum")),
        ("a multiple of", field.get("multipleOf")),
    )
    yield from (f"{words} {_number(value)}" for words, value in limits if value is not None)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def _resolved(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return schema["$defs"][field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""
