"""Keys: where they come from, how they are sent, and that nothing works without."""

from __future__ import annotations

import base64

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from siamese_nima.errors import ConfigError
from siamese_nima.web.safety import read_api_keys

KEY, OTHER = "0123456789abcdef", "another-key-of-24-letters"


def test_keys_come_from_a_file_one_a_line_or_else_from_the_environment(tmp_path):
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n\n  {OTHER}\n")
    assert read_api_keys(file, {"NIMA_API_KEY": "ignored"}) == (KEY, OTHER)
    assert read_api_keys(None, {"NIMA_API_KEY": f"{KEY}\n"}) == (KEY,)
    assert read_api_keys(None, {}) == ()


def test_keys_that_are_no_keys_are_refused_and_not_repeated(tmp_path):
    for key in ("short", "fifteen-letters", "with a blank in it", "ümläute-ümläute-ümläute"):
        with pytest.raises(ConfigError, match="16 or more ASCII characters") as error:
            read_api_keys(None, {"NIMA_API_KEY": key})
        assert key not in str(error.value)
    with pytest.raises(ConfigError, match="no-file: the API keys cannot be read"):
        read_api_keys(tmp_path / "no-file", {})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="empty: no API key; wanted one a line"):
        read_api_keys(tmp_path / "empty", {"NIMA_API_KEY": KEY})


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {OTHER} "},
        {"x-api-key": KEY},
        {"authorization": basic(KEY)},
    ],
)
def test_any_key_opens_in_any_of_three_ways(client_of, headers):
    assert client_of(keys=(KEY, OTHER)).get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"authorization": KEY},
        {"authorization": "Bearer"},
        {"authorization": "Basic nonsense"},
        {"authorization": basic("")},
        {"authorization": f"Digest {KEY}"},
        {"x-api-key": ""},
        {"x-api-key": KEY.upper()},
        {"x-api-key": b"\xff\xfe"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/openapi.json", "/", "/nothing"])
def test_nothing_opens_without(client_of, headers, path):
    answer = client_of(keys=(KEY,)).get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert answer.json()["type"] == "urn:siamese-nima:problem:key-wanted"


def test_only_the_questions_of_an_orchestrator_need_none(client_of):
    client = client_of(keys=(KEY,))
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200
    assert client.get("/health/live/").status_code == 401


def test_openapi_says_how_to_send_a_key_where_one_is_wanted(client_of):
    wanted = client_of(keys=(KEY,)).get("/openapi.json", headers={"x-api-key": KEY}).json()
    schemes = wanted["components"]["securitySchemes"]
    assert {(scheme["type"], scheme.get("scheme")) for scheme in schemes.values()} == {
        ("http", "bearer"),
        ("http", "basic"),
        ("apiKey", None),
    }
    assert any(scheme.get("name") == "X-API-Key" for scheme in schemes.values())
    ways = [{name: []} for name in schemes]
    for path, methods in wanted["paths"].items():
        for method in methods.values():
            if path.startswith("/health/"):
                assert "security" not in method
            else:
                assert sorted(method["security"], key=list) == sorted(ways, key=list)
    assert "securitySchemes" not in client_of().get("/openapi.json").json()["components"]
