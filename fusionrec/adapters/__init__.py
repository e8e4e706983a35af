"""One outside thing each; `functions/wiring.py` chooses among them."""
