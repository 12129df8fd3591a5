"""Photos by URL: from hosts on the list, and never from where only this machine can look."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.errors import ConfigError, FetchError
from siamese_nima.photos.remote import UrlRules, fetch_photo

PHOTO = b"\xff\xd8 a photo"


class Site(BaseHTTPRequestHandler):
    """What a host may answer."""

    asked: list[str]

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))  # type: ignore[attr-defined]
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "to":
            self.send_response(302)
            self.send_header("Location", rest.replace("~", "://"))
            self.end_headers()
        elif kind == "drip":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            for _ in range(100):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        else:
            body = bytes(5000) if kind == "large" else PHOTO
            self.send_response({"gone": 404}.get(kind, 200))
            if kind != "unannounced":
                self.send_header("Content-Length", str(len(body) + (kind == "short")))
            if kind == "zipped":
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(bytes(5000) if kind == "unannounced" else body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.asked = []  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetch(site):
    """Fetch from the site under a name of its own."""
    port = site.server_address[1]
    site.asked.clear()

    def fetched(path: str, **options):
        given = {"hosts": (f"photos.example:{port}",), "private_addresses": True}
        rules = UrlRules(**{**given, "max_bytes": 1000, "timeout_s": 5.0, **options})
        url = path if "://" in path else f"http://photos.example:{port}{path}"
        return fetch_photo(url, rules, resolve=lambda *_: ["127.0.0.1"])

    return fetched


def test_a_photo_of_a_host_on_the_list_is_fetched_under_its_name(fetch, site):
    upload = fetch("/holiday/beach.jpg?size=2")
    assert upload == PHOTO
    port = site.server_address[1]
    assert site.asked == [("/holiday/beach.jpg?size=2", f"photos.example:{port}")]


def test_redirects_on_the_list_are_followed_and_others_are_not(fetch, site):
    assert fetch("/to//beach.jpg") == PHOTO
    with pytest.raises(FetchError, match=r"http://evil\.example: this host is not on"):
        fetch("/to/http~evil.example/")
    with pytest.raises(FetchError, match="this host is not on the list"):
        fetch(f"/to/http~127.0.0.1:{site.server_address[1]}/beach.jpg")
    with pytest.raises(FetchError, match="wanted http:// or https://"):
        fetch("/to/file~/etc/passwd")
    with pytest.raises(FetchError, match="more than 3 redirects") as round_and_round:
        fetch("/to/")
    assert round_and_round.value.kind == "url-failed"
    assert not any("passwd" in path for path, _ in site.asked if not path.startswith("/to"))


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/gone/a.jpg", "url-failed", "/gone/a.jpg: answers 404"),
        ("/large/a.jpg", "too-large", "/large/a.jpg: more than 1000 bytes"),
        ("/unannounced/a.jpg", "too-large", "more than 1000 bytes"),
        ("/short/a.jpg", "url-failed", "/short/a.jpg: cannot be fetched"),
        ("/zipped/a.jpg", "url-failed", "sends the photo compressed"),
    ],
)
def test_what_goes_wrong_is_said(fetch, path, kind, words):
    with pytest.raises(FetchError, match=words) as error:
        fetch(f"{path}?key=secret")
    assert error.value.kind == kind
    assert "secret" not in str(error.value)


def test_a_host_that_drips_is_given_up(fetch):
    started = time.monotonic()
    with pytest.raises(FetchError, match=r"not done in 0\.5 s"):
        fetch("/drip/a.jpg", timeout_s=0.5)
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://photos.example/a", "file:///etc/passwd", "//photos.example/a", "photos.example"),
        *("http://me@photos.example/", "http://me:pw@photos.example/", "http://", "http://[", ""),
        *("http://photos.example:0x50/", "http://photos.example:99999/", "http://a\nb/"),
        *("http://photos.example@evil.example/", "http://photos.example.evil.example/"),
        *("http://evil.example/?photos.example", "http://evil.example#photos.example"),
        *("http://photos.example\\@evil.example/", "http://127.0.0.1/", "http://phötos.example/"),
        *("http://photos.example/a b", "gopher://photos.example", "http://photos.example:8080/"),
    ],
)
def test_other_urls_are_refused_before_anybody_is_asked(url):
    def resolve(host: str, port: int) -> list[str]:
        raise AssertionError(f"{host} was looked up")

    with pytest.raises(FetchError) as error:
        fetch_photo(url, UrlRules(hosts=("photos.example",)), resolve=resolve)
    assert error.value.kind == "url-refused"


@given(
    st.text(max_size=60) | st.from_regex(r"https?://[a-z.@:/\\#?%0-9\[\]]{1,40}", fullmatch=True)
)
def test_no_url_leads_to_a_host_that_is_not_on_the_list(url):
    class LookedUpError(Exception):
        pass

    def resolve(host: str, port: int) -> list[str]:
        assert host.rstrip(".") == "a.example"
        assert port in (80, 443)
        raise LookedUpError

    try:
        fetch_photo(url, UrlRules(hosts=("a.example",)), resolve=resolve)
    except (FetchError, LookedUpError):
        return
    raise AssertionError("something was fetched")


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1"),
        *("fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"),
        *("2002:7f00:1::", "64:ff9b::a9fe:a9fe", "192.0.2.1", "2001:db8::1"),
    ],
)
def test_addresses_that_are_not_public_are_refused_even_among_others(address):
    rules = UrlRules(hosts=("a.example",))
    for addresses in ([address], ["1.1.1.1", address]):
        with pytest.raises(FetchError, match="its address is not public"):
            fetch_photo("http://a.example/", rules, resolve=lambda *_, a=addresses: a)


def test_a_name_that_is_unknown_says_so():
    rules = UrlRules(hosts=("a.example",))

    def unknown(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    for resolve in (unknown, lambda *_: []):
        with pytest.raises(FetchError, match=r"a\.example/: the name") as error:
            fetch_photo("http://a.example/", rules, resolve=resolve)
        assert error.value.kind == "url-failed"


def test_names_below_a_name_can_be_allowed_but_not_names_that_end_alike():
    rules = UrlRules(hosts=(".Example.org",))

    def resolve(host: str, port: int) -> list[str]:
        raise OSError(f"looked up {host}")

    for host, allowed in (
        ("a.example.org", True),
        ("A.B.EXAMPLE.ORG.", True),
        ("example.org", False),
        ("badexample.org", False),
        ("example.org.evil", False),
    ):
        with pytest.raises(FetchError) as error:
            fetch_photo(f"https://{host}/", rules, resolve=resolve)
        assert (error.value.kind == "url-failed") is allowed, host


@pytest.mark.parametrize("host", ["", ".", "http://a.example", "a.example/b", "me@a.example"])
def test_a_list_with_an_impossible_host_is_refused(host):
    with pytest.raises(ConfigError, match=r"wanted a name, such as photos\.example\.org"):
        UrlRules(hosts=(host,))


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the program openssl")
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=a.example -keyout key -out cert"
    subprocess.run([openssl, *made.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    def greet() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as accepted:
            context.wrap_socket(accepted, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        greeter = threading.Thread(target=greet)
        greeter.start()
        host = f"a.example:{listener.getsockname()[1]}"
        rules = UrlRules(hosts=(host,), private_addresses=True)
        with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED") as error:
            fetch_photo(f"https://{host}/a.jpg", rules, resolve=lambda *_: ["127.0.0.1"])
        greeter.join()
    assert error.value.kind == "url-failed"
