"""One reader a source; every one gives the same raw frame (`frame.py`)."""
