"""AWS infrastructure (CDK): `cdk deploy` makes all that a sweep on AWS Batch needs. Start at `infra.stack`."""
