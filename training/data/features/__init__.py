"""The features of `fusionrec/feature_spec.py` as Ibis expressions: one module a view, computed as of a cut-off.

Every expression first keeps the events strictly before its cut-off, so nothing at or after it can be seen.
"""
