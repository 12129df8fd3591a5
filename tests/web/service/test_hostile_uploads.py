"""Everything that can be wrong with an upload ends as a score or a problem of a kind."""

from __future__ import annotations

import encodings.aliases

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from hostile_corpus import SCORE, write_corpus
from siamese_nima.web.http import TYPE_PREFIX

JPEG = {"content-type": "image/jpeg"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Regular files of the corpus with what is expected of each."""
    folder = tmp_path_factory.mktemp("hostile") / "corpus"
    expected = write_corpus(folder)
    found = {name: folder / name for name in expected}
    return [
        (name, path.read_bytes(), expected[name])
        for name, path in found.items()
        if path.is_file() and not path.is_symlink()
    ]


def outcome(client, name: str, content: bytes):
    """The score, or the detail of the problem."""
    answer = client.post("/v1/score", params={"name": name[:200]}, content=content, headers=JPEG)
    if answer.status_code == 200:
        assert 1 <= answer.json()["mean"] <= 10
        return answer.json()["mean"]
    problem = answer.json()
    assert answer.status_code == 422, (name, problem)
    assert problem["type"] == TYPE_PREFIX + "photo-error"
    assert problem["detail"].isprintable()
    return problem["detail"]


def test_every_hostile_upload_is_a_score_or_a_named_problem(client, corpus):
    assert len(corpus) > 300
    for name, content, expected in corpus:
        found = outcome(client, name.encode("utf-8", "replace").decode(), content)
        if expected == SCORE:
            assert isinstance(found, float), (name, found)
        elif expected.startswith("error: ") and "bomb" not in name:
            # The service allows fewer pixels than the library, so that bombs may end earlier.
            assert expected.removeprefix("error: ") in str(found), name
            assert isinstance(found, str), name
    assert client.get("/health/ready").status_code == 200


def test_a_form_of_hostile_uploads_answers_for_each(client, corpus):
    for start in range(0, 320, 64):
        sent = corpus[start : start + 64]
        files = [
            ("photo", (name.encode("utf-8", "replace").decode(), content))
            for name, content, _ in sent
        ]
        scores = client.post("/v1/scores", files=files).json()["scores"]
        assert len(scores) == len(sent)
        for score, (name, _, expected) in zip(scores, sent, strict=True):
            assert (score["mean"] is None) is (score["problem"] is not None), name
            if expected == SCORE:
                assert score["problem"] is None, name


CODECS = sorted({*encodings.aliases.aliases.values(), "undefined", "idna", "punycode", "none", "é"})


@pytest.mark.parametrize("filename", [b"\xffa\x80.png", b"xn--\xe9.png", b".."])
def test_a_form_may_claim_any_charset(client, photos, filename):
    """The standard has names as UTF-8, whatever the form says of itself (RFC 7578, 5.1)."""
    for codec in CODECS:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="photo"; filename="'
            + filename
            + b'"\r\n\r\n'
            + photos["dark.png"]
            + b"\r\n--b--\r\n"
        )
        kind = f"multipart/form-data; boundary=b; charset={codec}".encode()
        answer = client.post("/v1/score", content=body, headers={"content-type": kind})
        assert answer.status_code == 200, (codec, answer.text)
        assert answer.json()["name"].isprintable()
