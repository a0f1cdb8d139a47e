from typing import Any


def test_nothing_can_call_a_machine_and_machines_call_https_only(default: Any) -> None:
    group = default.one("AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    assert not default.resources("AWS::EC2::SecurityGroupIngress")
    (egress,) = group["SecurityGroupEgress"]
    assert (egress["IpProtocol"], egress["FromPort"], egress["ToPort"]) == ("tcp", 443, 443)


def test_there_is_nothing_that_costs_while_nothing_runs(default: Any) -> None:
    types = {resource["Type"] for resource in default.template["Resources"].values()}
    assert not types & {
        "AWS::EC2::NatGateway",
        "AWS::EC2::EIP",
        "AWS::EC2::Instance",
        "AWS::KMS::Key",
        "AWS::CloudWatch::Alarm",
    }
    (endpoint,) = default.resources("AWS::EC2::VPCEndpoint").values()
    assert endpoint["VpcEndpointType"] == "Gateway"
    for environment_ in default.resources("AWS::Batch::ComputeEnvironment").values():
        assert environment_["ComputeResources"]["MinvCpus"] == 0


def test_public_subnets_lie_in_as_many_zones_as_asked_for(synthesize: Any) -> None:
    for zones in (2, 3):
        subnets = synthesize(zones=zones).resources("AWS::EC2::Subnet").values()
        assert [subnet["AvailabilityZone"]["Fn::Select"][0] for subnet in subnets] == list(range(zones))
        assert all(subnet["MapPublicIpOnLaunch"] for subnet in subnets)


def test_private_subnets_have_no_way_to_the_internet(private: Any) -> None:
    assert not private.resources("AWS::EC2::InternetGateway")
    assert not private.resources("AWS::EC2::Route")
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in private.resources("AWS::EC2::Subnet").values())


def test_private_subnets_reach_what_a_machine_needs_over_endpoints(private: Any) -> None:
    endpoints = private.resources("AWS::EC2::VPCEndpoint").values()
    names = {
        endpoint["ServiceName"]
        if isinstance(endpoint["ServiceName"], str)
        else endpoint["ServiceName"]["Fn::Join"][1][-1]
        for endpoint in endpoints
    }
    services = ("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs", "s3")
    assert names == {f".{service}" for service in services}
    for endpoint in endpoints:
        assert endpoint["VpcEndpointType"] == "Gateway" or endpoint["PrivateDnsEnabled"]
    (ingress,) = private.resources("AWS::EC2::SecurityGroupIngress").values()
    assert (ingress["FromPort"], ingress["ToPort"]) == (443, 443)
    assert "Machines" in str(ingress["SourceSecurityGroupId"])


def test_the_networks_traffic_is_logged(default: Any) -> None:
    flow_log = default.one("AWS::EC2::FlowLog")
    assert (flow_log["LogDestinationType"], flow_log["TrafficType"]) == ("s3", "ALL")


def test_the_default_security_group_is_emptied_unless_switched_off(synthesize: Any, default: Any) -> None:
    assert len(default.resources("Custom::VpcRestrictDefaultSG")) == 1
    off = synthesize(restrict_default_security_group=False)
    assert not off.resources("Custom::VpcRestrictDefaultSG")
    assert not off.resources("AWS::Lambda::Function")
