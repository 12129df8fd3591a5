import pytest

from siamese_nima.datasets.label_rows import photo_paths, read_label_rows
from siamese_nima.errors import TableError


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_rows_come_with_their_line_and_without_blanks(tmp_path, separator):
    text = "photo,mos\n\n a.jpg , 3.5\nb.jpg,4\n".replace(",", separator)
    rows = read_label_rows(write(tmp_path / "t.csv", text), ("photo", "mos"))
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
    rows = read_label_rows(tmp_path / "t.csv")
    assert [row.text("photo") for row in rows] == [name, "c.jpg"]
    # As an editor counts lines, and where the row begins.
    broken = "\r" in name or "\n" in name
    assert [row.line for row in rows] == [2, 4 if broken else 3]


def test_a_quotation_mark_that_is_not_closed_is_refused(tmp_path):
    table = write(tmp_path / "t.csv", 'photo,mos\n"a.jpg,1\nb.jpg,2\n')
    with pytest.raises(TableError, match=r"t\.csv: not a readable table \(unexpected end"):
        read_label_rows(table)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    rows = read_label_rows(write(tmp_path / "t.csv", "\ufeffphoto,mos\na.jpg,1\n"), ("photo",))
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
        read_label_rows(write(tmp_path / "t.csv", text), ("mos",))


def test_a_cell_that_is_no_number_is_named(tmp_path):
    row = read_label_rows(write(tmp_path / "t.csv", "photo,mos\na.jpg,good\nb.jpg,\n"))
    with pytest.raises(TableError, match="line 2: column 'mos' holds 'good', wanted a number"):
        row[0].number("mos")
    with pytest.raises(TableError, match="line 3: column 'mos' is empty"):
        row[1].number("mos")


def test_a_spreadsheet_must_be_exported(tmp_path):
    with pytest.raises(TableError, match=r"t\.xlsx: a spreadsheet; export the sheet as CSV"):
        read_label_rows(tmp_path / "t.xlsx")


def test_photos_are_found_whatever_their_case_and_without_their_ending(tmp_path):
    for name in ("One.JPG", "two.png", "three.jpg", "three.png"):
        (tmp_path / name).touch()
    found = photo_paths(tmp_path, ["one.jpg", "two", "three", "four.jpg"])
    assert [path.name for path in found] == ["One.JPG", "two.png", "three", "four.jpg"]
