"""How long tests with random inputs look: the same inputs each time, or many others in the profile `long`."""

from hypothesis import HealthCheck, settings


def fuzzed(examples: int) -> settings:
    """Settings of a test with random inputs.

    `pytest --hypothesis-profile=long` tries two hundred times as many, and others each time.
    """
    long = settings.get_current_profile_name() == "long"
    return settings(
        max_examples=200 * examples if long else examples,
        derandomize=not long,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
        if long
        else [HealthCheck.too_slow],
    )
