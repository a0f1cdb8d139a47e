"""Learning rate by step."""

from job.contract.study import Training


def learning_rate(step: int, training: Training) -> float:
    """The learning rate of an update.

    Args:
        step: Number of the update, from 0.
        training: Gives schedule, first rate and number of steps.
    """
    done = step / training.steps
    if training.schedule == "halve":
        return training.learning_rate * 0.5 ** sum(done >= at for at in training.halve_at)
    if training.schedule == "poly":
        return float(training.learning_rate * (1 - done) ** 0.9)
    return training.learning_rate
