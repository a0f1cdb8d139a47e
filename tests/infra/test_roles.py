from collections.abc import Callable
from typing import Any

import pytest

DATA = "arn:aws:s3:::BucketsData941F65F0"
RESULTS = "arn:aws:s3:::BucketsResultsB59121EA"
LOG = "arn:aws:s3:::BucketsLogB6A44F41"
WRITES = ("s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload")
KINDS = ("Prepare", "Fold", "Report")

Allowed = Callable[..., bool]


@pytest.fixture(scope="session")
def stack(synthesize: Any) -> Any:
    """Two studies, one of which has a name that begins as the other's."""
    made = synthesize(studies=["glioma", "glioma2"])
    assert {f"arn:aws:s3:::{name}" for name in made.resources("AWS::S3::Bucket")} == {DATA, RESULTS, LOG}
    return made


RUN = f"{RESULTS}/glioma/runs/glioma-0123"

MAY = [
    ("Prepare", "s3:GetObject", f"{DATA}/glioma/patient/t2.nii.gz"),
    ("Prepare", "s3:GetObject", f"{DATA}/glioma/study.toml"),
    ("Prepare", "s3:PutObject", f"{RESULTS}/glioma/store/0a1b/store.json"),
    ("Prepare", "s3:GetObject", f"{RESULTS}/glioma/store/0a1b/store.json"),
    ("Prepare", "s3:PutObject", f"{RUN}/manifest.json"),
    ("Fold", "s3:GetObject", f"{RESULTS}/glioma/store/0a1b/exams/e1.zarr/image/c/0/0/0/0"),
    ("Fold", "s3:GetObject", f"{RUN}/manifest.json"),
    ("Fold", "s3:GetObject", f"{RUN}/folds/17/checkpoint/latest.json"),
    ("Fold", "s3:PutObject", f"{RUN}/folds/17/result.json"),
    ("Fold", "s3:PutObject", f"{RUN}/folds/17/checkpoint/100.pt"),
    ("Fold", "s3:PutObjectTagging", f"{RUN}/folds/17/checkpoint/100.pt"),
    ("Fold", "s3:DeleteObject", f"{RUN}/folds/17/checkpoint/100.pt"),
    ("Report", "s3:GetObject", f"{RUN}/folds/17/result.json"),
    ("Report", "s3:GetObject", f"{RESULTS}/glioma/store/0a1b/store.json"),
    ("Report", "s3:PutObject", f"{RUN}/analysis/report.html"),
]


@pytest.mark.parametrize(("kind", "action", "resource"), MAY)
def test_a_job_may_do_its_work(stack: Any, allowed: Allowed, kind: str, action: str, resource: str) -> None:
    assert allowed(stack, exact(stack, kind), action, resource)


@pytest.mark.parametrize(("kind", "action", "resource"), MAY)
def test_no_job_of_another_study_may(
    stack: Any, allowed: Allowed, kind: str, action: str, resource: str
) -> None:
    for other in KINDS:
        assert not allowed(stack, exact(stack, other, "glioma2"), action, resource)
        assert not allowed(stack, exact(stack, other), action, resource.replace("/glioma/", "/glioma2/"))


@pytest.mark.parametrize("kind", KINDS)
def test_no_job_writes_to_the_data_bucket(stack: Any, allowed: Allowed, kind: str) -> None:
    for action in (*WRITES, "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectAcl"):
        assert not allowed(stack, exact(stack, kind), action, f"{DATA}/glioma/patient/t2.nii.gz")


@pytest.mark.parametrize(
    ("kind", "action", "resource"),
    [
        ("Fold", "s3:GetObject", f"{DATA}/glioma/patient/t2.nii.gz"),
        ("Fold", "s3:PutObject", f"{RESULTS}/glioma/store/0a1b/store.json"),
        ("Fold", "s3:PutObject", f"{RUN}/manifest.json"),
        ("Fold", "s3:PutObject", f"{RUN}/analysis/report.html"),
        ("Fold", "s3:DeleteObject", f"{RUN}/folds/17/result.json"),
        ("Fold", "s3:DeleteObject", f"{RUN}/manifest.json"),
        ("Fold", "s3:DeleteObjectVersion", f"{RUN}/folds/17/checkpoint/100.pt"),
        ("Prepare", "s3:DeleteObject", f"{RESULTS}/glioma/store/0a1b/store.json"),
        ("Report", "s3:PutObject", f"{RUN}/folds/17/result.json"),
        ("Report", "s3:GetObject", f"{DATA}/glioma/patient/t2.nii.gz"),
    ],
)
def test_a_job_may_not_do_anothers_work(
    stack: Any, allowed: Allowed, kind: str, action: str, resource: str
) -> None:
    assert not allowed(stack, exact(stack, kind), action, resource)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bucket", [DATA, RESULTS, LOG])
def test_no_job_touches_a_bucket_itself(stack: Any, allowed: Allowed, kind: str, bucket: str) -> None:
    for action in ("s3:DeleteBucket", "s3:PutBucketPolicy", "s3:PutLifecycleConfiguration"):
        assert not allowed(stack, exact(stack, kind), action, bucket)
    assert not allowed(stack, exact(stack, kind), "s3:GetObject", f"{LOG}/data/log")


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_lists_its_own_study_only(stack: Any, allowed: Allowed, kind: str) -> None:
    def lists(prefix: str | None) -> bool:
        context = {} if prefix is None else {"s3:prefix": prefix}
        return allowed(stack, exact(stack, kind), "s3:ListBucket", RESULTS, **context)

    assert lists("glioma/runs/glioma-0123/folds/")
    assert lists("glioma/store/")
    # S3 asks for this right, with the key as prefix, to answer 404 and not 403 where nothing is.
    assert lists("glioma/runs/glioma-0123/folds/17/result.json")
    for other in (None, "", "glioma", "glioma2/runs/", "glioma2/store/0a1b/"):
        assert not lists(other)


def test_only_preparing_lists_a_cohort(stack: Any, allowed: Allowed) -> None:
    prefix = {"s3:prefix": "glioma/patient/"}
    assert [
        kind for kind in KINDS if allowed(stack, exact(stack, kind), "s3:ListBucket", DATA, **prefix)
    ] == ["Prepare"]


def test_job_definitions_have_the_roles_of_their_study(stack: Any) -> None:
    roles = {
        definition["JobDefinitionName"]: definition["ContainerProperties"]["JobRoleArn"]["Fn::GetAtt"][0]
        for definition in stack.resources("AWS::Batch::JobDefinition").values()
    }
    assert len(roles) == 2 * 3
    for name, logical_id in roles.items():
        _, study, kind, *_ = name.split("-")
        assert logical_id == exact(stack, kind.capitalize(), study)


@pytest.mark.parametrize("kind", ["ExecutionRole", "ComputeMachineRole"])
def test_neither_machines_nor_the_start_of_containers_touch_data(
    stack: Any, allowed: Allowed, kind: str
) -> None:
    for action, resource in [
        ("s3:GetObject", f"{DATA}/glioma/patient/t2.nii.gz"),
        ("s3:GetObject", f"{RUN}/manifest.json"),
        ("s3:PutObject", f"{RUN}/manifest.json"),
        ("s3:ListBucket", RESULTS),
    ]:
        assert not allowed(stack, kind, action, resource, **{"s3:prefix": "glioma/runs/"})


def test_machines_neither_pull_images_nor_write_logs(stack: Any, allowed: Allowed) -> None:
    assert allowed(stack, "ComputeMachineRole", "ecs:RegisterContainerInstance", "*")
    for action in ("ecr:BatchGetImage", "logs:PutLogEvents", "ecs:RunTask", "iam:PassRole", "sts:AssumeRole"):
        assert not allowed(stack, "ComputeMachineRole", action, "*")


def test_starting_a_container_pulls_this_image_and_writes_this_log(synthesize: Any, allowed: Allowed) -> None:
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/group/loosweep@sha256:0123"
    stack = synthesize(image=image)
    repository = "arn:<AWS::Partition>:ecr:eu-central-1:123456789012:repository"
    (logs,) = stack.resources("AWS::Logs::LogGroup")
    may = lambda action, resource: allowed(stack, "ExecutionRole", action, resource)  # noqa: E731
    assert may("ecr:BatchGetImage", f"{repository}/group/loosweep")
    assert may("ecr:GetAuthorizationToken", "*")
    assert may("logs:PutLogEvents", f"<{logs}>")
    assert not may("ecr:BatchGetImage", f"{repository}/group/other")
    assert not may("ecr:PutImage", f"{repository}/group/loosweep")
    assert not may("logs:PutLogEvents", "<another log group>")
    assert not may("logs:DeleteLogGroup", f"<{logs}>")


def test_only_the_services_that_need_them_take_the_roles(stack: Any) -> None:
    for name, properties in stack.resources("AWS::IAM::Role").items():
        if name.startswith("CustomVpcRestrictDefaultSG"):
            continue
        (statement,) = properties["AssumeRolePolicyDocument"]["Statement"]
        service = "ec2" if "Machine" in name else "ecs-tasks"
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}


def exact(stack: Any, kind: str, study: str = "glioma") -> str:
    """Logical id of a study's role."""
    names = [
        name
        for name in stack.resources("AWS::IAM::Role")
        if name[:-8] == f"Roles{study}{kind}"  # CDK adds eight hexadecimal digits
    ]
    assert len(names) == 1
    return names[0]
