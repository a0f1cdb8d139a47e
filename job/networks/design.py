"""The network design of a study, chosen by the name that the study gives.

A further network is a settings model in `job.contract.networks`, a design, and an entry here.
"""

from collections.abc import Callable, Mapping

from job.contract.errors import StudyError
from job.contract.study import Study
from job.networks.deepmedic.design import DeepMedicDesign
from job.networks.protocol import NetworkDesign

DESIGNS: Mapping[str, Callable[[Study], NetworkDesign]] = {"deepmedic": DeepMedicDesign}
"""By `network.name`. What makes one raises ValueError if the study's sizes are impossible for the network."""


def design_of(study: Study) -> NetworkDesign:
    """What the network of a study reads and predicts, and how it is built.

    Raises:
        StudyError: Its patches or tiles are impossible for the network; the message names the section.
    """
    try:
        return DESIGNS[study.network.name](study)
    except ValueError as error:
        raise StudyError(str(error)) from None
