"""Downloads resume, are checked, and never leave a wrong file under the right name."""

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from siamese_nima.errors import WeightsError
from siamese_nima.scoring.published import PUBLISHED, PublishedWeights, download

CONTENT = bytes(range(256)) * 5000


class Server(ThreadingHTTPServer):
    """Serves CONTENT; may stop early once, or ignore ranges."""

    stop_after: int | None = None
    ranges = True
    requests: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        if self.path != "/weights.h5":
            self.send_error(404)
            return
        start = 0
        if wanted and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1))
            if start >= len(CONTENT):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop, self.server.stop_after = self.server.stop_after, None
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def weights(server: Server) -> PublishedWeights:
    blob = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    return PublishedWeights(
        name="test",
        url=f"http://127.0.0.1:{server.server_port}/weights.h5",
        description="",
        licence="MIT",
        git_blob=blob,
    )


def test_the_file_arrives_whole_and_progress_is_told(weights, tmp_path):
    seen = []
    path = download(weights, tmp_path / "new", on_progress=lambda *numbers: seen.append(numbers))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_broken_download_goes_on_where_it_stopped(weights, server, tmp_path):
    server.stop_after = 300_000
    with pytest.raises(WeightsError, match=r"not reachable .*ended after 300000 of 1280000 bytes"):
        download(weights, tmp_path)
    assert not (tmp_path / "test.h5").exists()
    assert download(weights, tmp_path).read_bytes() == CONTENT
    assert server.requests == [None, "bytes=300000-"]


def test_a_complete_part_is_not_asked_for_again(weights, tmp_path):
    (tmp_path / "test.h5.part").write_bytes(CONTENT)
    assert download(weights, tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(weights, server, tmp_path):
    server.ranges = False
    (tmp_path / "test.h5.part").write_bytes(b"some other bytes")
    assert download(weights, tmp_path).read_bytes() == CONTENT


def test_a_file_that_is_there_is_checked_not_loaded(weights, server, tmp_path):
    (tmp_path / "test.h5").write_bytes(CONTENT)
    download(weights, tmp_path)
    assert server.requests == []
    (tmp_path / "test.h5").write_bytes(b"tampered")
    with pytest.raises(WeightsError, match=r"test.h5: not the published file: its git blob id"):
        download(weights, tmp_path)


def test_another_content_is_refused_before_it_gets_the_name(weights, tmp_path):
    with pytest.raises(WeightsError, match="published is 0000"):
        download(replace(weights, git_blob="0000"), tmp_path)
    assert not (tmp_path / "test.h5").exists()


def test_a_missing_file_on_the_server_is_said(weights, tmp_path):
    gone = replace(weights, url=weights.url + ".gone")
    with pytest.raises(WeightsError, match=r"weights.h5.gone: the server answers 404"):
        download(gone, tmp_path)


def test_offline_says_where_to_put_the_file(weights, tmp_path):
    # Port 9 (discard) of this machine: nobody listens.
    offline = replace(weights, url="http://127.0.0.1:9/weights.h5")
    with pytest.raises(WeightsError, match=r"not reachable .*put it at .*test.h5, then run this"):
        download(offline, tmp_path)


def test_every_entry_has_its_own_name_and_a_secure_address():
    for name, entry in PUBLISHED.items():
        assert name == entry.name
        assert entry.url.startswith("https://")
