"""A photo is scored once, and never gets the score of another."""

import logging
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image

from siamese_nima.card import golden_photo
from siamese_nima.errors import ConfigError
from siamese_nima.ratings import RatingScale
from siamese_nima.scoring import cache as result_cache
from siamese_nima.scoring import model_set
from siamese_nima.scoring.cache import ResultCache, cache_path, usual_cache
from siamese_nima.scoring.model import ModelFile
from siamese_nima.scoring.scorer import Scorer
from systems import needs_posix
from tiny_model import rate_tiny, write_model


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache" / "results.sqlite"


@pytest.fixture
def settled(monkeypatch):
    """File states are trusted at once."""
    monkeypatch.setattr(result_cache, "_SETTLED_NS", -1)


@pytest.fixture
def work(monkeypatch):
    """What was decoded and what was hashed, by name."""
    done = {"decoded": [], "hashed": []}
    open_photo, digest = model_set.open_photo, result_cache._digest_of

    def read(source, **options):
        done["decoded"].append(Path(source).name)
        return open_photo(source, **options)

    def hash_(path):
        done["hashed"].append(Path(path).name)
        return digest(path)

    monkeypatch.setattr(model_set, "open_photo", read)
    monkeypatch.setattr(result_cache, "_digest_of", hash_)
    return done


def forget(work):
    for names in work.values():
        names.clear()


def grey(path, value, *, like=None):
    """An uncompressed photo, so that all have one size; with the times of another state."""
    Image.new("RGB", (40, 40), (value,) * 3).save(path, "BMP")
    if like is not None:
        os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))
    return path


def test_a_second_run_opens_no_photo(tiny_model, photo_folder, cache, work, settled):
    first = list(Scorer(tiny_model, cache=cache).score(photo_folder))
    assert len(work["decoded"]) == len(work["hashed"]) == 11
    forget(work)
    again = list(Scorer(tiny_model, cache=cache).score(photo_folder))
    assert work == {"decoded": [], "hashed": []}
    assert again == first == list(Scorer(tiny_model).score(photo_folder))
    assert all(result.cached for result in again)
    assert not any(result.cached for result in first)


def test_the_state_of_a_file_that_has_just_changed_is_not_trusted(
    tiny_model, photo_folder, cache, work, monkeypatch
):
    monkeypatch.setattr(result_cache, "_SETTLED_NS", 10**18)
    for _ in range(2):
        list(Scorer(tiny_model, cache=cache).score(photo_folder))
    assert len(work["decoded"]) == 11
    # Once to find it, once more after scoring it, and once in the second run.
    assert len(work["hashed"]) == 33


@pytest.mark.skipif(sys.platform == "win32", reason="no time of status change")
def test_a_change_that_keeps_size_and_time_is_noticed(tiny_model, tmp_path, cache, settled):
    photo = grey(tmp_path / "a.bmp", 60)
    before = photo.stat()
    [dark] = Scorer(tiny_model, cache=cache).score([photo])
    grey(photo, 200, like=before)
    after = photo.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    [bright] = Scorer(tiny_model, cache=cache).score([photo])
    assert not bright.cached
    assert bright.mean > dark.mean


def test_moved_and_copied_photos_are_recognised(tiny_model, tmp_path, cache, work, settled):
    photo = grey(tmp_path / "a.bmp", 60)
    [first] = Scorer(tiny_model, cache=cache).score([photo])
    moved = photo.rename(tmp_path / "b.bmp")
    copied = shutil.copy(moved, tmp_path / "c.bmp")
    grey(photo, 200)
    results = list(Scorer(tiny_model, cache=cache).score([moved, copied, photo]))
    assert [result.cached for result in results] == [True, True, False]
    assert results[0].mean == results[1].mean == first.mean < results[2].mean
    forget(work)
    list(Scorer(tiny_model, cache=cache).score([moved, copied]))
    assert work == {"decoded": [], "hashed": []}


def test_what_changes_while_it_is_scored_is_not_kept(tiny_model, tmp_path, cache, monkeypatch):
    photo = grey(tmp_path / "a.bmp", 60)
    other = grey(tmp_path / "other.bmp", 200).read_bytes()
    open_photo = model_set.open_photo

    def swapped_under_us(source, **options):
        photo.write_bytes(other)
        return open_photo(source, **options)

    monkeypatch.setattr(model_set, "open_photo", swapped_under_us)
    [result] = Scorer(tiny_model, cache=cache).score([photo])
    monkeypatch.undo()
    grey(photo, 60)
    [again] = Scorer(tiny_model, cache=cache).score([photo])
    assert not again.cached
    assert again.mean < result.mean


def test_another_model_view_or_decoding_is_scored_anew(
    tiny_model, tiny_card, photo_folder, tmp_path, cache
):
    other = write_model(tmp_path / "other.onnx", replace(tiny_card, description="other file"))
    list(Scorer(tiny_model, cache=cache).score(photo_folder))
    for scorer in (
        Scorer(other, cache=cache),
        Scorer(tiny_model, cache=cache, view="centre:24@30"),
        Scorer(tiny_model, cache=cache, exact=True),
    ):
        assert not any(result.cached for result in scorer.score(photo_folder))


def test_a_further_model_rates_alone_what_the_first_has_rated(
    tiny_model, tiny_card, photo_folder, tmp_path, cache, monkeypatch
):
    card = replace(tiny_card, name="five", scale=RatingScale(1, 5), golden=None)
    five = write_model(
        tmp_path / "five.onnx",
        replace(card, golden=tuple(rate_tiny(card, golden_photo()))),
    )
    list(Scorer(tiny_model, cache=cache).score(photo_folder))
    scorer = Scorer([tiny_model, five], cache=cache)
    monkeypatch.setattr(scorer.model, "rate", None)  # must not be called
    results = list(scorer.score(photo_folder))
    assert all(result.cached and not result.others["five"].cached for result in results)


def test_a_huge_file_is_not_read_to_find_its_content(tiny_model, tmp_path, cache, work):
    with (tmp_path / "huge.bmp").open("wb") as file:
        file.truncate(3 << 30)  # a hole: takes no space
    [result] = Scorer(tiny_model, cache=cache).score([tmp_path / "huge.bmp"])
    assert result.error is not None
    assert work["hashed"] == []


def test_errors_are_tried_again(tiny_model, tmp_path, cache):
    photo = tmp_path / "a.bmp"
    photo.write_bytes(b"BM broken")
    [broken] = Scorer(tiny_model, cache=cache).score([photo])
    grey(photo, 60)
    [whole] = Scorer(tiny_model, cache=cache).score([photo])
    assert (broken.mean, whole.error) == (None, None)


def test_pictures_that_are_not_files_need_no_cache(tiny_model, photo_folder, cache):
    content = (photo_folder / "photo1.png").read_bytes()
    for _ in range(2):
        [result] = Scorer(tiny_model, cache=cache).score(content)
        assert (result.cached, result.error) == (False, None)


def test_a_model_in_memory_has_no_hash_to_go_by(tiny_model, cache):
    class InMemory:
        def __init__(self):
            self.card = ModelFile(tiny_model).card
            self.model_id = "tiny-1"

        def rate(self, views):
            raise NotImplementedError

    with pytest.raises(ConfigError, match="'tiny' is not from a file; a cache needs its hash"):
        Scorer(InMemory(), cache=cache)


@pytest.mark.parametrize("keep", [0, 10, 100, 5000])
def test_a_truncated_cache_is_begun_anew(tiny_model, photo_folder, caplog, keep):
    path = cache_path()
    truth = list(Scorer(tiny_model, cache=path).score(photo_folder))
    path.write_bytes(path.read_bytes()[:keep])
    with caplog.at_level(logging.WARNING):
        assert list(Scorer(tiny_model, cache=path).score(photo_folder)) == truth
    if keep:
        assert f"{path}: the cache is damaged" in caplog.text
    assert all(result.cached for result in Scorer(tiny_model, cache=path).score(photo_folder))


def test_no_damage_ever_becomes_a_score(tiny_model, photo_folder, cache, settled):
    truth = list(Scorer(tiny_model, cache=cache).score(photo_folder))
    whole = cache.read_bytes()
    rng = random.Random(0)
    for _ in range(50):
        damaged = bytearray(whole)
        # Not in the header: without it the file is not recognised as a cache, see below.
        for _ in range(rng.choice((1, 3, 40))):
            damaged[rng.randrange(100, len(damaged))] = rng.randrange(256)
        cache.write_bytes(damaged)
        scorer = Scorer(tiny_model, cache=cache)
        assert list(scorer.score(photo_folder)) == truth
        assert list(scorer.score(photo_folder)) == truth


def test_a_wrong_distribution_is_recognised(tiny_model, photo_folder, cache, caplog):
    truth = list(Scorer(tiny_model, cache=cache).score(photo_folder))
    with sqlite3.connect(cache) as database:
        swap = "UPDATE scores SET distribution = (SELECT distribution FROM scores LIMIT 1)"
        database.execute(swap)
    database.close()
    assert list(Scorer(tiny_model, cache=cache).score(photo_folder)) == truth
    assert "a check sum is wrong" in caplog.text


def test_another_file_is_never_overwritten(tiny_model, photo_folder, tmp_path):
    text, database = tmp_path / "notes.txt", tmp_path / "mine.sqlite"
    text.write_text("my notes")
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE mine(a)")
    connection.close()
    for path in (text, database):
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=f"{path.name}: not a result cache, so it is left"):
            list(Scorer(tiny_model, cache=path).score(photo_folder))
        assert path.read_bytes() == before


def test_a_cache_that_cannot_be_made_says_what_to_do(tiny_model, photo_folder):
    with pytest.raises(
        ConfigError, match=r"notes\.txt/c: the result cache cannot be used .*--no-c"
    ):
        list(Scorer(tiny_model, cache=photo_folder / "notes.txt" / "c").score(photo_folder))
    with pytest.raises(ConfigError, match="cannot be used"):
        list(Scorer(tiny_model, cache=photo_folder).score(photo_folder))


def test_the_usual_cache_that_cannot_be_made_is_a_warning(
    tiny_model, photo_folder, tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SIAMESE_NIMA_CACHE", str(tmp_path / "file" / "results.sqlite"))
    scorer = Scorer(tiny_model, cache=cache_path())
    assert list(scorer.score(photo_folder)) == list(Scorer(tiny_model).score(photo_folder))
    assert "no results are kept" in caplog.text


@needs_posix
def test_a_user_without_a_home_gets_a_warning_and_no_cache(monkeypatch, caplog):
    monkeypatch.delenv("SIAMESE_NIMA_CACHE")
    for name in ("HOME", "XDG_CACHE_HOME", "USERPROFILE", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", Mock(side_effect=KeyError))
    with pytest.raises(ConfigError, match="this user has no home folder"):
        cache_path()
    assert usual_cache() is None
    assert "no results are kept: this user has no home folder" in caplog.text


def test_a_cache_that_stays_locked_is_left_alone(
    tiny_model, photo_folder, cache, caplog, monkeypatch
):
    monkeypatch.setattr(result_cache, "_BUSY_S", 0.1)
    ResultCache(cache).close()
    other = sqlite3.connect(cache, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    results = list(Scorer(tiny_model, cache=cache).score(photo_folder))
    other.close()
    assert results == list(Scorer(tiny_model).score(photo_folder))
    assert "the cache cannot be used (database is locked); going on without" in caplog.text


def test_a_cache_of_another_version_is_begun_anew(tiny_model, photo_folder, cache, caplog):
    ResultCache(cache).close()
    database = sqlite3.connect(cache)
    database.execute("PRAGMA user_version = 99")
    database.close()
    list(Scorer(tiny_model, cache=cache).score(photo_folder))
    assert "made by another version" in caplog.text


def test_the_oldest_results_go_when_there_are_too_many(
    tiny_model, photo_folder, cache, monkeypatch, settled
):
    list(Scorer(tiny_model, cache=cache).score(photo_folder))
    monkeypatch.setattr(result_cache, "_MAX_BYTES", 1)
    list(Scorer(tiny_model, cache=cache).score(photo_folder))
    monkeypatch.undo()
    with ResultCache(cache) as kept:
        assert (kept.counts()["files"], kept.counts()["distributions"]) == (5, 5)
    cached = [result.cached for result in Scorer(tiny_model, cache=cache).score(photo_folder)]
    assert sum(cached) == 5


def test_threads_and_scorers_share_a_cache(tiny_model, photo_folder, cache):
    truth = list(Scorer(tiny_model).score(photo_folder))
    shared = Scorer(tiny_model, cache=cache)
    found = []

    def run(scorer):
        found.append(list(scorer.score(photo_folder)))

    scorers = [shared, shared, Scorer(tiny_model, cache=cache), Scorer(tiny_model, cache=cache)]
    threads = [threading.Thread(target=run, args=(scorer,)) for scorer in scorers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [truth] * 4


def test_processes_share_a_cache(tiny_model, photo_folder, cache):
    program = (
        "from siamese_nima import Scorer\n"
        f"for _ in range(3):\n"
        f"    for r in Scorer({str(tiny_model)!r}, cache={str(cache)!r}, batch_size=1)"
        f".score({str(photo_folder)!r}): print(r.path, r.mean, r.error)"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True)
        for _ in range(3)
    ]
    outputs = [run.communicate(timeout=120) for run in runs]
    expected = "".join(
        f"{result.path} {result.mean} None\n" for result in Scorer(tiny_model).score(photo_folder)
    )
    assert outputs == [(expected * 3, "")] * 3
