"""The side of the user: command line, executors, analysis and report."""
