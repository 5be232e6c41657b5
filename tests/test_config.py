"""Configuration: every wrong value is named, and the fingerprint follows what shapes the output."""

from __future__ import annotations

import pytest

from specprefill_agents import CompressionConfig, Compressor, ConfigError, UnknownDraftError


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


def test_an_unknown_scorer_or_tokenizer_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="fused, key_index, bm25, random, head_tail"):
        Compressor(config=CompressionConfig(scorer="magic", target_tokenizer="o200k_base"))
    with pytest.raises(ConfigError, match="cl100k_base"):
        Compressor(config=CompressionConfig(target_tokenizer="nonsense"))


def test_an_unknown_draft_lists_the_known_ones_and_says_how_to_use_a_path() -> None:
    with pytest.raises(UnknownDraftError, match=r"smollm2-135m.*path to a directory"):
        Compressor("no-such-draft", CompressionConfig(target_tokenizer="o200k_base"))
