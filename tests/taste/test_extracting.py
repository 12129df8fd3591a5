import time

import numpy as np
import pytest
from PIL import Image

from siamese_nima.taste import features
from siamese_nima.taste.answers import AnswerStore
from siamese_nima.taste.choosing import ChoosingRule
from siamese_nima.taste.features import FeatureExtractor, extract_features, extracting_meanwhile
from siamese_nima.taste.session import PickSession


@pytest.fixture
def session(photo_folder):
    names = [f"photo{number}.png" for number in range(1, 12)]
    with AnswerStore(":memory:") as store:
        scores = {name: 5 + 0.1 * number for number, name in enumerate(names)}
        yield PickSession(store, scores, person="me", rule=ChoosingRule(repeats=0))


@pytest.fixture
def seen(session, monkeypatch):
    seen = []
    monkeypatch.setattr(session, "use_features", lambda names, rated: seen.append((names, rated)))
    return seen


def wait_for(seen):
    for _ in range(200):
        if seen:
            return
        time.sleep(0.05)
    raise AssertionError("nothing was seen in ten seconds")


def test_rows_are_what_the_model_gives_and_broken_photos_are_left_out(
    tiny_model, tiny_card, photo_folder
) -> None:
    (photo_folder / "photo2.png").write_bytes(b"broken")
    opened = FeatureExtractor(tiny_model)
    told = []
    names = ["photo3.png", "photo2.png", "photo9.png"]
    rows = extract_features(
        photo_folder, names, opened, workers=2, report=lambda done, of: told.append((done, of))
    )
    assert list(rows) == ["photo3.png", "photo9.png"]
    with Image.open(photo_folder / "photo9.png") as photo:
        alone = opened.rate(tiny_card.view.views(photo)[np.newaxis])
    np.testing.assert_allclose(rows["photo9.png"], alone[0], atol=1e-6)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_session_is_shown_what_is_seen_while_it_runs(
    tiny_model, photo_folder, session, seen
) -> None:
    (photo_folder / "photo2.png").write_bytes(b"broken")
    with extracting_meanwhile(session, photo_folder, tiny_model, pytest.fail):
        wait_for(seen)
    ((names, rated),) = seen
    assert sorted(names) == sorted(set(session.photos) - {"photo2.png"})
    assert rated.features.shape == (10, 3)
    brightness = [int(name[5:-4]) for name in names]
    assert np.all(np.diff(rated.features[np.argsort(brightness), 0]) > 0)


def test_of_a_large_folder_those_asked_about_are_among_the_seen(
    tiny_model, photo_folder, session, seen, monkeypatch
) -> None:
    monkeypatch.setattr(features, "MEANWHILE_PHOTOS", 7)
    with extracting_meanwhile(session, photo_folder, tiny_model, pytest.fail):
        wait_for(seen)
    names = seen[0][0]
    assert len(names) == 7
    assert set(names) >= session.asked


def test_what_is_asked_about_meanwhile_is_seen_too(
    tiny_model, photo_folder, session, seen, monkeypatch
) -> None:
    monkeypatch.setattr(features, "MEANWHILE_PHOTOS", 1)
    first = {name for pair in session.queue for name in (pair.left, pair.right)}
    whole = features.extract_features

    def answered_meanwhile(*arguments, **more):
        if len(session.given) < 2:
            session.answer(session.queue[0].number, "left")
        return whole(*arguments, **more)

    monkeypatch.setattr(features, "extract_features", answered_meanwhile)
    with extracting_meanwhile(session, photo_folder, tiny_model, pytest.fail):
        wait_for(seen)
    assert set(seen[0][0]) == session.asked > first


def test_it_ends_with_the_session_though_not_all_is_seen(
    tiny_model, photo_folder, session, seen, monkeypatch
) -> None:
    batches = []

    def slow(folder, names, opened, *, workers):
        batches.append(names)
        time.sleep(0.2)
        return {}

    monkeypatch.setattr(features, "extract_features", slow)
    with extracting_meanwhile(session, photo_folder, tiny_model, pytest.fail):
        while not batches:
            time.sleep(0.01)
    assert len(batches) == 1
    assert seen == []


def test_a_model_that_does_not_tell_what_it_sees_is_named(
    tmp_path, photo_folder, session, seen
) -> None:
    told = []
    with extracting_meanwhile(session, photo_folder, tmp_path / "none.onnx", told.append):
        wait_for(told)
    assert told[0].startswith("pairs are chosen by scores and answers alone. ")
    assert "none.onnx" in told[0]
    assert seen == []
