"""`python -m petseg`: the command line."""

from petseg_cli import main

main()
