"""Configuration: every wrong value is named, and the fingerprint follows what shapes the output."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from specprefill_agents import CompressionConfig, Compressor, ConfigError, UnknownDraftError
from specprefill_agents.types import KeepRatio


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("keep_ratio", 0),
        ("keep_ratio", 1.2),
        ("keep_ratio", float("nan")),
        ("keep_ratio", "0.3"),
        ("enabled", 1),
        ("scorer", ""),
        ("min_tokens", -1),
        ("min_tokens", 2.5),
        ("exclude_tools", "grep"),
        ("tool_keep_ratio", "grep"),
        ("tool_keep_ratio", 0.3),
        ("tool_keep_ratio", {"": 0.3}),
        ("tool_keep_ratio", {5: 0.3}),
        ("tool_keep_ratio", [["grep", 0.3, 1]]),
        ("tool_keep_ratio", [["grep", 0.3], ["grep", 0.4]]),
        ("tool_keep_ratio", [[["grep"], 0.3]]),
        ("force_keep", ["("]),
        ("compress_user", "no"),
        ("target_tokenizer", ""),
        ("neighbour_bonus", 2),
        ("unit_chars", (10, 5)),
        ("line_mark", "{lines}"),
        ("line_mark", "a\nb"),
        ("text_mark", "a\nb"),
        ("seed", 1.5),
        ("max_scored_tokens", 0),
        ("timeout_s", 0),
        ("on_error", "ignore"),
        ("keepratio", 0.3),
    ],
)
def test_a_wrong_value_names_the_field_the_value_and_the_range(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        CompressionConfig.from_dict({field: value})
    assert caught.value.field == field
    assert field in str(caught.value)
    assert "allowed" in str(caught.value)


def test_the_fingerprint_changes_with_what_shapes_the_output_and_with_nothing_else() -> None:
    plain = CompressionConfig()
    assert plain.fingerprint() == CompressionConfig().fingerprint()
    assert plain.fingerprint() == CompressionConfig(timeout_s=5.0, on_error="raise").fingerprint()
    shaped = [CompressionConfig(keep_ratio=0.2), CompressionConfig(line_mark="[cut]"), CompressionConfig(force_keep=("x",))]
    assert len({config.fingerprint() for config in [plain, *shaped]}) == 4


def test_lists_from_a_file_equal_tuples_from_code() -> None:
    assert CompressionConfig.from_dict({"force_keep": ["x"]}) == CompressionConfig(force_keep=("x",))


@pytest.mark.parametrize("ratio", [0, 1.01, -0.2, True, "0.3", "Auto", None, float("nan"), float("inf")])
def test_a_wrong_keep_ratio_of_a_tool_names_the_tool(ratio: object) -> None:
    with pytest.raises(ConfigError, match=r"a number in \(0, 1\], or 'auto'") as caught:
        CompressionConfig.from_dict({"tool_keep_ratio": {"read_file": 0.5, "grep": ratio}})
    assert caught.value.field == "tool_keep_ratio.grep"


def test_a_tool_has_its_own_keep_ratio_or_the_general_one() -> None:
    config = CompressionConfig(keep_ratio=0.3, tool_keep_ratio={"grep": 0.1, "read_file": "auto"})
    assert [config.keep_ratio_of(tool) for tool in ("grep", "read_file", "ls", None)] == [0.1, "auto", 0.3, 0.3]


def test_keep_ratios_of_tools_are_held_as_a_value_whatever_their_order() -> None:
    given: dict[str, KeepRatio] = {"read_file": "auto", "grep": 1}
    config = CompressionConfig(tool_keep_ratio=given)
    given["ls"] = 0.5
    assert config.tool_keep_ratio == (("grep", 1.0), ("read_file", "auto"))
    turned = CompressionConfig(tool_keep_ratio={"grep": 1.0, "read_file": "auto"})
    assert config == turned
    assert hash(config) == hash(turned)
    assert config.fingerprint() == turned.fingerprint()
    assert config.fingerprint() != CompressionConfig(tool_keep_ratio={"grep": 1.0}).fingerprint() != CompressionConfig().fingerprint()


def test_a_config_outlives_the_way_through_json() -> None:
    config = CompressionConfig(tool_keep_ratio={"grep": 0.25, "ls": "auto"}, exclude_tools=("cat",))
    assert CompressionConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


def test_an_unknown_scorer_or_tokenizer_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="fused, key_index, bm25, random, head_tail"):
        Compressor(config=CompressionConfig(scorer="magic", target_tokenizer="o200k_base"))
    with pytest.raises(ConfigError, match="cl100k_base"):
        Compressor(config=CompressionConfig(target_tokenizer="nonsense"))


def test_an_unknown_draft_lists_the_known_ones_and_says_how_to_use_a_path() -> None:
    with pytest.raises(UnknownDraftError, match=r"smollm2-135m.*path to a directory"):
        Compressor("no-such-draft", CompressionConfig(target_tokenizer="o200k_base"))
