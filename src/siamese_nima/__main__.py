"""`python -m siamese_nima` is the command `nima`."""

from siamese_nima.cli import main

main()
