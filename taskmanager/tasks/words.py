r"""What the words of a text are to a search: one expression, for the index and for the statements that it serves.

A word is what stands between blanks and signs, in whatever case. Signs become blanks before PostgreSQL's text parser
sees the text. In ASCII that parser takes them for markup, hosts, addresses, paths and numbers: it would drop
`<urgent>`, not find `example` in `somebody@example.com`, and at each word of a long text with `@`, `_`, `/`, `~` or `.`
in it read the rest of that text again, for seconds. And beyond ASCII they are letters to it where the database's locale
is C, as it is in most containers: nobody would find `urgent` in `« urgent »`.
"""

# Code points, as a bracket of PostgreSQL's regular expressions has them. A table of our own: those of a locale, and of
# a version of Unicode, differ from one server to the next, and the index would not be what it was built as. Marks
# that belong to a word are not among them, nor the two joiners U+200C and U+200D.
_SIGNS = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7"
    # Of Greek, Armenian, Hebrew, Arabic and the scripts of India.
    r"\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u060c\u061b\u061d-\u061f\u066a-\u066d\u06d4\u0964\u0965"
    # Dashes, quotation marks and spaces; currencies, arrows, mathematics, frames and dingbats.
    r"\u2000-\u200b\u200e-\u206f\u20a0-\u20ff\u2122\u2190-\u245f\u2500-\u2775\u2794-\u2bff\u2e00-\u2e2e\u2e30-\u2e7f"
    # Of Chinese and Japanese, and the wide and narrow forms of the others.
    r"\u3000-\u3004\u3008-\u3020\u3030\u30a0\u30fb\ufe00-\ufe19\ufe30-\ufe6b\ufeff"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffee\ufff9-\ufffd"
    # Game pieces and emoji.
    r"\U0001f000-\U0001f0ff\U0001f10d-\U0001faff"
)


def _without_signs(text: str) -> str:
    return f"regexp_replace({text}, '[{_SIGNS}]+'::text, ' '::text, 'g'::text)"


_TEXT_OF_TASK = "(title || ' '::text) || description"

# Spelled as PostgreSQL tells the index, which the model has to; to the planner every spelling is the same.
WORDS_OF_TASK = f"to_tsvector('simple'::regconfig, {_without_signs(_TEXT_OF_TASK)})"


def all_words_of(text: str) -> str:
    """SQL of the query for what holds every word of a text."""
    return f"plainto_tsquery('simple'::regconfig, {_without_signs(text)})"
