"""`python -m submit` is `submit`."""

from submit.cli import main

main()
