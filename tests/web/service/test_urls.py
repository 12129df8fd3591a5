"""Photos by URL in requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.photos.remote import UrlRules
from siamese_nima.web.service.uploads import Limits


@pytest.fixture
def site(photos) -> Iterator[ThreadingHTTPServer]:
    """Answers any address with a photo."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = photos["bright.png"]
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_service_scores_what_it_fetches(client_of, site, photos):
    host = f"127.0.0.1:{site.server_address[1]}"
    client = client_of(urls=UrlRules(hosts=(host,), private_addresses=True))
    urls = [f"http://{host}/a.jpg", f"http://{host}/b.jpg"]
    scores = client.post("/v1/scores", json={"urls": urls}).json()["scores"]
    assert [score["name"] for score in scores] == ["a.jpg", "b.jpg"]
    raw = client.post(
        "/v1/score", content=photos["bright.png"], headers={"content-type": "image/png"}
    )
    assert scores[0]["mean"] == scores[1]["mean"] == raw.json()["mean"]
    refused = client.post("/v1/scores", json={"urls": [urls[0], "http://evil.example/"]})
    assert (refused.status_code, refused.json()["title"]) == (403, "This URL is not fetched")
    many = client.post("/v1/scores", json={"urls": [urls[0]] * 65})
    assert many.status_code == 413
    size = len(photos["bright.png"])
    small = client_of(
        limits=Limits(photo_bytes=size, request_bytes=2 * size),
        urls=UrlRules(hosts=(host,), private_addresses=True),
    )
    large = small.post("/v1/scores", json={"urls": urls})
    assert (large.status_code, f"more than {2 * size} bytes" in large.json()["detail"]) == (
        413,
        True,
    )
    closed = client_of(urls=UrlRules(hosts=(host,)))
    private = closed.post("/v1/scores", json={"urls": urls})
    assert "its address is not public" in private.json()["detail"]
