"""What no id may hold, by one rule for the API and for files.

Control characters and line breaks tear logs and reports; direction controls show an id as another one, and of two ids
that differ in an invisible character alone nobody sees which is meant. None of them is ever meant.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 256  # characters

# Regular expressions that Python and RE2 (in DuckDB) read alike. Direction controls are these alone: a mark such as
# U+200F, which scripts from right to left need, is fit, and so are joiners (U+200C, U+200D) and variation selectors,
# which Persian, Hindi and emoji need; alone they are no id. Invisible are the soft hyphen, the zero-width space, the
# word joiner and its kin, the byte order mark, annotation marks, and fillers, which count as letters and show nothing.
_INVISIBLE: Final = "\xad\u180e\u200b\u2060-\u2064\u3164\ufeff\uffa0\ufff9-\ufffb"
UNFIT: Final = f"[\\x00-\\x1f\\x7f-\\x9f\u2028-\u202e\u2066-\u2069{_INVISIBLE}]"
_SPACE: Final = "\\s\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"  # RE2's \\s is that of ASCII
_NEEDS_OTHERS: Final = "\u034f\u115f\u1160\u180b-\u180d\u200c-\u200f\ufe00-\ufe0f\U000e0020-\U000e007f"
BLANK: Final = f"^[{_SPACE}{_NEEDS_OTHERS}]*$"
REASON: Final = (
    "holds a control character, an invisible character, a line break or a direction control (embedding, override, "
    "isolate); take it out"
)
