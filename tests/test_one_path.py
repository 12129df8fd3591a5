"""Wherever the library takes a path, it takes text, a `Path` and any `PathLike`, and one is one."""

import asyncio
import os
from pathlib import Path

import pytest

import siamese_nima
from siamese_nima import (
    AnswerStore,
    FrameReader,
    LearnConfig,
    NimaError,
    Scorer,
    ThumbnailReader,
    UndoLog,
)
from siamese_nima.taste.answers import Answer


class Place(os.PathLike):
    """A path of another library."""

    def __init__(self, path):
        self._path = str(path)

    def __fspath__(self):
        return self._path


KINDS = [str, Path, Place]


@pytest.fixture
def scorer(tiny_model):
    return Scorer(tiny_model, workers=1)


@pytest.fixture
def photo(photo_folder):
    return photo_folder / "photo3.png"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_scored(scorer, photo, kind):
    async def scored():
        return [result.path async for result in scorer.score_async(kind(photo))]

    assert [result.path for result in scorer.score(kind(photo))] == [str(photo)]
    assert [result.path for result in scorer.score([kind(photo)])] == [str(photo)]
    assert [vector.path for vector in scorer.features(kind(photo))] == [str(photo)]
    assert asyncio.run(scored()) == [str(photo)]
    assert len(list(scorer.score(kind(photo.parent)))) == 11
    assert siamese_nima.read_photo(kind(photo)).size == (40, 70)


@pytest.mark.parametrize("kind", KINDS)
def test_what_scores(tiny_model, tmp_path, kind):
    assert Scorer(kind(tiny_model), cache=kind(tmp_path / "c.sqlite")).card.name == "tiny"
    assert Scorer([kind(tiny_model)]).card.name == "tiny"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_and_looked_at(scorer, photo, tmp_path, kind):
    assert siamese_nima.find_photos(kind(photo)).names == (str(photo),)
    assert len(siamese_nima.find_photos([kind(photo.parent)]).names) == 11
    assert siamese_nima.find_photos(kind(photo), inside=kind(photo.parent)).names == (str(photo),)
    assert not siamese_nima.find_photos(kind(photo.parent), without=kind(photo.parent)).names
    assert len(FrameReader().frames(kind(photo))) == 1
    assert len(FrameReader().frames([kind(photo), kind(photo)])) == 2
    assert siamese_nima.explain_photo(scorer, kind(photo)).path == str(photo)
    assert siamese_nima.suggest_crops(scorer, kind(photo)).path == str(photo)
    cut = siamese_nima.write_crop(kind(photo), (0, 0, 9, 9), kind(tmp_path / "cut.png"))
    assert cut == tmp_path / "cut.png"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_and_read_back(scorer, photo, tmp_path, kind):
    results = list(scorer.score(photo.parent))
    siamese_nima.write_table(results, kind(tmp_path / "t.csv"))
    assert len(siamese_nima.read_table(kind(tmp_path / "t.csv"))) == 11
    siamese_nima.write_report(
        kind(tmp_path / "page.html"), results, scorer.card, thumbnails=ThumbnailReader()
    )
    assert len(siamese_nima.copy_ranked(results[:2], kind(tmp_path / "best"))) == 2
    stars = siamese_nima.give_stars(results, siamese_nima.StarRule())
    plan = list(siamese_nima.plan_stars(results, stars))
    with UndoLog(kind(tmp_path / "undo.jsonl")) as log:
        written = list(siamese_nima.write_stars(plan, log))
    assert len(written) == len(list(siamese_nima.undo_stars(kind(tmp_path / "undo.jsonl")))) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learnt(photo_folder, tiny_model, kind):
    path = siamese_nima.answers_path(kind(photo_folder))
    with AnswerStore(kind(path)) as store:
        for number in range(60):
            dark, bright = f"photo{number % 5 + 1}.png", f"photo{number % 6 + 6}.png"
            at = f"2026-05-01T09:00:{number:02d}+00:00"
            store.add(Answer(left=dark, right=bright, choice="left", person="Ana", at=at))
        answers = store.records(["Ana"])
    config = LearnConfig(model=kind(tiny_model), name=f"taste-{kind.__name__.lower()}")
    assert siamese_nima.learn(kind(photo_folder), answers, config).photos == 11


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_judged(photo_folder, scorer, tmp_path, kind):
    table = photo_folder / "ratings.csv"
    rows = [f"photo{number}.png,{1 + number % 5}.5" for number in range(1, 12)]
    table.write_text("path,mos\n" + "\n".join(rows) + "\n")
    splits = tmp_path / "splits.csv"
    rows = [f"photo{number}.png,,scene{number},test" for number in range(1, 12)]
    splits.write_text("file_name,subset,scene,split\n" + "\n".join(rows) + "\n")
    scale = siamese_nima.RatingScale(1, 7)
    understood = {"photos": kind(photo_folder), "splits": kind(splits), "scale": scale}
    source = siamese_nima.RatedSource(kind(table), **understood)
    judged = siamese_nima.evaluate(scorer, source, repeats=10)
    assert judged.write(kind(tmp_path / "report")).exists()
    compared = siamese_nima.compare(scorer, scorer, source, repeats=10)
    assert compared.write(kind(tmp_path / "both")).exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_origin_takes(tmp_path, kind):
    pytest.importorskip("torch")
    pytest.importorskip("pandas")
    from training_runs import write_photos, write_start

    write_photos(tmp_path / "photos", 2)
    data = tmp_path / "data.csv"
    data.write_text("file_name label\n000.png 1\n001.png 2\n")
    weights = kind(write_start(tmp_path / "start.safetensors"))
    siamese = siamese_nima.SiameseNIMA(output_dir=kind(tmp_path / "out"))
    raw = siamese.load_data(kind(tmp_path / "photos"), kind(data))
    assert len(siamese.predict(raw, nima_weight_path=weights)) == 2
    one = siamese.predict(kind(tmp_path / "photos" / "000.png"), nima_weight_path=weights)
    assert list(one["source"]) == [str(tmp_path / "photos" / "000.png")]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_training_takes(tmp_path, kind):
    pytest.importorskip("torch")
    places = {"source": kind(tmp_path / "r.csv"), "photos": kind(tmp_path)}
    config = siamese_nima.TrainConfig(
        start="quality", out=kind(tmp_path / "out"), data=siamese_nima.DataConfig(**places)
    )
    assert (config.out, config.data.photos) == (tmp_path / "out", tmp_path)
    with pytest.raises(NimaError, match=r"r\.csv"):
        siamese_nima.train(config)
