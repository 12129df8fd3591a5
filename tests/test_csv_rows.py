import io
import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima import csv_rows
from siamese_nima.csv_rows import (
    as_on_disk,
    as_written,
    csv_lines,
    csv_writer,
    decode_text,
    read_lines,
    read_table,
    read_text,
)
from siamese_nima.errors import AnswerError, TableError
from systems import needs_posix

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.lists(text, min_size=2, max_size=3), max_size=4))
def test_every_value_comes_back(rows):
    file = io.StringIO(newline="")
    csv_writer(file).writerows(rows)
    assert [cells for _, cells in csv_lines(file.getvalue())] == rows


def test_a_row_is_found_at_the_line_it_begins_on():
    found = list(csv_lines('a;"b\n\rc"\r\n\r\nd;e', ";"))
    assert found == [(1, ["a", "b\n\rc"]), (4, []), (5, ["d", "e"])]


def test_rows_end_in_a_newline_alone():
    file = io.StringIO(newline="")
    csv_writer(file).writerows([["plain", 1], ["with\rreturn", None]])
    assert file.getvalue() == 'plain,1\n"with\rreturn",\n'


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_come_with_their_line_and_without_blanks(tmp_path, separator):
    text = "photo,mos\n\n a.jpg , 3.5\nb.jpg,4\n".replace(",", separator)
    rows = read_table(write(tmp_path / "t.csv", text), ("photo", "mos"))
    assert [(row.line, row.text("photo"), row.number("mos")) for row in rows] == [
        (3, "a.jpg", 3.5),
        (4, "b.jpg", 4.0),
    ]


@pytest.mark.parametrize(
    "name", ["a\rb.jpg", "a\nb.jpg", "a\r\nb.jpg", "a\u2028b.jpg", "a\x0cb.jpg"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_breaks_inside_a_name_are_kept(tmp_path, name, end):
    text = end.join(["photo,mos", f'"{name}",1', "c.jpg,2", ""])
    (tmp_path / "t.csv").write_bytes(text.encode())
    rows = read_table(tmp_path / "t.csv")
    assert [row.text("photo") for row in rows] == [name, "c.jpg"]
    # As an editor counts lines, and where the row begins.
    broken = "\r" in name or "\n" in name
    assert [row.line for row in rows] == [2, 4 if broken else 3]


def test_a_quotation_mark_that_is_not_closed_is_refused(tmp_path):
    table = write(tmp_path / "t.csv", 'photo,mos\n"a.jpg,1\nb.jpg,2\n')
    with pytest.raises(TableError, match=r"t\.csv line 2: not a readable table \(unexpected end"):
        read_table(table)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    rows = read_table(write(tmp_path / "t.csv", "\ufeffphoto,mos\na.jpg,1\n"), ("photo",))
    assert rows[0].text("photo") == "a.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no photo"),
        ("photo,mos\n", "holds no photo"),
        ("photo\na.jpg\n", "no column 'mos', found photo"),
        ("photo,mos,mos\na,1,2\n", "column 'mos' appears twice"),
        ("photo,mos\na,1\nb\n", "line 3: another number of cells than the 2 columns"),
    ],
)
def test_malformed_tables_are_refused(tmp_path, text, message):
    with pytest.raises(TableError, match=message):
        read_table(write(tmp_path / "t.csv", text), ("mos",))


def test_a_cell_that_is_no_number_is_named(tmp_path):
    row = read_table(write(tmp_path / "t.csv", "photo,mos\na.jpg,good\nb.jpg,\n"))
    with pytest.raises(TableError, match="line 2: column 'mos' holds 'good', wanted a number"):
        row[0].number("mos")
    with pytest.raises(TableError, match="line 3: column 'mos' is empty"):
        row[1].number("mos")


def test_a_spreadsheet_must_be_exported(tmp_path):
    with pytest.raises(TableError, match=r"t\.xlsx: a spreadsheet; export the sheet as CSV"):
        read_table(tmp_path / "t.xlsx")


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read_in_whatever_encoding_it_comes(tmp_path, encoding, separator, end):
    text = end.join(["photo,mos", "caf\u00e9.jpg,1", "\u7167\u7247.jpg,2", ""])
    (tmp_path / "t.csv").write_bytes(text.replace(",", separator).encode(encoding))
    rows = read_table(tmp_path / "t.csv", ("photo", "mos"))
    assert [row.text("photo") for row in rows] == ["caf\u00e9.jpg", "\u7167\u7247.jpg"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")))
def test_text_comes_back_from_every_encoding_with_a_mark(text):
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert decode_text(text.encode(encoding)) == text


def test_windows_1252_is_read_as_letters_and_other_bytes_stay(tmp_path):
    (tmp_path / "t.csv").write_bytes("photo,scene\na.jpg,Gr\u00f6\u00dfe\n".encode("cp1252"))
    [row] = read_table(tmp_path / "t.csv")
    assert as_written(row.cells["scene"]) == "Gr\u00f6\u00dfe"
    assert os.fsencode(row.cells["scene"]) == b"Gr\xf6\xdfe"


@pytest.mark.parametrize(
    ("text", "value"), [("3,5", 3.5), ("-,25", -0.25), ("1,234", 1.234), ("4", 4.0), ("4.5", 4.5)]
)
def test_a_comma_is_decimal_where_semicolons_or_tabs_separate(tmp_path, text, value):
    for separator in ";\t":
        table = write(tmp_path / "t.csv", f"photo{separator}mos\na.jpg{separator}{text}\n")
        assert read_table(table)[0].number("mos") == value


def test_between_commas_a_thousand_is_not_taken_for_a_decimal(tmp_path):
    rows = read_table(write(tmp_path / "t.csv", 'photo,mos\na.jpg,"3,5"\nb.jpg,"1,234"\n'))
    assert rows[0].number("mos") == 3.5
    with pytest.raises(TableError, match="holds '1,234', wanted a number"):
        rows[1].number("mos")


def test_the_line_that_excel_writes_for_itself_names_the_separator(tmp_path):
    [row] = read_table(write(tmp_path / "t.csv", "sep=;\nphoto;a, or b\nx.jpg;1\n"))
    assert (row.line, row.text("a, or b")) == (3, "1")


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 9, b"a.jpg\0b.jpg\0"]
)
def test_a_file_that_is_no_text_is_refused(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(TableError, match=r"t\.csv: not a readable table \(not a text file\)"):
        read_table(tmp_path / "t.csv")


@needs_posix
def test_an_endless_table_is_refused(tmp_path, monkeypatch):
    with pytest.raises(AnswerError, match="/dev/zero: a device, not a table"):
        read_text(Path("/dev/zero"), AnswerError)
    monkeypatch.setattr(csv_rows, "MAX_TABLE_BYTES", 1 << 20)
    with Path("/dev/zero").open("rb") as file, pytest.raises(TableError, match="larger than 1 MB"):
        read_lines(file, "standard input")
    (tmp_path / "t.csv").write_bytes(b"a" * (2 << 20))
    with pytest.raises(TableError, match=r"t\.csv: larger than 1 MB"):
        read_table(tmp_path / "t.csv")


def test_lines_of_a_list_keep_what_is_no_letter_of_it():
    content = b"\xef\xbb\xbfa.jpg\r\n\r\n b.jpg\ncaf\xe9.jpg\x0c"
    assert read_lines(io.BytesIO(content), "list") == ["a.jpg", " b.jpg", "caf\udce9.jpg\x0c"]


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        ("caf\u00e9.jpg", unicodedata.normalize("NFD", "caf\u00e9.jpg")),
        (unicodedata.normalize("NFD", "caf\u00e9.jpg"), "caf\u00e9.jpg"),
        ("caf\u00e9.jpg", os.fsdecode("caf\u00e9.jpg".encode("cp1252"))),
        (os.fsdecode(b"caf\xe9.jpg"), os.fsdecode(b"caf\xe9.jpg")),
        ("day1/a.jpg", "day1\\a.jpg"),
        ("day\\1.jpg", "day\\1.jpg"),
        (unicodedata.normalize("NFD", "\u00e9t\u00e9/\u00e9.jpg"), "\u00e9t\u00e9\\\u00e9.jpg"),
    ],
)
def test_a_name_finds_its_file_however_another_system_spells_it(tmp_path, present, wanted):
    (tmp_path / present).parent.mkdir(exist_ok=True)
    (tmp_path / present).touch()
    assert as_on_disk(wanted, tmp_path) == tmp_path / present


def test_a_name_without_a_file_stays_as_it_is(tmp_path):
    assert as_on_disk("day1\\a.jpg", tmp_path) == tmp_path / "day1\\a.jpg"


def test_names_find_their_files_in_upper_and_lower_case(tmp_path):
    (tmp_path / "day1").mkdir()
    for name in ("day1/cafe\u0301.jpg", "b.JPG", "c.jpg", "C.JPG"):
        (tmp_path / name).touch()
    for name, wanted in (
        ("day1\\CAF\u00c9.JPG", "day1/cafe\u0301.jpg"),
        ("B.jpg", "b.JPG"),
        ("c.jpg", "c.jpg"),
        ("none/b.jpg", "none/b.jpg"),
    ):
        assert as_on_disk(name, tmp_path) == tmp_path / wanted
    if len({*tmp_path.iterdir()}) == 4:  # where letters of both cases are different names
        assert as_on_disk("c.JPG", tmp_path) == tmp_path / "c.JPG"
    (tmp_path / "d.png").touch()
    assert as_on_disk("D.PNG", tmp_path) == tmp_path / "d.png"
