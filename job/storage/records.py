"""JSON files of runs, requests and stores, as records."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from job.contract.errors import Damaged
from job.storage.protocol import Storage

Model = TypeVar("Model", bound=BaseModel)


def read_record_file(storage: Storage, key: str, kind: type[Model]) -> Model | None:
    """The record that a file holds; None if, and only if, there is no such file.

    Whatever keeps a file that is there from being read is raised as it is: who took it for absence would begin a
    count anew, or call prepared what is not.

    Raises:
        Damaged: The file is no such record.
        StudyError: The storage's credentials are missing, or have ended.
        OSError: The storage fails for now.
    """
    try:
        data = storage.read(key)
    except FileNotFoundError:
        return None
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise Damaged(
            f"{storage.url}/{key} is damaged; delete it and run the sweep again, which writes it anew "
            f"({where}{first['msg']})"
        ) from None
