"""What no id may hold, by one rule for the API and for files.

Control characters and line breaks tear logs and reports; direction controls show an id as another one. None of them is
ever meant.
"""

from __future__ import annotations

from typing import Final

LONGEST: Final = 256  # characters

# A regular expression that Python and RE2 (in DuckDB) read alike. Direction controls are these alone: a mark such as
# U+200F, which scripts from right to left need, is fit.
UNFIT: Final = "[\\x00-\\x1f\\x7f-\\x9f\u2028-\u202e\u2066-\u2069]"
BLANK: Final = "^[\\s\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*$"  # RE2's \\s is that of ASCII
REASON: Final = (
    "holds a control character, a line break or a direction control (embedding, override, isolate); take it out"
)
