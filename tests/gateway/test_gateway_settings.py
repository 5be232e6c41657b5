"""Settings of a gateway: what is allowed, and where they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from specprefill_agents import CompressionConfig, ConfigError
from specprefill_agents.gateway.settings import GatewaySettings
from specprefill_agents.gateway.settings_file import load_settings

UPSTREAM = "https://api.deepseek.com/v1"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            ("upstream", url)
            for url in ("", "api.deepseek.com", "ftp://a/", "http://", "https://a/?x=1", "https://key@a/", "http://a:b/", 7)
        ],
        ("api_key_env", ""),
        ("token_file", 3),
        ("host", ""),
        ("port", 65_536),
        ("port", True),
        ("draft", ""),
        ("compression", {}),
        ("max_body_bytes", 0),
        ("workers", 1.5),
        ("max_depth", True),
        ("upstream_timeout_s", 0),
        ("client_timeout_s", float("nan")),
        ("body_timeout_s", "30"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{field}="):
        GatewaySettings(**{"upstream": UPSTREAM, field: value})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "gateway.example"])
def test_beyond_this_machine_a_token_is_needed(host: str) -> None:
    with pytest.raises(ConfigError, match="token_file"):
        GatewaySettings(UPSTREAM, host=host)
    assert GatewaySettings(UPSTREAM, host=host, token_file="tokens").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_on_this_machine_none_is(host: str) -> None:
    assert GatewaySettings(UPSTREAM, host=host).host == host


def test_marks_name_an_id_just_where_somebody_answers_for_it() -> None:
    with pytest.raises(ConfigError, match=r"compression\.originals=True"):
        GatewaySettings(UPSTREAM, compression=CompressionConfig())
    with pytest.raises(ConfigError, match=r"compression\.originals=False"):
        GatewaySettings(UPSTREAM, expand=True)


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('upstream = "http://file"\nport = 1\nworkers = 2\ndraft = "auto"\n[compression]\nkeep_ratio = 0.5\nscorer = "bm25"\n')
    environment = {
        "SPECPREFILL_GATEWAY_PORT": "7",
        "SPECPREFILL_GATEWAY_UPSTREAM": "http://environment",
        "SPECPREFILL_GATEWAY_BODY_TIMEOUT_S": "2.5",
    }
    given = {"upstream": "http://given", "port": None, "compression": {"keep_ratio": 0.25, "scorer": None}}
    made = load_settings(path, environment, given)
    assert (made.upstream, made.port, made.workers, made.body_timeout_s, made.draft) == ("http://given", 7, 2, 2.5, "auto")
    assert made.compression == CompressionConfig(keep_ratio=0.25, scorer="bm25", originals=False)
    assert load_settings(None, {}, {"upstream": UPSTREAM}) == GatewaySettings(UPSTREAM)
    expanding = load_settings(None, {"SPECPREFILL_GATEWAY_EXPAND": "true"}, {"upstream": UPSTREAM, "expand": None})
    assert expanding == GatewaySettings(UPSTREAM, expand=True, compression=CompressionConfig())


@pytest.mark.parametrize(
    ("text", "environment", "says"),
    [
        ("", {}, "^upstream=None"),
        ("upstream = 'http://a'\nupstraem = 'b'", {}, "^upstraem='b'"),
        ("upstream = 'http://a'\ncompression = 3", {}, "^compression=3"),
        ("upstream = 'http://a'\n[compression]\nkeep = 1", {}, "^keep=1"),
        ("upstream = 'http://a'\n[compression]\noriginals = true", {}, r"^compression\.originals=True"),
        ("upstream = ", {}, "^config="),
        ("upstream = 'http://a'", {"SPECPREFILL_GATEWAY_PORT": "many"}, "^port='many'"),
        ("upstream = 'http://a'", {"SPECPREFILL_GATEWAY_EXPAND": "maybe"}, "^expand='maybe'"),
        ("upstream = 'http://a'", {"SPECPREFILL_GATEWAY_COMPRESSION": "{}"}, "^SPECPREFILL_GATEWAY_COMPRESSION="),
    ],
)
def test_a_file_or_a_variable_that_is_wrong_is_named(tmp_path: Path, text: str, environment: dict[str, str], says: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        load_settings(path, environment, {})
    with pytest.raises(ConfigError, match="^config="):
        load_settings(tmp_path / "none.toml", {}, {})
