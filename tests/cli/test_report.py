"""`nima report`, as a user types it."""

from command import nima


def test_a_folder_becomes_a_page_with_its_bursts_and_its_errors(tiny_model, photo_folder, tmp_path):
    (photo_folder / "photo2.png").write_bytes(b"broken")
    page = tmp_path / "page.html"
    done = nima(
        "report", photo_folder, "--out", page, "--model", tiny_model, "--title", "A <shoot>"
    )
    text = page.read_text()
    assert done.returncode == 1
    assert f"wrote {page} (0.1 MB)" in done.stdout
    assert "photo2.png" in done.stderr
    assert "<h1>A &lt;shoot&gt;</h1>" in text
    assert "10 photos scored by tiny, 1 could not be read" in text
    assert text.count("data:image/webp") == 10


def test_photos_from_the_cache_are_on_the_page_too(tiny_model, photo_folder, tmp_path):
    arguments = ("report", photo_folder, "--model", tiny_model, "--cache", tmp_path / "cache")
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    assert nima(*arguments, "--out", first).returncode == 0
    done = nima(*arguments, "--out", second)
    assert "11 from the cache" in done.stderr
    assert first.read_text() == second.read_text()
