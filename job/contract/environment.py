"""Names of the environment variables that a container of `python -m job` reads; the command line wins."""

RUN = "LOOSWEEP_RUN"
"""Folder or URL of the run."""
STORE = "LOOSWEEP_STORE"
"""Folder or URL of the block store."""
DEVICE = "LOOSWEEP_DEVICE"
"""`cpu`, `cuda` or `cuda:N`."""
