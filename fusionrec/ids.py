"""What no id may hold, by one rule for the API and for files.

Control characters and line breaks tear logs and reports; direction controls show an id as another one, and of two ids
that differ in an invisible character alone nobody sees which is meant. None of them is ever meant.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 256  # characters

# Regular expressions that Python and RE2 (in DuckDB) read alike. Direction controls are these alone: a mark such as
# U+200F, which scripts from right to left need, is fit, and so are joiners (U+200C, U+200D) and variation selectors,
# which Persian, Hindi, Mongolian and emoji need; alone they are no id. Invisible are the soft hyphen, the zero-width
# space, the word joiner and its kin, the byte order mark, annotation marks, and fillers, which count as letters and
# show nothing.
_INVISIBLE: Final = "\xad\u200b\u2060-\u2064\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
UNFIT: Final = f"[\\x00-\\x1f\\x7f-\\x9f\u2028-\u202e\u2066-\u2069{_INVISIBLE}]"
_SPACE: Final = "\\s\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # RE2's \\s is that of ASCII
_NEEDS_OTHERS: Final = (
    "\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c-\u200f\u2800\ufe00-\ufe0f"
    "\U000e0001\U000e0020-\U000e007f\U000e0100-\U000e01ef"
)
BLANK: Final = f"^[{_SPACE}{_NEEDS_OTHERS}]*$"
REASON: Final = (
    "holds a control character, an invisible character, a line break or a direction control (embedding, override, "
    "isolate); take it out"
)
