"""Names of photos, and numbers of them, as people read them."""

from contextlib import suppress


def printable(name: str) -> str:
    r"""A file name as one line of visible characters; unprintable ones are escaped.

    >>> print(printable("two\nlines"))
    two\nlines
    """
    with suppress(UnicodeEncodeError):  # a surrogate that stands for no byte
        # Names in UTF-8 are undecoded bytes where the system's own encoding is another.
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def counted(number: int, what: str, many: str | None = None) -> str:
    """A number of things in words.

    >>> counted(1, "photo"), counted(2, "copy", "copies")
    ('1 photo', '2 copies')
    """
    return f"{number} {what if number == 1 else many or f'{what}s'}"
