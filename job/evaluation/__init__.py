"""Inference on a whole exam, and metrics."""
