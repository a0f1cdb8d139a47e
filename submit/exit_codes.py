"""How `submit` ends where `job.contract.exit_codes` has no code for it."""

FAILED = 1
"""Folds failed, or were ended before their time; nothing else ends so."""
INTERRUPTED = 130
"""After Ctrl-C."""
READER_GONE = 141
"""Whoever read what was printed has read enough, as `head` does (128 + SIGPIPE, as of other tools)."""
