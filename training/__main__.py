"""`python -m training …` is `fusionrec …`."""

from training.cli import run

run()
