import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.csv_rows import csv_writer

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.lists(text, min_size=2, max_size=3), max_size=4))
def test_every_value_comes_back(rows):
    file = io.StringIO(newline="")
    csv_writer(file).writerows(rows)
    assert list(csv.reader(io.StringIO(file.getvalue(), newline=""))) == rows


def test_rows_end_in_a_newline_alone():
    file = io.StringIO(newline="")
    csv_writer(file).writerows([["plain", 1], ["with\rreturn", None]])
    assert file.getvalue() == 'plain,1\n"with\rreturn",\n'
