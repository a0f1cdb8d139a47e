"""The deployed stack: found by its name, told by its outputs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from job.contract import cloud
from job.contract.errors import StudyError
from job.storage.s3 import SIGN_ON_ENDED

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient


ECR_IMAGE = re.compile(
    r"(?P<registry>(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?)"
    r"/(?P<name>[^:@]+)(?P<separator>[:@])(?P<reference>.+)"
)


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What a sweep needs to know of the stack."""

    stack: str
    region: str
    data_bucket: str
    results_bucket: str
    gpu_queue: str
    cpu_queue: str
    image: str
    log_group: str
    studies: tuple[str, ...]

    def cohort_of(self, study: str) -> str:
        """URL below which a study's cohort must lie to be prepared by a job."""
        return f"s3://{self.data_bucket}/{cloud.cohort_prefix(study)}".rstrip("/")

    def store_of(self, study: str) -> str:
        """URL of a study's block store."""
        return f"s3://{self.results_bucket}/{cloud.store_prefix(study)}".rstrip("/")

    def runs_of(self, study: str) -> str:
        """URL of a study's runs."""
        return f"s3://{self.results_bucket}/{cloud.runs_prefix(study)}".rstrip("/")

    def require_study(self, study: str) -> None:
        """Refuses a study that the stack has no roles and job definitions for.

        Raises:
            StudyError: Names those that it has.
        """
        if study not in self.studies:
            raise StudyError(
                f"study {study!r} is not deployed (stack {self.stack} has {', '.join(self.studies)}); add it to "
                '`studies` under "loosweep" in cdk.json and run `cdk deploy` again'
            )


def find_deployment(client: "CloudFormationClient", stack: str, *, settled: bool = False) -> Deployment:
    """The deployment of this name, in the client's region.

    Args:
        client: Of a region.
        stack: Its name.
        settled: Refuses one that is being changed, or whose change failed.

    Raises:
        StudyError: There is no such stack, it is not whole, or AWS does not let us see it.
    """
    region = client.meta.region_name
    with aws_errors(f"stack {stack} in {region}"):
        try:
            found = client.describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            raise StudyError(
                f"there is no stack {stack} in {region}; run `cdk deploy`, or set compute.stack and AWS_REGION"
            ) from None
    status = found["StackStatus"]
    if settled and (not status.endswith("_COMPLETE") or status.startswith(("DELETE", "ROLLBACK"))):
        raise StudyError(
            f"stack {stack} in {region} is in state {status}; wait for it, or run `cdk deploy` again"
        )
    outputs = {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", ())}
    try:
        return Deployment(
            stack=stack,
            region=region,
            data_bucket=outputs[cloud.DATA_BUCKET],
            results_bucket=outputs[cloud.RESULTS_BUCKET],
            gpu_queue=outputs[cloud.GPU_QUEUE],
            cpu_queue=outputs[cloud.CPU_QUEUE],
            image=outputs[cloud.IMAGE],
            log_group=outputs[cloud.LOG_GROUP],
            studies=tuple(outputs[cloud.STUDIES].split(",")),
        )
    except KeyError as error:
        raise StudyError(
            f"stack {stack} in {region} has no output {error}: it is another's, or of another version; "
            "run `cdk deploy` again"
        ) from None


def image_digest(image: str) -> str:
    """The image by its digest, if it is one of ECR's; others cannot be asked without pulling, and stay as named.

    Raises:
        StudyError: ECR has no such image, so that no job could start.
    """
    match = ECR_IMAGE.fullmatch(image)
    if match is None:
        return image
    by_digest = match["separator"] == "@"
    with aws_errors(f"image {image}"):
        client = boto3.client("ecr", region_name=match["region"])
        try:
            found = client.describe_images(
                registryId=match["account"],
                repositoryName=match["name"],
                imageIds=[{"imageDigest" if by_digest else "imageTag": match["reference"]}],
            )
        except (client.exceptions.RepositoryNotFoundException, client.exceptions.ImageNotFoundException):
            raise StudyError(
                f"image {image} is not in ECR, so that no job could start; run `cdk deploy` again, which builds it"
            ) from None
    return f"{match['registry']}/{match['name']}@{found['imageDetails'][0]['imageDigest']}"


@contextmanager
def aws_errors(what: str) -> Iterator[None]:
    """Turns the clients' errors into messages with a remedy.

    Raises:
        StudyError: Credentials, region or rights are missing.
        OSError: AWS cannot be reached, or refuses for now.
    """
    try:
        yield
    except NoRegionError:
        raise StudyError(f"{what}: no AWS region; set AWS_REGION, or `aws configure set region`") from None
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound):
        raise StudyError(
            f"{what}: no AWS credentials; sign in (`aws configure` or `aws sso login`), or set AWS_PROFILE"
        ) from None
    except (*SIGN_ON_ENDED, CredentialRetrievalError) as error:
        raise StudyError(f"{what}: {error}; sign in again (`aws sso login`)") from None
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _SIGNED_OUT:
            raise StudyError(f"{what}: AWS does not know these credentials ({code}); sign in again") from None
        if code.startswith(_REFUSED):
            raise StudyError(
                f"{what}: AWS refuses ({error}); correct its name, or ask for the stack's policy for researchers"
            ) from None
        if code in _WRONG:
            raise StudyError(f"{what}: {error}; run `cdk deploy` again") from None
        raise OSError(f"{what}: {error}; try again in a while") from None
    except BotoCoreError as error:
        raise OSError(f"{what}: {error}; try again in a while") from None


_SIGNED_OUT = {
    *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"),
    *("AuthFailure", "SignatureDoesNotMatch", "InvalidSignatureException", "RequestExpired"),
}
_REFUSED = ("AccessDenied", "UnauthorizedOperation")
_WRONG = {"ClientException", "ValidationException"}
"""What names something that is not there, as a job definition."""
