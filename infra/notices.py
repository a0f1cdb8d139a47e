"""Who hears of failed jobs, of a queue that is stuck and of money."""

from collections.abc import Sequence

from aws_cdk import (
    RemovalPolicy,
    aws_budgets,
    aws_events,
    aws_events_targets,
    aws_iam,
    aws_kms,
    aws_sns,
    aws_sns_subscriptions,
)
from constructs import Construct

from infra.settings import Settings
from job.contract import cloud


class Notices(Construct):
    """Rules on the events of the queues; with an address, e-mails."""

    def __init__(
        self, scope: Construct, construct_id: str, settings: Settings, queue_arns: Sequence[str]
    ) -> None:
        super().__init__(scope, construct_id)
        self._queues = list(queue_arns)
        self.succeeded = self._job_rule("Succeeded", "SUCCEEDED")
        """Every job and child of an array that ended well."""
        self.failed = self._job_rule("Failed", "FAILED")
        """Every job and child of an array that was given up."""
        # The children of an array are told of by their parent: 288 folds that fail are one notice.
        self._sweep_failed = self._job_rule(
            "SweepFailed", "FAILED", {"arrayProperties": {"index": [{"exists": False}]}}
        )
        self._blocked = aws_events.Rule(
            self,
            "Blocked",
            description="The first job of a queue cannot start",
            event_pattern=aws_events.EventPattern(
                source=["aws.batch"],
                detail_type=["Batch Job Queue Blocked"],
                detail={"jobQueue": self._queues},
            ),
        )
        if settings.notification_email is not None:
            self._send(settings.notification_email)
        _budget(self, settings)

    def _job_rule(self, name: str, status: str, detail: dict[str, object] | None = None) -> aws_events.Rule:
        return aws_events.Rule(
            self,
            name,
            description=f"A job of this stack is {status}",
            event_pattern=aws_events.EventPattern(
                source=["aws.batch"],
                detail_type=["Batch Job State Change"],
                detail={"status": [status], "jobQueue": self._queues, **(detail or {})},
            ),
        )

    def _send(self, address: str) -> None:
        # A key of our own: EventBridge cannot use the one that AWS manages for SNS.
        key = aws_kms.Key(self, "Key", enable_key_rotation=True, removal_policy=RemovalPolicy.DESTROY)
        key.grant_encrypt_decrypt(aws_iam.ServicePrincipal("events.amazonaws.com"))
        topic = aws_sns.Topic(self, "Topic", master_key=key, enforce_ssl=True)
        topic.add_subscription(aws_sns_subscriptions.EmailSubscription(address))
        field = aws_events.EventField.from_path
        failed = f"Job {field('$.detail.jobName')} ({field('$.detail.jobId')}) failed: "
        self._sweep_failed.add_target(
            aws_events_targets.SnsTopic(
                topic,
                message=aws_events.RuleTargetInput.from_text(f"{failed}{field('$.detail.statusReason')}"),
            )
        )
        self._blocked.add_target(aws_events_targets.SnsTopic(topic))


def _budget(scope: Construct, settings: Settings) -> None:
    """Two budgets are free; AWS counts once or twice a day, so it warns and does not stop anything."""
    address = settings.notification_email
    budget = aws_budgets.CfnBudget
    filters = {"TagKeyValue": [f"user:{cloud.PROJECT_TAG}${settings.stack}"]}
    budget(
        scope,
        "Budget",
        budget=budget.BudgetDataProperty(
            budget_name=f"{settings.stack}-monthly",
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=budget.SpendProperty(amount=settings.monthly_budget_usd, unit="USD"),
            cost_filters=filters if settings.budget_scope == "tag" else None,
        ),
        notifications_with_subscribers=[
            budget.NotificationWithSubscribersProperty(
                notification=budget.NotificationProperty(
                    comparison_operator="GREATER_THAN",
                    notification_type=kind,
                    threshold=percent,
                    threshold_type="PERCENTAGE",
                ),
                subscribers=[budget.SubscriberProperty(address=address, subscription_type="EMAIL")],
            )
            for kind, percent in (("ACTUAL", 80), ("FORECASTED", 100))
        ]
        if address
        else None,
    )
