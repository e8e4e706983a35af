"""Every error that fusionrec raises on purpose.

FusionrecError                    one line for people; never a stack trace on a terminal
├── BadInputError                 the caller can mend it: names field or line, value, remedy
│   ├── UnknownItemError          an item that the catalogue does not hold (404)
│   ├── UnknownUserError          a user of whom nothing is known, where that is an error (404)
│   ├── ForbiddenError            what the caller's own identity does not allow (403)
│   ├── BadTokenError             a nextToken that is malformed or has expired
│   └── DataError                 a file that cannot be read or does not hold what it should
├── BundleError                   a model bundle that must not be served
│   ├── BundleMissingError        nothing there
│   ├── BundleTamperedError       a file differs from its sha256 in the manifest
│   ├── BundleMismatchError       made for another feature spec or schema
│   └── VocabularyError           an index outside the bundle's catalogue
└── StoreUnavailableError         a store did not answer, or too late; the request degrades
"""

from __future__ import annotations


class FusionrecError(Exception):
    """Base of all; its text is one line, fit for a terminal or a log."""


class BadInputError(FusionrecError):
    """Input that the caller can mend."""

    def __init__(self, message: str, *, pointer: str = "") -> None:
        """pointer: a JSON pointer (`/eventList/0/itemId`) or `file:line`, empty when the whole input is meant."""
        super().__init__(message)
        self.pointer = pointer


class UnknownItemError(BadInputError):
    """The catalogue does not hold this item."""


class UnknownUserError(BadInputError):
    """Nothing is known of this user, and the answer would be empty."""


class ForbiddenError(BadInputError):
    """The caller is known, and may not do this."""


class BadTokenError(BadInputError):
    """A page token that is malformed or has expired."""


class DataError(BadInputError):
    """A data file that cannot be read or does not hold what it should."""


class BundleError(FusionrecError):
    """A model bundle that must not be served."""


class BundleMissingError(BundleError):
    """There is no bundle at this place."""


class BundleTamperedError(BundleError):
    """A file of the bundle differs from its hash in the manifest."""


class BundleMismatchError(BundleError):
    """The bundle was made for another feature spec or schema version."""


class VocabularyError(BundleError):
    """An index lies outside the bundle's catalogue."""


class StoreUnavailableError(FusionrecError):
    """A store did not answer, or not in time."""

    def __init__(self, store: str, detail: str, *, told: str = "") -> None:
        """store: a short name that may appear in `degraded`, such as `user_features`; told: what a caller may read"""
        super().__init__(f"{store}: {detail}")
        self.store, self.told = store, told
