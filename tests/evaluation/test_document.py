import io
from html.parser import HTMLParser

from PIL import Image

from browser_pages import problems_of, wait_until
from siamese_nima.evaluation.document import Picture, Section, Table, to_html, write_report

SECTIONS = [
    Section(
        title="One & two",
        paragraphs=["a_b <c>"],
        warnings=["mind *this*"],
        tables=[Table(("figure", "value"), [("x|y", "1")])],
        plots=[Picture("plot.svg", b"<svg/>", "a plot")],
        photos=[Picture("best-1.webp", b"\xff\xd8", "7.00 a[1].jpg")],
    )
]


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.sources, self.words, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_needs_no_other_file_and_runs_nothing():
    page = Page(to_html("A report", SECTIONS))
    assert all(source.startswith("data:image/") for source in page.sources)
    assert len(page.sources) == 2
    assert "script" not in page.tags
    assert "a_b <c>" in page.words
    assert "x|y" in page.words


def test_markdown_shows_text_as_it_is_and_names_its_pictures(tmp_path):
    markdown, page = write_report(tmp_path / "out", "A report", SECTIONS)
    text = markdown.read_text()
    assert "a\\_b \\<c\\>" in text
    assert "| x\\|y | 1 |" in text
    assert "**Note:** mind \\*this\\*" in text
    assert "![a plot](pictures/plot.svg)" in text
    assert (markdown.parent / "pictures" / "best-1.webp").read_bytes() == b"\xff\xd8"
    assert page.read_text().startswith("<!DOCTYPE html>")


def picture(kind):
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "grey").save(file, format=kind)
    return file.getvalue()


def test_the_page_fits_on_a_phone(chromium, tmp_path):
    wide = Table(tuple("abcdefgh"), [("1.234 [1.000, 2.000]",) * 8])
    plot = Picture("plot.png", picture("PNG"), "a plot")
    photos = [Picture(f"{n}.webp", picture("WEBP"), f"photo {n}") for n in range(5)]
    section = Section(
        title="All",
        paragraphs=["80 % of it"],
        warnings=["mind"],
        tables=[wide],
        plots=[plot],
        photos=photos,
    )
    _, report = write_report(tmp_path, "A report", [section])
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    problems = problems_of(page, tmp_path)
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth)")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    wait_until(page, "document.querySelector('.table').scrollLeft > 0")
    page.close()
    assert problems == []
