"""`python -m ratchet.cli`."""

from ratchet.cli.app import main

main()
