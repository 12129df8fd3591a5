from siamese_nima.printable import printable


def test_unprintable_names_are_escaped():
    assert printable("a\nb\x1b[31mé.jpg") == "a\\nb\\x1b[31mé.jpg"


def test_bytes_that_are_no_utf_8_and_marks_that_turn_text_around_are_escaped():
    assert printable("a\udcff\u202egpj.exe") == "a\\udcff\\u202egpj.exe"


def test_names_in_utf_8_are_read_where_the_system_has_another_encoding():
    assert printable("caf\udcc3\udca9 \udcff.jpg") == "café \\udcff.jpg"
    assert printable("\ud800\udcc3\udca9") == "\\ud800\\udcc3\\udca9"
