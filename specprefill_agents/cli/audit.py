"""`specprefill audit`: what was decided in agents' conversations, from the files of an audit log, and the proof of it."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from specprefill_agents.types import Outcome

if TYPE_CHECKING:
    from specprefill_agents.config import CompressionConfig
    from specprefill_agents.observe.audit_file import AuditRecords, Record
    from specprefill_agents.observe.redeciding import Compresses, Redeciding
    from specprefill_agents.observe.replay import Finding, Trail

HELP = (
    "What was decided on each tool output and document, by which settings and weights, from the files that an audit log writes: "
    "the one named, and those set aside beside it (.1, .2, ...)."
)
_REPLAY = (
    "Renders each decision again from the original, the recorded spans and the recorded settings, and compares it by hash with what "
    "was sent. Of a log without texts the words that name an earlier call are known by their hash alone. Exit status 1 when "
    "any differs."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`show FILE [filters] [--json]` and `replay FILE [filters] [--tenant NAME] [--decide] [--json]`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    showing = actions.add_parser("show", help="a line per decision, and what they add up to", description=HELP)
    _add_filters(showing)
    showing.add_argument("--tool", metavar="NAME", help="only results of this tool")
    showing.add_argument("--outcome", choices=get_args(Outcome), help="only what was decided so")
    showing.add_argument("--failures", action="store_true", help="only what did not go as configured, of every event that the log holds")
    showing.add_argument("--json", action="store_true", help="one JSON object: the records, and what they add up to")
    showing.set_defaults(action=_show)
    replaying = actions.add_parser("replay", help="prove that the same bytes come of each decision", description=_REPLAY)
    _add_filters(replaying)
    replaying.add_argument("--tenant", default="", metavar="NAME", help="whose originals to use, where one cache serves several")
    replaying.add_argument(
        "--decide", action="store_true", help="also decide afresh what a log with texts holds, and compare the spans (loads the draft)"
    )
    replaying.add_argument("--json", action="store_true", help="one JSON object: what became of each decision")
    replaying.set_defaults(action=_replay)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the log's latest file, such as audit.jsonl")
    parser.add_argument("--conversation", metavar="ID", help="only this conversation")
    parser.add_argument("--last", type=_positive, metavar="N", help="only the last N of what is left")


def run(args: argparse.Namespace) -> int:
    """Run the chosen action."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an id may hold what the terminal's encoding does not
    status: int = args.action(args)
    return status


def _show(args: argparse.Namespace) -> int:
    from specprefill_agents.observe.audit_file import read_audit
    from specprefill_agents.observe.audit_table import HEADER, NUMBERS, Sums, row_of, sentences
    from specprefill_agents.observe.terminal_table import print_rows

    log = read_audit(args.file)
    records = list(deque(filter(_chosen_by(args), log), args.last))
    sums = Sums.of(records)
    if args.json:
        print(json.dumps({"records": records, "sums": asdict(sums), "unreadable_lines": log.unreadable_lines}, indent=1))
    else:
        notes = sentences(sums) if records else ["nothing to show"]
        print_rows(HEADER, map(row_of, records), sys.stdout, numbers=NUMBERS, notes=notes)
    _say_unreadable(log)
    return 0


def _chosen_by(args: argparse.Namespace) -> Callable[[Record], bool]:
    """Whether `show` shows a record: decisions, or what failed."""

    def is_chosen(record: Record) -> bool:
        is_asked_for = bool(record.get("fallback_reason")) if args.failures else record["event"] == "decision"
        wanted = {"conversation": args.conversation, "name": args.tool, "outcome": args.outcome}
        return is_asked_for and all(value is None or record.get(name) == value for name, value in wanted.items())

    return is_chosen


def _replay(args: argparse.Namespace) -> int:
    from specprefill_agents.observe.audit_file import read_audit
    from specprefill_agents.observe.replay import Replay, Trail
    from specprefill_agents.storage.originals import default_originals

    log = read_audit(args.file)
    trail = Trail.of(log)
    chosen = [one for one in trail.decisions if args.conversation in (None, one.get("conversation"))]
    again = _redeciding(trail, args.tenant) if args.decide else None
    with default_originals(args.tenant) as originals:
        replay = Replay(trail, originals)
        found = [
            (record, replay.bytes_of(record), again.spans_of(record) if again else None)
            for record in chosen[-args.last if args.last else 0 :]
        ]
    print(_replayed_json(found, log) if args.json else "", end="")
    if not args.json:
        _print_replayed(found)
    _say_unreadable(log)
    return 1 if any(one and one.verdict == "differs" for _, *both in found for one in both) else 0


def _redeciding(trail: Trail, tenant: str) -> Redeciding:
    from specprefill_agents.compressor import Compressor
    from specprefill_agents.draft.registry import DEFAULT_DRAFT
    from specprefill_agents.errors import SpecPrefillError
    from specprefill_agents.guardrails.kill_switch import VARIABLE
    from specprefill_agents.observe.audit import SilentAudit
    from specprefill_agents.observe.redeciding import Redeciding
    from specprefill_agents.storage.originals import Originals

    def make(config: CompressionConfig, draft: str) -> Compresses:
        made = Compressor(draft or DEFAULT_DRAFT, config, audit=SilentAudit(), originals=Originals.in_memory(tenant=tenant))
        if made.guard.is_off:
            raise SpecPrefillError(f"compression is switched off by {VARIABLE}")
        return made

    return Redeciding(trail, make)


def _replayed_json(found: Iterable[tuple[Record, Finding, Finding | None]], log: AuditRecords) -> str:
    rows = [
        {
            **{name: record.get(name) for name in ("time", "conversation", "decision", "name", "tool_call_id", "outcome")},
            "bytes": asdict(sent),
            "spans": None if spans is None else asdict(spans),
        }
        for record, sent, spans in found
    ]
    return json.dumps({"decisions": rows, "unreadable_lines": log.unreadable_lines}, indent=1) + "\n"


def _print_replayed(found: list[tuple[Record, Finding, Finding | None]]) -> None:
    from specprefill_agents.observe.audit_table import HEADER, row_of
    from specprefill_agents.observe.terminal_table import print_rows

    rows = [
        (
            *row_of(record)[:5],
            sent.verdict,
            spans.verdict if spans else "",
            "; ".join(one.reason for one in (sent, spans) if one and one.reason),
        )
        for record, sent, spans in found
    ]
    notes = [_counted("Bytes", [sent for _, sent, _ in found])]
    decided = [spans for _, _, spans in found if spans]
    notes += [_counted("Decided afresh", decided)] if decided else []
    print_rows((*HEADER[:5], "BYTES", "AFRESH", "WHY"), rows, sys.stdout, notes=notes if found else ["no decisions"])


def _counted(what: str, findings: list[Finding]) -> str:
    counts = Counter(one.verdict for one in findings)
    return f"{what}: {', '.join(f'{number:,} {verdict}' for verdict, number in counts.most_common())}."


def _say_unreadable(log: AuditRecords) -> None:
    lines = log.unreadable_lines
    if lines:
        print(f"specprefill: {lines} line{'s' if lines > 1 else ''} could not be read and are not counted", file=sys.stderr)


def _positive(given: str) -> int:
    try:
        number = int(given)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{given!r} is not a number >= 1")
    return number
