"""What a run is."""

from pydantic import ValidationError

from job.contract import layout
from job.contract.errors import Damaged, StudyError
from job.contract.manifest import Manifest
from job.storage import Storage


def read_manifest(run: Storage) -> Manifest:
    """The manifest of a run.

    Raises:
        StudyError: There is none.
        Damaged: It was changed, or is of another version of the code.
    """
    try:
        data = run.read(layout.MANIFEST)
    except FileNotFoundError:
        raise StudyError(f"{run.url}: no {layout.MANIFEST}; name the folder of a run") from None
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        remedy = "" if "delete it" in reason else "; delete it and run the sweep again, which writes it anew"
        raise Damaged(f"{run.url}/{layout.MANIFEST}: {reason}{remedy}") from None
