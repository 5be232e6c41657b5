"""GGUF -> safetensors, once: transformers reads a GGUF file ten times slower than what it writes itself."""

from __future__ import annotations

from pathlib import Path

from specprefill_agents.draft.loading import quiet_transformers
from specprefill_agents.errors import DraftError, missing_extra

try:
    import accelerate  # noqa: F401 (transformers refuses GGUF weights without it)
    import gguf  # noqa: F401
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
except ImportError as error:
    raise missing_extra("Converting GGUF weights", "draft") from error


def convert_gguf(weights: Path, directory: Path) -> None:
    """Write the model in `weights` as float32 safetensors, with its tokenizer, into `directory`.

    Raises `DraftError` when transformers cannot read the file.
    """
    source, name = str(weights.parent), weights.name
    try:
        with quiet_transformers():
            # Without dequantize the quantizer stays attached, and what it holds cannot be saved.
            model = AutoModelForCausalLM.from_pretrained(
                source,
                gguf_file=name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=torch.float32,
                trust_remote_code=False,
            )
            tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name, trust_remote_code=False)
            model.save_pretrained(directory)
            tokenizer.save_pretrained(directory)
    except OSError:
        raise
    except Exception as error:
        raise DraftError(f"{name} could not be converted: {type(error).__name__}: {error}") from error
