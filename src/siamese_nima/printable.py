"""Names of photos as people read them."""


def printable(name: str) -> str:
    r"""A file name as one line of visible characters; unprintable ones are escaped.

    >>> print(printable("two\nlines"))
    two\nlines
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)
