"""The documents hold: links resolve, Python examples compile, the import graph is the code's.

`docs.py [ROOT]` prints what does not hold and exits 1; `--write` first redraws the import graph.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

import grimp

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "foretell"
GRAPH_FILE = "ARCHITECTURE.md"
PAGE = Path("docs") / "features.md"
OPEN, CLOSE = "<!-- import graph -->", "<!-- /import graph -->"

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)\n(?P<body>.*?)^ *(?P=fence) *$", re.M | re.S
)
CODE_SPAN = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(\s*<?(?P<target>[^)\s>]+)>?[^)]*\)|^ *\[[^\]]+\]:\s*<?(?P<named>[^\s>]+)", re.M)
OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:", re.I)


def documents(root: Path) -> list[Path]:
    """The Markdown files at the root and under docs/."""
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def line_of(text: str, place: int) -> int:
    """The number of the line a place in a text is on."""
    return text.count("\n", 0, place) + 1


def broken_links(path: Path) -> Iterator[str]:
    """Relative links and images of one document that lead nowhere; code is not read."""
    text = path.read_text(encoding="utf-8")
    for code in (FENCE, CODE_SPAN):
        text = code.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for found in LINK.finditer(text):
        target = (found["target"] or found["named"]).partition("#")[0]
        if target and not OUTSIDE.match(target) and not (path.parent / unquote(target)).exists():
            yield f"{path}:{line_of(text, found.start())}: no such file: {target}"


def broken_examples(path: Path) -> Iterator[str]:
    """Fenced Python blocks of one document that do not compile."""
    text = path.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        if found["info"].split()[:1] != ["python"]:
            continue
        start = line_of(text, found.start("body"))
        try:
            compile(textwrap.dedent(found["body"]), str(path), "exec")
        except SyntaxError as error:
            yield f"{path}:{start + (error.lineno or 1) - 1}: the example does not compile: {error.msg}"


def room(module: str) -> str:
    """The room that a module is in: `engine` for `foretell.engine.train`; empty for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def room_imports(src: Path) -> tuple[set[str], set[tuple[str, str]]]:
    """The rooms under `src` and which imports which, straight from the code."""
    sys.path.insert(0, str(src))
    try:
        graph = grimp.build_graph(PACKAGE, cache_dir=None)
    finally:
        sys.path.remove(str(src))
    rooms = {room(module) for module in graph.modules} - {""}
    imports = {
        (room(module), room(other))
        for module in graph.modules
        for other in graph.find_modules_directly_imported_by(module)
    }
    return rooms, {(one, other) for one, other in imports if one and other and one != other}


def drawn(rooms: Iterable[str], imports: Iterable[tuple[str, str]]) -> str:
    """The graph as a Mermaid block, always in the same order."""
    arrows = sorted(imports)
    alone = sorted(set(rooms) - {name for arrow in arrows for name in arrow})
    return "\n".join(
        ["```mermaid", "graph TD", *(f"    {a} --> {b}" for a, b in arrows), *(f"    {a}" for a in alone), "```"]
    )


def redrawn(text: str, block: str) -> str | None:
    """The document with the block between its markers; nothing if it has no markers."""
    before, opened, rest = text.partition(OPEN)
    _, closed, after = rest.partition(CLOSE)
    return f"{before}{OPEN}\n{block}\n{CLOSE}{after}" if opened and closed else None


def outdated_graph(root: Path, *, write: bool = False) -> Iterator[str]:
    """Whether the import graph in the architecture document differs from the code's; `write` makes it the same."""
    path = root / GRAPH_FILE
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    should = redrawn(text, drawn(*room_imports(root / "src")))
    if should is None:
        yield f"{path}: no import graph; put the lines {OPEN} and {CLOSE} where it belongs, then: make docs"
    elif write:
        path.write_text(should, encoding="utf-8")
    elif should != text:
        yield f"{path}: the import graph is not the code's; type: make docs"


def catalogue_page(root: Path) -> str:
    """The page that lists the features that domains declare, straight from the declarations."""
    sys.path.insert(0, str(root / "src"))
    try:
        from foretell.app.declared import domains
    finally:
        sys.path.remove(str(root / "src"))
    out = ["# Features", "", "Made from the declarations by `make docs`. Windows begin at midnight UTC.", ""]
    for name, domain in sorted(domains().items()):
        catalogue = domain.catalogue
        for group in dict.fromkeys(one.group for one in catalogue.features) if catalogue else ():
            some = [one for one in catalogue.features if one.group == group] if catalogue else []
            out += [f"## {name}: {group} ({len(some)})", ""]
            out += [
                "| name | part | is | from | type | range | null means | may stand for |",
                "| - | - | - | - | - | - | - | - |",
            ]
            for one in some:
                span = "" if one.window is None else f", {one.window.days} days"
                low, high = ("" if limit is None else f"{limit:g}" for limit in (one.low, one.high))
                words = f"{one.words} (deprecated)" if one.deprecated else one.words
                cells = (
                    f"`{one.name}`", one.part, words, f"{one.table or 'others'} ({one.how}{span})", one.kind,
                    f"{low} to {high}".strip(), one.missing, one.guard or "",
                )  # fmt: skip
                out.append(f"| {' | '.join(cells)} |")
            out.append("")
    return "\n".join(out)


def outdated_page(root: Path, *, write: bool = False) -> Iterator[str]:
    """Whether the page of features differs from the declarations; `write` makes it the same."""
    path = root / PAGE
    if not (root / "src" / "foretell" / "domains").exists():
        return
    should = catalogue_page(root)
    if write:
        path.write_text(should, encoding="utf-8")
    elif not path.exists() or path.read_text(encoding="utf-8") != should:
        yield f"{path}: not what the domains declare; type: make docs"


def offenders(root: Path, *, write: bool = False) -> list[str]:
    """Everything in the documents under `root` that does not hold."""
    found = [*outdated_graph(root, write=write), *outdated_page(root, write=write)]
    for path in documents(root):
        found += [*broken_links(path), *broken_examples(path)]
    return found


def main() -> int:
    """Print what does not hold; 1 if there is anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--write", action="store_true", help="redraw the import graph and the page of features first")
    asked = parser.parse_args()
    found = offenders(asked.root.resolve(), write=asked.write)
    print("\n".join(found) if found else "docs: links, examples and import graph hold")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
