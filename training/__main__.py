"""`python -m training …` is `fusionrec …`."""

from training.cli import main

main()
