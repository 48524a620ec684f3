"""The TypeScript client's types are the server's: `src/schema.ts` is written from its OpenAPI description.

`client.py` writes the file; `--check` only says whether it is stale, and exits 1 if so.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from foretell.web.server import create

FILE = Path(__file__).resolve().parent.parent / "clients" / "typescript" / "src" / "schema.ts"
DOCUMENTED = "/api/v1/ml/"  # the paths of the document that asks for this client
TASK = re.compile(r"/v1/(\w+)/(\w+)/predict")
REF = re.compile(r'"#/components/schemas/([^"]+)"')
OF_DOMAIN = re.compile(r"foretell__domains__([a-z]+)__\w+?__")  # where two domains have models of one name
PLAIN = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}
SAYS_NOTHING = {"title", "description", "default"}

Schema = Mapping[str, Any]


def named(schema: str) -> str:
    """What a schema is called in TypeScript: Day-Input is DayInput, energy's Hour beside traffic's is EnergyHour."""
    return OF_DOMAIN.sub(lambda found: found[1].capitalize(), schema).replace("-", "")


def typed(schema: Schema) -> str:
    """A JSON schema as a TypeScript type. Raises KeyError for what it can't say: a wrong type is worse than none."""
    if "$ref" in schema:
        return named(str(schema["$ref"]).rpartition("/")[2])
    if "enum" in schema or "const" in schema:
        return " | ".join(json.dumps(each) for each in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(typed(each) for each in schema["anyOf"]))
    if schema.get("type") == "array" and "prefixItems" not in schema:
        return f"Array<{typed(schema.get('items', {}))}>"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"Record<string, {typed(values) if isinstance(values, Mapping) else 'unknown'}>"
    return "unknown" if schema.keys() <= SAYS_NOTHING else PLAIN[schema["type"]]


def said(schema: Schema, indent: str = "") -> Iterator[str]:
    """A description, as the comment above what it describes."""
    if lines := str(schema.get("description", "")).splitlines():
        yield indent + "/**"
        yield from (f"{indent} * {line}".rstrip() for line in lines)
        yield indent + " */"


def declared(name: str, schema: Schema) -> Iterator[str]:
    """A schema of the description as a declaration of that name."""
    yield from said(schema)
    if "properties" not in schema:
        yield f"export type {name} = {typed(schema)};"
        return
    yield f"export interface {name} {{"
    for field, each in schema["properties"].items():
        yield from said(each, "  ")
        yield f"  {field}{'' if field in schema.get('required', ()) else '?'}: {typed(each)};"
    yield "}"


def exchange(operation: Schema) -> str:
    """What goes into an operation, where something does, and what comes out."""
    sides = {"request": operation.get("requestBody"), "answer": operation["responses"]["200"]}
    told = {side: typed(each["content"]["application/json"]["schema"]) for side, each in sides.items() if each}
    return "{ " + "; ".join(f"{side}: {each}" for side, each in told.items()) + " }"


def written(description: Schema) -> str:
    """The whole file: requests and answers by documented path and by task, and the schemas they are made of."""
    paths, tasks = {}, {}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            if path.startswith(DOCUMENTED):
                paths[f"{method.upper()} {path}"] = operation
            elif task := TASK.fullmatch(path):
                tasks[f"{task[1]}.{task[2]}"] = operation
    schemas = description["components"]["schemas"]
    used, more = set[str](), set(REF.findall(json.dumps([paths, tasks])))
    while more:
        used |= more
        more = set(REF.findall(json.dumps([schemas[name] for name in more]))) - used
    lines = ["// Made from the server's description of itself by tools/client.py; do not edit.", ""]
    for title, found in {"Paths": paths, "Tasks": tasks}.items():
        lines += [f"export interface {title} {{", *(f'  "{name}": {exchange(found[name])};' for name in found), "}", ""]
    for name in sorted(used):
        lines += [*declared(named(name), schemas[name]), ""]
    return "\n".join(lines)


def main() -> int:
    """Write the file, or say that it is stale; 1 if it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    should = written(create().openapi())
    if not check:
        FILE.write_text(should, encoding="utf-8")
    elif not FILE.exists() or FILE.read_text(encoding="utf-8") != should:
        print(f"{FILE}: its types are not the server's; type: make docs")
        return 1
    print("client: its types are the server's")
    return 0


if __name__ == "__main__":
    sys.exit(main())
