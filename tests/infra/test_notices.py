import json
from typing import Any


def test_one_notice_tells_of_a_failed_sweep_and_one_of_a_stuck_queue(private: Any) -> None:
    rules = [rule for rule in private.resources("AWS::Events::Rule").values() if rule.get("Targets")]
    failed, blocked = sorted(rules, key=lambda rule: rule["EventPattern"]["detail-type"], reverse=True)
    assert failed["EventPattern"]["detail"]["status"] == ["FAILED"]
    assert failed["EventPattern"]["detail"]["arrayProperties"] == {"index": [{"exists": False}]}
    assert blocked["EventPattern"]["detail-type"] == ["Batch Job Queue Blocked"]
    queues = [{"Fn::GetAtt": [name, "JobQueueArn"]} for name in private.resources("AWS::Batch::JobQueue")]
    for rule in rules:
        assert rule["EventPattern"]["source"] == ["aws.batch"]
        assert rule["EventPattern"]["detail"]["jobQueue"] == queues, (
            "other queues of the account are not ours"
        )


def test_notices_go_encrypted_to_the_address(private: Any) -> None:
    (topic,) = private.resources("AWS::SNS::Topic").values()
    (key,) = private.resources("AWS::KMS::Key")
    assert topic["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
    assert private.resources("AWS::KMS::Key")[key]["EnableKeyRotation"] is True
    assert private.template["Resources"][key]["DeletionPolicy"] == "Delete", "else it costs for ever"
    assert "events.amazonaws.com" in json.dumps(private.resources("AWS::KMS::Key")[key]["KeyPolicy"])
    subscription = private.one("AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "group@example.org")


def test_without_an_address_there_is_no_topic(default: Any) -> None:
    assert not default.resources("AWS::SNS::Topic")
    assert "NotificationsWithSubscribers" not in default.one("AWS::Budgets::Budget")


def test_the_budget_warns_at_80_percent_and_of_its_forecast(private: Any) -> None:
    budget = private.one("AWS::Budgets::Budget")
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 500, "Unit": "USD"}
    notices = [
        (each["Notification"]["NotificationType"], each["Notification"]["Threshold"])
        for each in budget["NotificationsWithSubscribers"]
    ]
    assert notices == [("ACTUAL", 80), ("FORECASTED", 100)]


def test_the_budget_counts_the_account_or_the_tag(default: Any, private: Any) -> None:
    assert "CostFilters" not in default.one("AWS::Budgets::Budget")["Budget"]
    filters = private.one("AWS::Budgets::Budget")["Budget"]["CostFilters"]
    assert filters == {"TagKeyValue": ["user:project$loosweep"]}


def test_the_dashboard_shows_jobs_machines_storage_and_errors(default: Any) -> None:
    body = json.dumps(default.one("AWS::CloudWatch::Dashboard")["DashboardBody"])
    for part in ("MatchedEvents", "G/Spot", "BucketSizeBytes", "ERROR|WARNING"):
        assert part in body
