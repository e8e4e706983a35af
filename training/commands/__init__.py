"""One command group a file; `cli.py` assembles them."""
