"""`specprefill calibrate`: choose the retrieval heads of a draft, and store them as a preset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from specprefill_agents.cli.table import columns, short
from specprefill_agents.draft.registry import DEFAULT_DRAFT

if TYPE_CHECKING:
    from specprefill_agents.scoring.calibration import Calibration

HELP = (
    "Choose the attention heads by which a draft finds what a question asks for, on synthetic needles made from local text, "
    "and store them as a preset that every later use of the draft takes. No network, no training; about 150,000 draft tokens."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--draft NAME [--name NAME] [--out FILE] [--examples N] [--seed N] [--layers N] [--heads N] [--device D] [--threads N]`."""
    parser.add_argument(
        "--draft", default=DEFAULT_DRAFT, help="draft model: a known name, a directory, a .gguf file (default: %(default)s)"
    )
    parser.add_argument("--name", help="name of the preset (default: the last part of the draft's name)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the preset goes (default: the directory of your own presets)")
    parser.add_argument("--examples", type=int, metavar="N", help="contexts of about 2,000 tokens with four questions each (default: 66)")
    parser.add_argument("--seed", type=int, default=0, help="of the examples (default: %(default)s)")
    parser.add_argument("--layers", type=int, metavar="N", help="look for heads in the first N layers only, which is faster (default: all)")
    parser.add_argument("--heads", type=int, default=4, metavar="N", help="most heads to take (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help="auto, float32, bfloat16 or float16 (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: as torch decides)")


def run(args: argparse.Namespace) -> int:
    """Calibrate, write the preset, print what was measured; a disagreement of the halves is a warning on standard error."""
    from specprefill_agents.draft.loading import load_draft
    from specprefill_agents.scoring.calibration import CalibrationPlan, calibrate
    from specprefill_agents.scoring.presets import user_directory

    given = {} if args.examples is None else {"examples": args.examples}
    plan = CalibrationPlan(seed=args.seed, max_heads=args.heads, **given)
    draft = load_draft(args.draft, layers=args.layers, device=args.device, dtype=args.dtype, threads=args.threads)
    name = args.name or Path(args.draft).stem.lower()
    result = calibrate(draft, name, plan, notify=lambda line: print(line, file=sys.stderr, flush=True))
    out: Path = args.out or user_directory() / f"{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(result.preset.to_json(), encoding="utf-8")
    _show(result)
    print(f"\npreset: {short(out)}")
    if result.disagreement:
        print(f"warning: {result.disagreement}", file=sys.stderr)
    return 0


def _show(result: Calibration) -> None:
    preset = result.preset
    chosen = ", ".join(f"({layer}, {head}) x {weight:g}" for (layer, head), weight in zip(preset.heads, preset.head_weights, strict=True))
    print(f"heads (layer, query head): {chosen}\nlayers that run: {preset.layers}\nprefix: {preset.prefix!r}\n")
    recall, bm25 = result.held_out, result.bm25
    rows = [("KIND", "RECALL", "BM25"), *((kind, f"{value:.3f}", f"{bm25.by_kind[kind]:.3f}") for kind, value in recall.by_kind.items())]
    rows.append(("mean", f"{recall.mean:.3f}", f"{bm25.mean:.3f}"))
    rows += [(f"keep {keep:g}", f"{value:.3f}", f"{bm25.by_keep[keep]:.3f}") for keep, value in recall.by_keep.items()]
    print(columns(rows))
    print(f"\nneedle recall on {len(recall.kinds)} held-out questions, 95 % interval of the mean +- {1.96 * recall.error:.3f}")
