"""A cohort is prepared, trained on and reported through a network with faults: what was met, what came of it.

    python benchmarks/s3_faults.py

The server is SeaweedFS on this machine behind a proxy that meets every fifth request with the next fault: slow,
503 SlowDown, connection dropped, body cut off, a bit of the answer or of the request flipped, the answer lost after
the work was done. Results are held against those of a local run. About 3 minutes.
"""

import os
import sys
import tempfile
from collections import Counter
from hashlib import sha256
from pathlib import Path
from subprocess import run

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the tests' servers

from job.contract import layout
from job.contract.results import FoldResult
from job.storage import Storage, open_storage
from tests.faulty_proxy import FAULTS, FaultyProxy, faulty_proxy
from tests.s3_server import ACCESS, BUCKET, s3_server

EVERY = 5
STUDY = "study.toml"


def main() -> None:
    """Prints a Markdown table."""
    os.environ.update(ACCESS)
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as served:
        folder = Path(name)
        submit("phantom", str(folder / "demo"), "--patients", "3", "--visits", "1")
        study = folder / "demo" / STUDY
        text = study.read_text() + "\n[training]\nsteps = 60\nvalidation_patients = 0\n"
        study.write_text(text)
        submit("sweep", str(study), "--array", "24")
        with s3_server(Path(served)) as url, faulty_proxy(url, every=EVERY) as (endpoint, proxy):
            remote = folder / "demo" / "remote.toml"
            places = f'[store]\nfolder = "s3://{BUCKET}/store"\n[compute]\nruns = "s3://{BUCKET}/runs"\n'
            remote.write_text(f"{text}\n{places}")
            submit("sweep", str(remote), "--array", "24", endpoint=endpoint)
            submit("report", "--study", str(remote), endpoint=endpoint)
            os.environ["AWS_ENDPOINT_URL"] = url
            tell(proxy, open_storage(str(folder / "demo" / "runs")), open_storage(f"s3://{BUCKET}/runs"))


def submit(*arguments: str, endpoint: str | None = None) -> None:
    """A command of this project, as a process of its own."""
    place = {"AWS_ENDPOINT_URL": endpoint} if endpoint is not None else {}
    run([sys.executable, "-m", "submit", *arguments], env=os.environ | place, check=True, stdout=sys.stderr)


def tell(proxy: FaultyProxy, local: Storage, remote: Storage) -> None:
    """Compares the folds of the only run of each and prints what was met."""
    (one,), (other,) = local.folders(), remote.folders()
    assert one == other
    counts = Counter(
        compared(open_storage(f"{local.url}/{one}"), open_storage(f"{remote.url}/{one}"), fold)
        for fold in range(24)
    )
    print(f"{proxy.requests} requests, {sum(proxy.met.values())} faults\n")
    print("| " + " | ".join(FAULTS) + " | folds equal | folds lost | folds wrong |")
    print("|" + "---|" * (len(FAULTS) + 3))
    cells = [*(proxy.met[fault] for fault in FAULTS), counts["equal"], counts["lost"], counts["wrong"]]
    print("| " + " | ".join(map(str, cells)) + " |")


def compared(here: Storage, there: Storage, fold: int) -> str:
    """Whether a fold's result, weights and prediction are the same in both."""
    if not there.exists(layout.result(fold)):
        return "lost"
    one, other = (FoldResult.model_validate_json(place.read(layout.result(fold))) for place in (here, there))
    files = (layout.weights(fold), *layout.predictions(fold, 1))
    same = all(sha256(here.read(key)).digest() == sha256(there.read(key)).digest() for key in files)
    return (
        "equal"
        if same and one.model_dump(exclude={"cost"}) == other.model_dump(exclude={"cost"})
        else "wrong"
    )


if __name__ == "__main__":
    main()
