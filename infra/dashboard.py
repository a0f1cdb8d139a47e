"""One page of CloudWatch: what ran, what failed and why, how many machines there are, how much is stored."""

from aws_cdk import Duration, aws_cloudwatch, aws_events, aws_logs
from constructs import Construct

from infra.buckets import Buckets
from infra.notices import Notices
from infra.settings import Settings

ERRORS = (
    "fields @timestamp, @logStream, @message",
    "filter @message like / (ERROR|WARNING) /",
    "sort @timestamp desc",
    "limit 50",
)
"""Of `python -m job`'s lines: time, level, message."""


def add_dashboard(
    scope: Construct, settings: Settings, notices: Notices, buckets: Buckets, logs: aws_logs.ILogGroup
) -> None:
    """The first three dashboards of an account are free."""
    dashboard = aws_cloudwatch.Dashboard(scope, "Dashboard", dashboard_name=settings.stack)
    dashboard.add_widgets(
        aws_cloudwatch.GraphWidget(
            title="Jobs that ended",
            left=[_count("succeeded", notices.succeeded), _count("failed", notices.failed)],
            width=8,
        ),
        aws_cloudwatch.GraphWidget(
            title="vCPUs of GPU machines in this account",
            left=[_vcpus("spot", "G/Spot"), _vcpus("on-demand", "G/OnDemand")],
            width=8,
        ),
        aws_cloudwatch.GraphWidget(
            title="Stored",
            left=[_stored("data", buckets.data.bucket_name), _stored("results", buckets.results.bucket_name)],
            width=8,
        ),
    )
    dashboard.add_widgets(
        aws_cloudwatch.LogQueryWidget(
            title="Errors and warnings of jobs",
            log_group_names=[logs.log_group_name],
            query_lines=list(ERRORS),
            width=24,
        )
    )


def _count(label: str, rule: aws_events.Rule) -> aws_cloudwatch.Metric:
    return aws_cloudwatch.Metric(
        namespace="AWS/Events",
        metric_name="MatchedEvents",
        dimensions_map={"RuleName": rule.rule_name},
        statistic="Sum",
        period=Duration.minutes(15),
        label=label,
    )


def _vcpus(label: str, kind: str) -> aws_cloudwatch.Metric:
    return aws_cloudwatch.Metric(
        namespace="AWS/Usage",
        metric_name="ResourceCount",
        dimensions_map={"Service": "EC2", "Type": "Resource", "Resource": "vCPU", "Class": kind},
        statistic="Maximum",
        period=Duration.minutes(15),
        label=label,
    )


def _stored(label: str, bucket: str) -> aws_cloudwatch.Metric:
    return aws_cloudwatch.Metric(
        namespace="AWS/S3",
        metric_name="BucketSizeBytes",
        dimensions_map={"BucketName": bucket, "StorageType": "StandardStorage"},
        statistic="Average",
        period=Duration.days(1),
        label=label,
    )
