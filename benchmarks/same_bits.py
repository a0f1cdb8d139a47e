"""Whether two runs are the same in every file of every fold, times aside: before and after a change of the code.

    python benchmarks/same_bits.py RUN            # a digest of each fold
    python benchmarks/same_bits.py RUN OTHER      # what differs; exit code 1 if anything does

Both are folders or URLs of runs, made by two versions of the code on one machine, e.g. `make demo` in two checkouts.
Left out of what is compared: heartbeats, logs, locks, and of a result its cost, of a history its seconds.
"""

import argparse
import json
import sys
from collections import defaultdict
from hashlib import sha256

from job.contract import layout
from job.storage import Storage, open_storage

TIMES = ("heartbeat.json", "log.txt", "worker.lock", "failure.json")
"""Files that tell when and where, and not what."""


def main() -> None:
    """Prints digests, or differences."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN")
    arguments = parser.parse_args()
    first, *others = [files_of(open_storage(run)) for run in arguments.runs]
    if not others:
        folds: dict[str, list[str]] = defaultdict(list)
        for key, digest in sorted(first.items()):
            folds[key.split("/")[1]].append(digest)
        for fold, digests in sorted(folds.items(), key=lambda each: int(each[0])):
            print(f"fold {fold}: {sha256(''.join(digests).encode()).hexdigest()[:16]} ({len(digests)} files)")
        return
    (second,) = others
    differing = [key for key in sorted(first.keys() | second.keys()) if first.get(key) != second.get(key)]
    for key in differing:
        lacks = "" if key in first and key in second else f" (only in {arguments.runs[key not in first]})"
        print(f"differs: {key}{lacks}")
    print(f"{len(first)} and {len(second)} files, {len(differing)} differ")
    sys.exit(bool(differing) or not first)


def files_of(run: Storage) -> dict[str, str]:
    """The digest of each file of the folds, by its key."""
    keys = [item.key for item in run.list(f"{layout.FOLDS}/")]
    return {
        key: sha256(without_times(key, run.read(key))).hexdigest()
        for key in keys
        if not key.endswith(TIMES) and not layout.is_checkpoint(key)
    }


def without_times(key: str, data: bytes) -> bytes:
    """A file without what differs between identical runs."""
    if key.endswith("result.json"):
        return json.dumps(json.loads(data) | {"cost": None}).encode()
    if key.endswith("history.jsonl"):
        lines = [json.loads(line) | {"seconds": None} for line in data.splitlines()]
        return json.dumps(lines).encode()
    return data


if __name__ == "__main__":
    main()
