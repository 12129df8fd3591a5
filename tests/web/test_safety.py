"""Foreign hosts and origins are refused; answers carry headers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese_nima.errors import ConfigError
from siamese_nima.web.safety import HostAndOriginCheck, HostRules

Answer = tuple[int, dict[str, str], bytes]


async def _app(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"x-frame-options", b"SAMEORIGIN")] if scope["path"] == "/own" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"answered"})


def ask(
    *headers: tuple[str, str],
    rules: HostRules | None = None,
    method: str = "GET",
    path: str = "/",
    kind: str = "http",
) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Any:
        raise AssertionError("a refused request is not read")

    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": kind, "method": method, "path": path, "headers": encoded}
    asyncio.run(HostAndOriginCheck(_app, rules)(scope, receive, send))
    return sent


def answer(*headers: tuple[str, str], **options: Any) -> Answer:
    start, body = ask(*headers, **options)
    return (
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        body["body"],
    )


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "localhost.:80", "127.0.0.1:1", "[::1]:8000"]
)
def test_the_names_of_this_machine_are_answered(host: str) -> None:
    assert answer(("Host", host))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "evil.example:80", "127.0.0.1.evil.example"),
        *("localhost@evil.example", "localhost:80:80", "192.0.2.1", "", " localhost", "[::2]"),
        *("localhost/", "127.0.0.1:", "127.1", "0x7f000001", "localhost..", "l\xf6calhost"),
    ],
)
def test_a_name_that_was_not_allowed_is_refused_and_quoted(host: str) -> None:
    status, headers, body = answer(("Host", host))
    assert status == 421
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert problem["status"] == 421
    assert problem["type"] == "urn:siamese-nima:problem:host-refused"
    assert repr(host) in problem["detail"]
    assert "localhost" in problem["detail"]


def test_no_host_and_two_hosts_are_refused() -> None:
    assert answer()[0] == 421
    assert answer(("Host", "localhost"), ("Host", "localhost"))[0] == 421


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_only_allowed_names_are_known_whatever_the_header(host: str) -> None:
    known = HostRules().knows(host)
    name = host.lower().rpartition(":")[0] if host[-1:].isdigit() and ":" in host else host.lower()
    assert not known or name.rstrip(".") in ("localhost", "127.0.0.1", "[::1]", "[:")


def test_names_and_addresses_can_be_allowed() -> None:
    named = HostRules(hosts=("Photos.example.org",))
    assert answer(("Host", "photos.EXAMPLE.org:8443"), rules=named)[0] == 200
    assert answer(("Host", "localhost"), rules=named)[0] == 421
    anywhere = HostRules(any_address=True)
    for address in ("192.0.2.1:80", "[2001:db8::7]", "10.0.0.7"):
        assert answer(("Host", address), rules=anywhere)[0] == 200, address
    for name in ("example.org", "1.2.3.4.example", "2001:db8::7", "127.1", "10.0.0"):
        assert answer(("Host", name), rules=anywhere)[0] == 421, name


@pytest.mark.parametrize("host", ["localhost:80", "http://localhost", "", "two words", "a/b"])
def test_a_rule_with_an_impossible_name_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="not a name or an address without port"):
        HostRules(hosts=(host,))


HERE = ("Host", "localhost:8000")


@pytest.mark.parametrize("origin", ["http://localhost:8000", "https://LOCALHOST:8000"])
def test_our_own_pages_may_ask(origin: str) -> None:
    fetch = ("Sec-Fetch-Site", "same-origin")
    assert answer(HERE, ("Origin", origin), fetch, method="POST")[0] == 200


@pytest.mark.parametrize(
    "origin", ["null", "", "http://localhost", "http://localhost:8001", "http://evil.example:8000"]
)
def test_pages_of_other_origins_may_not(origin: str) -> None:
    status, _, body = answer(HERE, ("Origin", origin), method="POST")
    assert status == 403
    assert json.loads(body)["type"] == "urn:siamese-nima:problem:origin-refused"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unheard-of"])
def test_requests_without_origin_are_told_by_the_browser_s_own_word(site: str) -> None:
    assert answer(HERE, ("Sec-Fetch-Site", site))[0] == 403
    picture = (("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image"))
    assert answer(HERE, ("Sec-Fetch-Site", site), *picture)[0] == 403


def test_a_link_may_lead_here_but_a_form_or_a_frame_may_not() -> None:
    site, mode = ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")
    assert answer(HERE, site, mode, ("Sec-Fetch-Dest", "document"))[0] == 200
    assert answer(HERE, site, mode, ("Sec-Fetch-Dest", "document"), method="POST")[0] == 403
    assert answer(HERE, site, mode, ("Sec-Fetch-Dest", "iframe"))[0] == 403


def test_programs_that_are_no_browsers_may_ask() -> None:
    assert answer(HERE, method="POST")[0] == 200


@pytest.mark.parametrize("headers", [(HERE,), (("Host", "evil.example"),)])
def test_every_answer_has_the_headers(headers: tuple[tuple[str, str]]) -> None:
    _, found, _ = answer(*headers)
    assert found["x-content-type-options"] == "nosniff"
    assert found["x-frame-options"] == "DENY"
    assert found["referrer-policy"] == "no-referrer"
    assert found["cross-origin-resource-policy"] == "same-origin"
    assert found["cache-control"] == "no-store"
    policy = found["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_a_header_of_the_application_s_own_is_kept_once() -> None:
    start, _ = ask(HERE, path="/own")
    frames = [value for name, value in start["headers"] if name == b"x-frame-options"]
    assert frames == [b"SAMEORIGIN"]


def test_web_sockets_of_strangers_are_closed_before_they_open() -> None:
    [message] = ask(("Host", "evil.example"), kind="websocket")
    assert (message["type"], message["code"]) == ("websocket.close", 1008)
