"""How `submit` ends where `job.contract.exit_codes` has no code for it."""

FAILED = 1
"""Folds failed, or were ended before their time."""
INTERRUPTED = 130
"""After Ctrl-C."""
