"""CLIP's cleaning of a text: unicode mended, HTML entities resolved, white space folded, lower case.

Mending by ftfy costs more than all the rest together. Nearly all of what it does is decided between two spaces, so
:func:`clean_alone` cleans such a chunk once for all texts that hold it, and says where it cannot.
"""

import html

import ftfy
from ftfy.badness import is_bad
from ftfy.fixes import unescape_html


def clean(text: str) -> str:
    """Mend broken unicode, resolve HTML entities (twice, as CLIP does), fold white space, lower the case."""
    return _finish(text if _is_plain(text) else ftfy.fix_text(text))


def clean_alone(chunk: str) -> str | None:
    """What :func:`clean` makes of a chunk in every text that holds it between two spaces, or at an end.

    Args:
        chunk: a part of a text without U+0020; other white space may be in it.

    Returns:
        the cleaned chunk, which may hold spaces, or None where the rest of the text may decide: in what looks like a
        broken encoding, which ftfy decodes anew in the whole text, and in entities within entities, of which ftfy
        resolves one layer more unless a < stands before them.
    """
    if _is_plain(chunk):
        return _finish(chunk)
    cleaned = _mend(chunk, resolve=True)
    return cleaned if '&' not in chunk or cleaned == _mend(chunk, resolve=False) else None


def _is_plain(text: str) -> bool:
    """Whether neither ftfy nor html would change the text, but for line breaks."""
    return text.isascii() and '&' not in text and text.replace('\n', ' ').isprintable()


def _mend(chunk: str, resolve: bool) -> str | None:
    """As ftfy does, round by round until nothing changes; None where a text around the chunk might look broken."""
    before = None
    while chunk != before:
        before = chunk
        chunk = unescape_html(chunk) if resolve else chunk
        # ftfy looks at each line. Of what stands before or after a chunk, only these make a difference to it.
        if any(is_bad(start + line + ' a') for line in (chunk, *chunk.split('\n')) for start in ('', 'a ')):
            return None
        chunk = ftfy.fix_text(chunk, unescape_html=False, fix_encoding=False)
    return _finish(chunk)


def _finish(text: str) -> str:
    if '&' in text:
        text = html.unescape(html.unescape(text))
    return ' '.join(text.lower().split())
