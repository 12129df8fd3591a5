"""What the addresses answer."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

import numpy as np
from PIL import Image, ImageFilter

from photo_seeds import encoded, scene
from siamese_nima.pair_error import PairError
from siamese_nima.scoring.scorer import Scorer
from siamese_nima.web.http import CONTENT_TYPE, TYPE_PREFIX
from siamese_nima.web.service.uploads import Limits
from tiny_model import rate_tiny, write_model

JPEG = {"content-type": "image/jpeg"}


def parts(photos, *names):
    return [("photo", (name, photos[name])) for name in names]


def problem_kind(response) -> str:
    assert response.headers["content-type"] == CONTENT_TYPE, response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    assert set(problem) == {"type", "title", "status", "detail"}
    return problem["type"].removeprefix(TYPE_PREFIX)


def test_a_photo_as_the_body_gets_the_score_that_the_library_gives_it(client, scorer, photos):
    for name, content in photos.items():
        [expected] = scorer.score(content)
        answer = client.post("/v1/score", params={"name": name}, content=content, headers=JPEG)
        found = answer.json()
        assert answer.status_code == 200
        assert next(iter(found)) == "name"
        assert found["name"] == name
        assert found["mean"] == pytest.approx(expected.mean, abs=1e-4)
        assert found["spread"] == pytest.approx(expected.spread, abs=1e-4)
        assert found["percentile"] == expected.percentile
        assert found["distribution"] == pytest.approx(expected.distribution, abs=1e-5)
        assert (found["scale"], found["model"]) == ([1, 10], expected.model)
        assert (found["problem"], found["others"]) == (None, {})


def test_a_photo_as_a_part_of_a_form_gets_the_same_score(client, photos):
    raw = client.post("/v1/score", content=photos["dark.png"], headers=JPEG).json()
    form = client.post("/v1/score", files=parts(photos, "dark.png")).json()
    assert form == raw | {"name": "dark.png"}


def test_many_photos_come_back_in_the_order_sent_and_a_broken_one_says_why(client, photos):
    sent = [*parts(photos, "dark.png", "bright.png"), ("photo", ("b.jpg", b"no photo"))]
    scores = client.post("/v1/scores", files=sent).json()["scores"]
    assert [score["name"] for score in scores] == ["dark.png", "bright.png", "b.jpg"]
    assert scores[0]["mean"] < scores[1]["mean"]
    assert scores[2]["mean"] is None
    assert scores[2]["problem"]["type"] == TYPE_PREFIX + "photo-error"
    assert scores[2]["problem"]["detail"].startswith("b.jpg: not a photo")


def test_one_broken_photo_is_a_problem(client):
    answer = client.post("/v1/score", content=b"no photo", headers=JPEG)
    assert answer.status_code == 422
    assert problem_kind(answer) == "photo-error"
    assert answer.json()["detail"].startswith("photo: not a photo in a format that can be read")


def test_two_photos_are_compared_as_people_would(client, photos):
    answer = client.post("/v1/compare", files=parts(photos, "dark.png", "bright.png")).json()
    assert answer["better"] == 1
    assert answer["gap"] == pytest.approx(
        answer["scores"][1]["mean"] - answer["scores"][0]["mean"], abs=2e-4
    )
    # Nobody has measured the tiny model.
    assert (answer["too_close"], answer["probability"], answer["lower"]) == (None, None, None)
    assert "how sure that is, is unknown" in answer["sentence"]


def test_a_measured_model_says_how_sure_it_is(client_of, tiny_card, tmp_path, photos):
    sure_from_1 = PairError((0.0, 1.0, 9.0), (0.5, 0.9, 1.0), (0.5, 0.8, 1.0), pairs=100)
    card = replace(tiny_card, metrics={"pair_error": sure_from_1.to_json()})
    client = client_of(scorer=Scorer(write_model(tmp_path / "sure.onnx", card)))
    far = client.post("/v1/compare", files=parts(photos, "bright.png", "dark.png")).json()
    assert far["better"] == 0
    assert far["too_close"] is False
    assert far["probability"] == pytest.approx(sure_from_1.accuracy_at(far["gap"]), abs=1e-3)
    assert far["lower"] < far["probability"]
    same = client.post("/v1/compare", files=parts(photos, "dark.png", "dark.png")).json()
    assert (same["better"], same["gap"], same["too_close"]) == (0, 0, True)
    assert same["probability"] == 0.5
    ranking = client.post("/v1/rank", files=parts(photos, "dark.png", "bright.png", "dark.png"))
    places = [
        (row["rank"], row["rank_best"], row["rank_worst"]) for row in ranking.json()["ranking"]
    ]
    assert places == [(1, 1, 1), (2, 2, 3), (3, 2, 3)]


def test_photos_of_one_thing_are_ordered_with_reasons(client):
    blocks = np.random.default_rng(0).integers(0, 200, (15, 20))
    texture = Image.fromarray(np.kron(blocks, np.ones((20, 20))).astype(np.uint8))
    sharp, soft = (texture.filter(ImageFilter.GaussianBlur(blur)) for blur in (1, 3))
    named = (("soft.png", soft), ("sharp.png", sharp.point(lambda v: min(255, v + 20))))
    sent = [("photo", (name, encoded(photo, "PNG"))) for name, photo in named]
    answer = client.post("/v1/burst", files=sent).json()
    best, other = answer["photos"]
    assert [best["position"], other["position"]] == [1, 0]
    assert best["reason"] == ""
    assert other["reason"].startswith("softer: ")
    assert answer["verdict"] == "best; how sure is unknown"
    broken = client.post("/v1/burst", files=[*sent, ("photo", ("b.jpg", b"no photo"))])
    assert problem_kind(broken) == "photo-error"


def test_a_comparison_with_a_broken_photo_is_a_problem_that_names_it(client, photos):
    sent = [*parts(photos, "dark.png"), ("photo", ("b.jpg", b""))]
    answer = client.post("/v1/compare", files=sent)
    assert problem_kind(answer) == "photo-error"
    assert answer.json()["detail"] == "b.jpg: empty (0 bytes)."


def test_a_ranking_has_every_photo_once_and_says_where_it_was(client, photos):
    sent = [
        *parts(photos, "dark.png", "bright.png"),
        ("photo", ("b.jpg", b"no photo")),
        *parts(photos, "middle.png"),
    ]
    answer = client.post("/v1/rank", files=sent).json()
    assert [(r["rank"], r["position"], r["score"]["name"]) for r in answer["ranking"]] == [
        (1, 1, "bright.png"),
        (2, 3, "middle.png"),
        (3, 0, "dark.png"),
    ]
    assert [score["name"] for score in answer["failed"]] == ["b.jpg"]
    assert "is unknown" in answer["sentence"]


@pytest.fixture
def two_models(tiny_card, tiny_model, tmp_path) -> Scorer:
    """The tiny model, and one that has the opposite opinion."""
    card = replace(tiny_card, name="opposite", golden=tuple(reversed(tiny_card.golden)))
    opposite = Opposite(replace(card, population=None))
    return Scorer([tiny_model, opposite], workers=1)


class Opposite:
    def __init__(self, card):
        self.card = card
        self.model_id = "opposite-1@0"

    def rate(self, views):
        from PIL import Image

        return [rate_tiny(self.card, Image.fromarray(view[0]))[::-1] for view in views]


def test_several_models_rate_and_any_of_them_may_order(client_of, two_models, photos):
    client = client_of(scorer=two_models)
    score = client.post("/v1/score", content=photos["dark.png"], headers=JPEG).json()
    assert list(score["others"]) == ["opposite"]
    assert score["mean"] + score["others"]["opposite"]["mean"] == pytest.approx(11, abs=1e-3)
    sent = parts(photos, "dark.png", "bright.png")
    assert client.post("/v1/compare", files=sent).json()["better"] == 1
    assert client.post("/v1/compare?by=opposite", files=sent).json()["better"] == 0
    ranked = client.post("/v1/rank?by=opposite", files=sent).json()["ranking"]
    assert [row["score"]["name"] for row in ranked] == ["dark.png", "bright.png"]
    unknown = client.post("/v1/rank?by=nobody", files=sent)
    assert problem_kind(unknown) == "config-error"
    assert unknown.json()["detail"] == "by='nobody': none of the models tiny, opposite"
    assert [m["name"] for m in client.get("/v1/models").json()["models"]] == ["tiny", "opposite"]


def test_the_model_card_can_be_read(client, tiny_card):
    found = client.get("/v1/models/tiny").json()
    assert found["card"] == json.loads(tiny_card.to_json())
    assert found["model"].startswith("tiny-1@")
    unknown = client.get("/v1/models/nobody")
    assert problem_kind(unknown) == "not-found"
    assert unknown.json()["detail"] == "no model 'nobody'; there are tiny"


@pytest.mark.parametrize(
    ("path", "options", "kind", "words"),
    [
        ("/v1/score", {"content": b"x"}, "unsupported-media-type", "Content-Type ''"),
        ("/v1/score", {"data": {"a": "b"}}, "unsupported-media-type", "image/jpeg"),
        ("/v1/score", {"files": {"picture": b"x"}}, "malformed-request", "a part named 'picture'"),
        ("/v1/score", {"files": [("photo", b"x")] * 2}, "too-large", "Too many files"),
        ("/v1/scores", {"files": [("photo", b"x")] * 65}, "too-large", "number of files is 64"),
        (
            "/v1/compare",
            {"files": [("photo", b"x")]},
            "malformed-request",
            "1 photos came; wanted 2",
        ),
        (
            "/v1/score",
            {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
            *("malformed-request", "Missing boundary"),
        ),
        (
            "/v1/score",
            {
                "content": b"nonsense",
                "headers": {"content-type": "multipart/form-data; boundary=x"},
            },
            *("malformed-request", ""),
        ),
        (
            "/v1/score",
            {"content": b"x", "headers": JPEG | {"content-encoding": "gzip"}},
            *("unsupported-media-type", "'gzip'"),
        ),
        ("/v1/score", {"json": {"urls": ["http://a.example/"]}}, "url-refused", "fetches no URLs"),
        ("/v1/score", {"json": ["http://a.example/"]}, "malformed-request", '{"urls": ["https'),
        (
            "/v1/score?name=" + "x" * 201,
            {"content": b"x", "headers": JPEG},
            "malformed-request",
            "name",
        ),
        ("/v2/score", {"content": b"x"}, "not-found", "GET /openapi.json lists"),
        ("/v1/models", {"content": b"x"}, "method-not-allowed", "POST /v1/models"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_of_its_kind(client, path, options, kind, words):
    answer = client.post(path, **options)
    assert problem_kind(answer) == kind
    assert words in answer.json()["detail"]


def test_a_body_that_is_not_json_says_so(client):
    headers = {"content-type": "application/json"}
    for body in (b"{", b"\xff", b"[" * 100_000):
        answer = client.post("/v1/scores", content=body, headers=headers)
        assert problem_kind(answer) == "malformed-request"
        assert answer.json()["detail"].startswith("The body is not JSON")


def test_photos_have_limits_of_bytes_and_pixels(client_of, photos):
    client = client_of(Limits(photo_bytes=2000, request_bytes=5000, waiting_bytes=5000))
    large = photos["bright.png"] + bytes(3000)
    for sent in ({"content": large, "headers": JPEG}, {"files": {"photo": large}}):
        answer = client.post("/v1/score", **sent)
        assert problem_kind(answer) == "too-large"
    many = client.post("/v1/scores", files=[("photo", bytes(1000))] * 6)
    assert problem_kind(many) == "too-large"
    assert many.json()["detail"].startswith("the body has more than 5000 bytes")
    endless = (bytes(100) for _ in range(1000))
    answer = client.post("/v1/score", content=endless, headers=JPEG)
    assert problem_kind(answer) == "too-large"


def test_photos_with_too_many_pixels_are_refused(client):
    wide = encoded(scene(2001, 1000), "PNG")
    answer = client.post("/v1/score", content=wide, headers=JPEG)
    assert problem_kind(answer) == "photo-error"
    assert "more than the limit of 2000000" in answer.json()["detail"]


def test_names_are_one_short_line_without_folders(client, photos):
    for sent, shown in (
        ("../../etc/x.png", "x.png"),
        ("C:\\holiday\\y.png", "y.png"),
        ("two\nlines\u202e", "two\\nlines\\u202e"),
        ("/", "photo"),
    ):
        answer = client.post(
            "/v1/score", params={"name": sent}, content=photos["dark.png"], headers=JPEG
        )
        assert answer.json()["name"] == shown


def test_health_and_metrics(client, photos):
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok"}
    client.post("/v1/score", content=photos["dark.png"], headers=JPEG)
    client.post("/v1/score", content=b"", headers=JPEG)
    client.get("/v1/models/strange/place")
    text = client.get("/metrics").text
    for line in (
        'nima_requests_total{method="POST",route="/v1/score",status="200"} 1.0',
        'nima_requests_total{method="POST",route="/v1/score",status="422"} 1.0',
        'nima_requests_total{method="GET",route="none",status="404"} 1.0',
        'nima_photos_total{outcome="scored"} 1.0',
        'nima_photos_total{outcome="failed"} 1.0',
        "nima_batch_photos_count 2.0",
        "nima_wait_seconds_count 2.0",
        "nima_waiting_photos 0.0",
    ):
        assert line in text.splitlines()
    assert 'nima_model_info{model="tiny-1@' in text


def test_strangers_are_refused_before_anything_else(client, photos):
    foreign = client.post(
        "/v1/score", content=photos["dark.png"], headers=JPEG | {"host": "evil.example"}
    )
    assert problem_kind(foreign) == "host-refused"
    other = client.post(
        "/v1/score", content=photos["dark.png"], headers=JPEG | {"origin": "http://evil.example"}
    )
    assert problem_kind(other) == "origin-refused"


def test_openapi_has_an_example_of_every_answer_and_every_problem(client):
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        *("/v1/score", "/v1/scores", "/v1/compare", "/v1/rank", "/v1/models", "/v1/models/{name}"),
        *("/health/live", "/health/ready", "/metrics", "/v1/burst"),
    }
    score = document["paths"]["/v1/score"]["post"]
    assert set(score["requestBody"]["content"]) == {
        *("image/*", "application/octet-stream", "multipart/form-data", "application/json")
    }
    assert {"200", "400", "401", "413", "415", "422", "429", "503"} <= set(score["responses"])
    assert list(score["responses"]["429"]["content"]) == [CONTENT_TYPE]
    schemas = document["components"]["schemas"]
    for name in ("PhotoScore", "ModelScore", "ProblemReply"):
        assert schemas[name]["examples"], name


def test_the_address_itself_is_a_page_that_says_what_to_do(client, client_of):
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "curl --form photo=@beach.jpg http://localhost/v1/score" in page.text
    assert "API key" not in page.text
    assert client.get("/start.css").headers["content-type"] == "text/css; charset=utf-8"
    named = re.findall(r"<code>(?:GET|POST) (/[\w/.]+)</code>", page.text)
    known = client.get("/openapi.json").json()["paths"]
    assert len(named) >= 8
    assert {path for path in named if path != "/openapi.json"} <= {*known}
    key = "k" * 24
    assert "API key" in client_of(keys=(key,)).get("/", headers={"x-api-key": key}).text


def test_the_list_of_models_is_short_and_one_model_is_whole(client_of):
    client = client_of(scorer=Scorer("quality", workers=1))
    listed = client.get("/v1/models")
    assert len(listed.content) < 8000
    [brief] = listed.json()["models"]
    whole = client.get("/v1/models/quality").json()
    assert {"fingerprints", "means"} & {*_names(whole["card"])}
    assert not {"fingerprints", "means"} & {*_names(brief["card"])}
    assert brief["card"]["limits"] == whole["card"]["limits"]


def _names(value):
    for key, part in value.items() if isinstance(value, dict) else ():
        yield key
        yield from _names(part)
