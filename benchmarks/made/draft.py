"""A draft for what needs any draft at all: a random Llama of two layers with a byte-level tokenizer, made in a second."""

from __future__ import annotations

from pathlib import Path

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny_draft(directory: Path) -> None:
    """Write model and tokenizer, whose special tokens are real ones, into `directory`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def write_tiny_preset(directory: Path, home: Path) -> None:
    """Two heads of the draft in `directory`, where a library whose home is `home` finds them."""
    from transformers import AutoConfig

    from specprefill_agents.scoring.presets import HeadPreset, match_fields

    preset = HeadPreset("tiny", ((0, 1), (1, 3)), "<|im_start|>", match_fields(AutoConfig.from_pretrained(directory)))
    (home / "presets").mkdir(parents=True, exist_ok=True)
    (home / "presets" / "tiny.json").write_text(preset.to_json(), encoding="utf-8")
