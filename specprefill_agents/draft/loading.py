"""Load a draft: device, dtype, threads, truncation after the deepest layer needed, plain-text tokenization.

Only safetensors and GGUF weights are read, and no code that comes with a model is ever run.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specprefill_agents.draft.registry import DraftLocation, is_pulled, locate, manifest
from specprefill_agents.draft.sharing import shared
from specprefill_agents.errors import ConfigError, DraftError, SpecPrefillError, missing_extra
from specprefill_agents.plaintext import plain_tokenizer, without_surrogates

try:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging as transformers_logging
except ImportError as error:
    raise missing_extra("The draft model", "draft") from error


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids (T,) and character offsets (T, 2) of one text; special-token strings in it are plain text."""

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class Draft:
    """A loaded decoder stack, with an output head only if that was asked for, and its tokenizer."""

    name: str
    revision: str
    model: Any
    tokenizer: Any
    device: torch.device
    dtype: torch.dtype

    @property
    def window(self) -> int:
        """Longest input in tokens that the model was made for."""
        return int(self.model.config.max_position_embeddings)

    @cached_property
    def plain(self) -> Tokenizer:
        """The tokenizer as a reader of plain text, whatever control tokens a text spells."""
        return plain_tokenizer(self.tokenizer.backend_tokenizer.to_str())

    def encode(self, text: str) -> Encoding:
        """Tokenize `text` as plain text, without added tokens; lone surrogates read as U+FFFD, offsets stay valid."""
        encoded = self.plain.encode(without_surrogates(text), add_special_tokens=False)
        return Encoding(np.array(encoded.ids, dtype=np.int64), np.array(encoded.offsets, dtype=np.int64).reshape(-1, 2))


def choose_device(device: str = "auto") -> torch.device:
    """`auto` is CUDA when there is one, else the CPU. Raises `ConfigError` for a device that torch does not know or see."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        module = torch.get_device_module(found)
    except RuntimeError as error:
        raise ConfigError("device", device, "auto, cpu, cuda or cuda:N") from error
    there = module.device_count() if module.is_available() else 0
    if (found.index or 0) >= there:
        raise ConfigError("device", device, f"auto, cpu, cuda or cuda:N; torch {torch.__version__} sees {there} of type {found.type} here")
    return found


def choose_dtype(device: torch.device, dtype: str = "auto") -> torch.dtype:
    """`auto` is bfloat16 where the hardware multiplies it (GPUs since Ampere, CPUs with AVX512-BF16 or AMX), else float32."""
    names = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype != "auto":
        if dtype not in names:
            raise ConfigError("dtype", dtype, f"auto, {', '.join(names)}")
        return names[dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if cpu_multiplies_bfloat16() else torch.float32


def cpu_multiplies_bfloat16() -> bool:
    """Whether this processor has bfloat16 matrix instructions (AVX512-BF16 or AMX), read from /proc/cpuinfo."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return " avx512_bf16" in flags or " amx_bf16" in flags


def set_threads(threads: int | None) -> None:
    """Set torch's threads for this process; None leaves them. More threads than free cores is slower than one."""
    if threads is not None:
        if threads < 1:
            raise ConfigError("threads", threads, "an integer >= 1, or None")
        torch.set_num_threads(threads)


def load_config(name: str) -> Any:
    """The text model's transformers configuration of a draft, without its weights. Raises as `load_draft` does."""
    location = _present(name)
    source, arguments = _source(location)
    with _readable(location):
        return AutoConfig.from_pretrained(source, trust_remote_code=False, **arguments).get_text_config()


def load_draft(
    name: str,
    *,
    layers: int | None = None,
    with_head: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    threads: int | None = None,
) -> Draft:
    """Load a draft by known name, directory, GGUF file or hub name; with `layers`, only the first so many blocks.

    `with_head` adds the output head, which decoding needs. Without it, the weights of a target that is loaded under the same
    name, on the same device in the same precision, are read with it. Raises `UnknownDraftError` for a name that leads nowhere and
    `DraftError` when the weights are absent or unreadable.
    """
    set_threads(threads)
    where = choose_device(device)
    kind = choose_dtype(where, dtype)
    loaded = None if with_head else shared(name, where, kind)
    if loaded:
        return Draft(name, revision(locate(name), loaded[0]), loaded[0].base_model, loaded[1], where, kind)
    config = load_config(name)
    _truncate(config, layers)
    model, tokenizer = load_pretrained(name, AutoModelForCausalLM if with_head else AutoModel, kind, config=config)
    return Draft(name, revision(locate(name), model), model.to(where), tokenizer, where, kind)


def load_pretrained(name: str, auto_class: Any, dtype: torch.dtype, **arguments: Any) -> tuple[Any, Any]:
    """The model that a transformers auto class reads under a draft name, ready for inference on the CPU, and its fast tokenizer.

    Raises as `load_draft` does.
    """
    location = _present(name)
    source, file = _source(location)
    weights = {**file, "quantization_config": GgufConfig(dequantize=True)} if file else {"use_safetensors": True}
    with _readable(location):
        model = auto_class.from_pretrained(source, dtype=dtype, trust_remote_code=False, **weights, **arguments)
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, use_fast=True, **file)
    if not tokenizer.is_fast:
        raise DraftError(f"draft {name!r} has no fast tokenizer, so tokens cannot be mapped to characters")
    model.requires_grad_(False)
    return model.eval(), tokenizer


def _present(name: str) -> DraftLocation:
    location = locate(name)
    if location.kind == "pulled" and not is_pulled(name):
        raise DraftError(f"draft {name!r} is not on this machine. Get it with: specprefill models pull {name}")
    if location.kind == "directory" and not any(Path(location.path).glob("*.safetensors")):
        raise DraftError(f"draft {name!r} has no .safetensors file; pickled weights (.bin, .pt) can run code and are never read")
    return location


@contextmanager
def _readable(location: DraftLocation) -> Iterator[None]:
    """Quiet loading whose failures, of whatever type a damaged file or an absent network causes, name the draft."""
    try:
        with quiet_transformers():
            yield
    except SpecPrefillError:
        raise
    except Exception as error:
        what = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DraftError(f"draft {location.name!r} could not be loaded: {what}. {_REMEDY[location.kind].format(location)}") from error


_REMEDY = {
    "pulled": "To get it anew, remove {0.path} and type: specprefill models pull {0.name}",
    "directory": "It must hold config.json, tokenizer.json and safetensors of a causal language model",
    "gguf": "It must be a GGUF file of an architecture that transformers reads",
    "hub": "Without access to the hub, give a path to a directory with safetensors or to a .gguf file",
}


def _source(location: DraftLocation) -> tuple[str, dict[str, Any]]:
    if location.kind == "gguf":
        path = Path(location.path)
        return str(path.parent), {"gguf_file": path.name}
    return location.path, {}


def _truncate(config: Any, layers: int | None) -> None:
    if layers is None or layers >= config.num_hidden_layers:
        return
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]


def revision(location: DraftLocation, model: Any) -> str:
    """16 hex digits that identify the weights: the pulled manifest's revision, the hub commit, or a sampled content hash."""
    path = Path(location.path)
    if location.kind == "pulled":
        try:
            found = manifest(path)
            # Drafts pulled before manifests had a revision have the hash of their file.
            return str(found.get("revision") or found["sha256"])[:16]
        except (OSError, ValueError, KeyError) as error:
            raise DraftError(f"the manifest of draft {location.name!r} is damaged. {_REMEDY['pulled'].format(location)}") from error
    if location.kind == "hub":
        return str(getattr(model.config, "_commit_hash", None) or _sampled_parameters(model))[:16]
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix in _READ_SUFFIXES)
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{file.stat().st_size}:".encode())
        for block in _sampled(file):
            digest.update(block)
    return digest.hexdigest()[:16]


_READ_SUFFIXES = {".safetensors", ".json", ".txt", ".model"}
"""Of the files that shape what a draft computes: weights, configuration, tokenizer."""


def _sampled_parameters(model: Any, count: int = 64) -> str:
    """For weights that came without a commit: a hash of each parameter's shape and first values."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(f"{name}:{tuple(parameter.shape)}:".encode())
        digest.update(parameter.detach().flatten()[:count].float().cpu().numpy().tobytes())
    return digest.hexdigest()


def _sampled(file: Path, blocks: int = 64, size: int = 65_536) -> Iterator[bytes]:
    """Evenly spaced blocks of a file: enough to notice other weights without reading gigabytes."""
    total = file.stat().st_size
    step = max(size, total // blocks)
    with file.open("rb") as stream:
        for start in range(0, total, step):
            stream.seek(start)
            yield stream.read(size)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence loading bars and the notice about weights that truncation leaves unused."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
