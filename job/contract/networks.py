"""The settings of every kind of network, by the name that a study file gives."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from job.contract.deepmedic import DeepMedicNetwork

Network = DeepMedicNetwork
"""Settings of a network: the union of the models in `NETWORKS`, each with its `name` and `resolved`."""

NETWORKS: Mapping[str, type[Network]] = {"deepmedic": DeepMedicNetwork}
"""By `network.name`; each has a design of the same name in `job.networks.design`."""

DEFAULT_NETWORK: Network = DeepMedicNetwork()


def settings_named_in(table: Mapping[str, object]) -> type[Network] | None:
    """The model for the kind of network that a table of the study file names; None if there is no such kind."""
    name = table.get("name", DEFAULT_NETWORK.name)
    return NETWORKS.get(name) if isinstance(name, str) else None


def of_its_name(table: object) -> object:
    """The settings that a table of the study file gives, of the kind that it names.

    Whatever is no table is given back, to be refused in pydantic's words.

    Raises:
        ValidationError: There is no such kind of network, or its settings are wrong.
    """
    if not isinstance(table, Mapping):
        return table
    model = settings_named_in(table)
    if model is None:
        expected = {"expected": " or ".join(map(repr, NETWORKS))}
        unknown = InitErrorDetails(type="literal_error", loc=("name",), input=table["name"], ctx=expected)
        raise ValidationError.from_exception_data("network", [unknown])
    return model.model_validate(table)
