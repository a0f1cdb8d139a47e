"""Counts of the code's structure, to be compared before and after a redesign.

    python benchmarks/structure.py [CHECKOUT ...]

Of job, submit and infra: modules, lines, the largest module, the longest function; arrows, that is pairs of packages
of which one imports the other (`job.data` counts as a package, `job.fold` as one of its own); imports within
functions, other than those under TYPE_CHECKING; names that several modules have.
"""

import argparse
import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOTS = ("job", "submit", "infra")


def main() -> None:
    """Prints a column for each checkout."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path(__file__).resolve().parents[1]])
    checkouts = parser.parse_args().checkouts
    columns = [counts(checkout) for checkout in checkouts]
    print(f"| | {' | '.join(checkout.name for checkout in checkouts)} |\n|{'---|' * (len(columns) + 1)}")
    for what in columns[0]:
        print(f"| {what} | {' | '.join(str(column[what]) for column in columns)} |")


def counts(checkout: Path) -> dict[str, object]:
    """What is counted of a checkout, in words."""
    files = [file for root in ROOTS for file in sorted((checkout / root).rglob("*.py"))]
    lines = {file.relative_to(checkout): len(file.read_text().splitlines()) for file in files}
    largest = max(lines, key=lambda file: lines[file])
    trees = {file: ast.parse((checkout / file).read_text()) for file in lines}
    length, longest = max(
        (node.end_lineno - node.lineno + 1, f"{file}: {node.name}")
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    )
    arrows = {
        (package(".".join(file.with_suffix("").parts)), package(target))
        for file, tree in trees.items()
        for node in ast.walk(tree)
        for target in targets(node)
    }
    names = Counter(file.stem for file in lines if file.stem != "__init__")
    return {
        "modules": len(lines),
        "lines": sum(lines.values()),
        "largest module": f"{largest} ({lines[largest]})",
        "longest function": f"{longest} ({length})",
        "functions above 40 lines": sum(1 for tree in trees.values() for _ in long_functions(tree)),
        "arrows between packages": sum(1 for source, target in arrows if source != target),
        "imports within functions": sum(imports_within(tree) for tree in trees.values()),
        "names of several modules": sum(1 for count in names.values() if count > 1),
    }


def targets(node: ast.AST) -> Iterator[str]:
    """The modules of ours that a statement imports."""
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOTS:
        yield node.module
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ROOTS)


def package(module: str) -> str:
    """The first two parts of a module's name."""
    return ".".join(module.split(".")[:2])


def long_functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Functions of more than 40 lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= 40:
            yield node


def imports_within(tree: ast.AST) -> int:
    """Imports of ours that are executed when a function is called."""
    return sum(
        1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for inner in ast.walk(node)
        if any(targets(inner))
    )


if __name__ == "__main__":
    main()
