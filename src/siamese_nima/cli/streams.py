"""Standard output and error: what they are encoded in, and the lines that go to people."""

from __future__ import annotations

import codecs
import errno
import os
import shlex
import subprocess
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from textwrap import TextWrapper
from typing import TextIO

import typer

from siamese_nima.printable import printable

_AS_BYTES = "nima-names"  # how names that are not Unicode leave


def fit_streams() -> None:
    """Decide how both streams are encoded; whatever a file is called, printing it never fails.

    Where nobody looks (a file, a pipe) text is UTF-8 on every system, and names that are not valid
    Unicode are the bytes they are. A terminal keeps its encoding, and shows the code of a
    character that it does not have.
    """
    codecs.register_error(_AS_BYTES, _name_bytes)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the command
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="backslashreplace")
            else:
                stream.reconfigure(encoding="utf-8", errors=_AS_BYTES)


def flush_streams() -> bool:
    """Write out what is left; False if the reader of our output (head, less, more) has left."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        if not is_broken_pipe(error):
            raise
        drop_output()
        return False
    return True


def is_broken_pipe(error: OSError) -> bool:
    """Whether the reader of our output has left; Windows says "invalid argument" then."""
    return isinstance(error, BrokenPipeError) or (
        error.errno == errno.EINVAL and error.filename is None
    )


def drop_output() -> None:
    """Let what is unflushed go nowhere, as there is nobody to read it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Lines on standard error, for people; broken between words on a terminal."""
    typer.echo(_broken(text, sys.stderr), err=True)


def tell(text: str, indent: int = 2) -> None:
    """Lines of a result on standard output; on a terminal broken between words, and indented."""
    typer.echo(_broken(text, sys.stdout, " " * indent))


def _broken(text: str, stream: TextIO, indent: str = "") -> str:
    if not stream.isatty():
        return text
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 0
    with suppress(OSError, ValueError):  # of a terminal that has no size
        width = width or os.get_terminal_size(stream.fileno()).columns
    wrapper = TextWrapper(
        max(width or 80, 2 * len(indent)),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(map(wrapper.fill, text.split("\n")))


def shell_quoted(argument: str) -> str:
    """An argument as the shell at hand takes it, in one visible line.

    >>> shell_quoted("a b.jpg")
    "'a b.jpg'"
    """
    if os.name == "nt":
        return printable(subprocess.list2cmdline([argument]))
    return printable(shlex.quote(argument))


def fitting(path: str, room: int) -> str:
    """A path as visible characters that take at most `room` cells of a terminal; its end stays.

    >>> fitting("holiday/day-1/photo.jpg", 15)
    '…ay-1/photo.jpg'
    """
    from rich.cells import cell_len

    shown = printable(path)
    if cell_len(shown) <= room:
        return shown
    while shown and cell_len(shown) > room - 1:
        shown = shown[1:]
    return f"…{shown}"


def _name_bytes(error: UnicodeError) -> tuple[bytes, int]:
    """Surrogates become the bytes that they stand for, or else their code."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    out = bytearray()
    for letter in error.object[error.start : error.end]:
        code = ord(letter)
        out += bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}".encode()
    return bytes(out), error.end
