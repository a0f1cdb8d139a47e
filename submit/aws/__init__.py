"""Sweeps on AWS Batch: the deployed stack, its jobs, and what they cost."""
