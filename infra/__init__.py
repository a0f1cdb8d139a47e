"""AWS infrastructure (CDK); nothing is here yet."""
