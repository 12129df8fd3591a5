"""Lines of log: one per request, as text or JSON, with an id that the answer has too."""

from __future__ import annotations

import json
import logging

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.web.service.observability import LogLine, RequestLog

JPEG = {"content-type": "image/jpeg"}


def lines(caplog, form="json"):
    return [
        LogLine(form).format(record)
        for record in caplog.records
        if record.name == "siamese_nima.web.requests"
    ]


def test_every_request_is_one_line_with_the_id_of_its_answer(client, photos, caplog):
    caplog.set_level(logging.INFO, "siamese_nima")
    sent = photos["dark.png"]
    answer = client.post("/v1/score?name=secret", content=sent, headers=JPEG)
    line = json.loads(lines(caplog)[0])
    assert line["request_id"] == answer.headers["x-request-id"]
    known = ("method", "path", "status", "bytes", "photos", "client", "level", "message")
    assert {name: line[name] for name in known} == {
        "method": "POST",
        "path": "/v1/score",
        "status": 200,
        "bytes": len(sent),
        "photos": 1,
        "client": "testclient",
        "level": "info",
        "message": "request",
    }
    assert line["ms"] > 0
    assert line["time"].endswith("+00:00")
    assert "secret" not in caplog.text
    text = lines(caplog, "text")[0]
    assert " info request method=POST path=/v1/score status=200 " in text


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1.2_3", True), ("x" * 64, True), ("x" * 65, False), ("two words", False), ("", False)],
)
def test_an_id_of_the_client_s_is_kept_if_it_is_harmless(client, given, kept):
    answer = client.get("/health/live", headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is kept


def test_a_line_is_one_line_whatever_is_asked(client, caplog):
    caplog.set_level(logging.INFO, "siamese_nima")
    client.get("/a%0Ab%1b%5b31m")
    for form in ("text", "json"):
        [line] = lines(caplog, form)
        assert "\n" not in line
        assert "\x1b" not in line


def test_unforeseen_errors_are_problems_outside_and_traces_inside(caplog):
    from fastapi.testclient import TestClient

    async def broken(scope, receive, send):
        raise ZeroDivisionError("a secret")

    counted = []
    client = TestClient(RequestLog(broken, lambda *values: counted.append(values)))
    answer = client.get("/x", headers={"x-request-id": "seven"})
    assert answer.status_code == 500
    assert answer.json()["detail"] == "The log says more about request seven."
    assert "secret" not in answer.text
    trace = json.loads(lines(caplog)[0])
    assert "ZeroDivisionError: a secret" in trace["trace"]
    assert trace["request_id"] == "seven"
    assert counted[0][:3] == ("GET", "none", 500)
