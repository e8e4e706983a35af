"""fusionrec: a recommender for online shops that fuses models of every kind into one ranking."""

__version__ = "0.1.0"
