"""A network of its own, without NAT: S3 through a gateway, the rest over the internet or endpoints."""

from aws_cdk import Fn, aws_ec2, aws_s3
from constructs import Construct

from infra.checks import acknowledge
from infra.settings import Settings

ENDPOINTS = ("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry", "logs")
"""What a machine without a way to the internet talks to, besides S3: it pulls the image, joins its cluster and
writes logs. AWS Batch itself reaches the cluster from outside."""


class Network(Construct):
    """Subnets for machines that nothing can call."""

    def __init__(
        self, scope: Construct, construct_id: str, settings: Settings, flow_log: aws_s3.IBucket
    ) -> None:
        super().__init__(scope, construct_id)
        private = settings.subnets == "private"
        self.vpc = aws_ec2.Vpc(
            self,
            "Vpc",
            # By position: the names of an account's zones would need a call to AWS while synthesizing.
            availability_zones=[Fn.select(zone, Fn.get_azs()) for zone in range(settings.zones)],
            nat_gateways=0,
            subnet_configuration=[
                aws_ec2.SubnetConfiguration(
                    name="machines",
                    cidr_mask=20,
                    subnet_type=aws_ec2.SubnetType.PRIVATE_ISOLATED if private else aws_ec2.SubnetType.PUBLIC,
                )
            ],
            restrict_default_security_group=settings.restrict_default_security_group,
        )
        self.vpc.add_flow_log("FlowLog", destination=aws_ec2.FlowLogDestination.to_s3(flow_log))
        self.vpc.add_gateway_endpoint("S3", service=aws_ec2.GatewayVpcEndpointAwsService.S3)
        self.security_group = self._security_group()
        """Of the machines: HTTPS out, nothing in."""
        if private:
            self._endpoints()
        else:
            self._acknowledge_public_addresses()
        if not settings.restrict_default_security_group:
            self._acknowledge_open_default_group()

    def _security_group(self) -> aws_ec2.SecurityGroup:
        group = aws_ec2.SecurityGroup(
            self,
            "Machines",
            vpc=self.vpc,
            description="Machines of AWS Batch: HTTPS out, nothing in",
            allow_all_outbound=False,
        )
        group.add_egress_rule(aws_ec2.Peer.any_ipv4(), aws_ec2.Port.tcp(443), "AWS APIs and S3")
        return group

    def _endpoints(self) -> None:
        group = aws_ec2.SecurityGroup(
            self,
            "Endpoints",
            vpc=self.vpc,
            description="Endpoints of AWS: HTTPS from the machines",
            allow_all_outbound=False,
        )
        group.add_ingress_rule(self.security_group, aws_ec2.Port.tcp(443), "HTTPS from the machines")
        for service in ENDPOINTS:
            self.vpc.add_interface_endpoint(
                service,
                service=aws_ec2.InterfaceVpcEndpointAwsService(service),
                security_groups=[group],
                open=False,
            )

    def _acknowledge_public_addresses(self) -> None:
        reason = (
            "Machines need an address to reach ECS, ECR and CloudWatch without a NAT gateway (about 33 USD a "
            "month, idle). Their security group lets nothing in. Setting subnets=private uses endpoints instead."
        )
        acknowledge(
            self.vpc,
            {
                "HIPAA.Security-VPCSubnetAutoAssignPublicIpDisabled": reason,
                "HIPAA.Security-VPCNoUnrestrictedRouteToIGW": reason,
            },
        )

    def _acknowledge_open_default_group(self) -> None:
        acknowledge(
            self.vpc,
            {
                "HIPAA.Security-VPCDefaultSecurityGroupClosed": (
                    "Switched off by restrict_default_security_group, as an emulator cannot run the function that "
                    "empties the group; no machine is in it."
                )
            },
        )
