"""The container image: built from the Dockerfile, or one that exists."""

import re
from dataclasses import dataclass
from pathlib import Path

from aws_cdk import Stack, aws_ecr_assets
from constructs import Construct

from infra.settings import Settings, SettingsError

ECR_NAME = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)[:@].+"
)


@dataclass(frozen=True, kw_only=True)
class JobImage:
    """What every job runs."""

    uri: str
    """With its digest, its tag or the hash of what it was built from."""
    repository_arn: str | None
    """The ECR repository to pull it from; None for other registries."""


def job_image(scope: Construct, settings: Settings, source: Path) -> JobImage:
    """The image of the settings, or the one that `source/Dockerfile` makes.

    `cdk synth` only hashes the files that .dockerignore lets through; `cdk deploy` builds and pushes.

    Raises:
        SettingsError: There is no Dockerfile, or nothing keeps data and environments out of the image.
    """
    if settings.image is not None:
        return JobImage(uri=settings.image, repository_arn=_repository_arn(scope, settings.image))
    for name in ("Dockerfile", ".dockerignore"):
        if not (source / name).is_file():
            raise SettingsError(f"{source} has no {name}; add it, or name an image in the setting `image`")
    asset = aws_ecr_assets.DockerImageAsset(
        scope,
        "JobImage",
        directory=str(source),
        build_args=dict(settings.build_args),
        platform=aws_ecr_assets.Platform.LINUX_AMD64,
    )
    return JobImage(uri=asset.image_uri, repository_arn=asset.repository.repository_arn)


def _repository_arn(scope: Construct, uri: str) -> str | None:
    match = ECR_NAME.fullmatch(uri)
    if match is None:
        return None
    return (
        f"arn:{Stack.of(scope).partition}:ecr:{match['region']}:{match['account']}:repository/{match['name']}"
    )
