import io

from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.csv_rows import csv_lines, csv_writer

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
