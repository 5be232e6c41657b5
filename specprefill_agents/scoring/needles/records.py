"""Kinds `json`, `table` and `key_value`: machine-written records that differ from their neighbours in one field.

Every record has near twins: the same values in the fields that a question names, but for one. Questions ask in words for
what the field's name abbreviates.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from specprefill_agents.scoring.needles.example import Example, Piece, assemble, phrased, rough_tokens

Make = Callable[[random.Random], str]


def _one_of(words: str) -> Make:
    choices = words.split()
    return lambda rng: rng.choice(choices)


def _id(prefix: str, low: int, high: int) -> Make:
    return lambda rng: f"{prefix}{rng.randint(low, high)}"


def _day(rng: random.Random) -> str:
    return f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def _clock(rng: random.Random) -> str:
    return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"


def _amount(rng: random.Random) -> str:
    return f"{rng.randint(4, 1900)}.{rng.randint(0, 99):02d}"


@dataclass(frozen=True, slots=True)
class Schema:
    """Fields of one kind of record. `named` are the two fields a question identifies a record by, through `subject`;
    `asked` says for each other field how a question asks for it."""

    id_field: tuple[str, Make]
    named: tuple[tuple[str, Make], tuple[str, Make]]
    subject: str
    asked: tuple[tuple[str, Make, tuple[str, ...]], ...]


_WHO = _one_of("Okafor Brandt Silva Novak Haddad Moreau Tanaka Lund Petrov Quinn Reyes Schmid Varga Walsh Ito")

_SCHEMAS = (
    Schema(
        ("order_id", _id("SO-", 40000, 59999)),
        (("customer", _WHO), ("item", _one_of("kettle lamp desk router tent drill scarf monitor saddle blender"))),
        "the {1} that {0} ordered",
        (
            ("carrier", _one_of("DHL UPS Posten Hermes GLS FedEx"), ("Who delivers {s}?", "Which courier has {s}?")),
            ("eta", _day, ("When will {s} arrive?", "On what day should {s} be here?")),
            ("total", _amount, ("How much was paid for {s}?", "What did {s} cost?")),
            ("wh", _one_of("LEJ2 BHX4 ORY1 WRO5 MAD4 DTM2"), ("From which depot is {s} sent?", "Where is {s} stored?")),
            ("state", _one_of("packed held returned shipped backordered"), ("How far along is {s}?", "Has {s} left yet?")),
        ),
    ),
    Schema(
        ("booking", _id("R", 100000, 999999)),
        (("pax", _WHO), ("dest", _one_of("Oslo Porto Lyon Graz Cork Turin Gdansk Malmo Bilbao Zadar"))),
        "the trip of {0} to {1}",
        (
            ("dep", _clock, ("At what time does {s} start?", "When does the plane for {s} take off?")),
            ("gate", _id("B", 1, 60), ("Where does boarding take place for {s}?", "Which door at the airport is used for {s}?")),
            ("seat", _id("1", 0, 9), ("Where in the cabin is the place for {s}?", "Which row was assigned for {s}?")),
            ("fare", _amount, ("What is the price of {s}?", "How expensive is {s}?")),
            ("bags", _id("", 0, 4), ("How much luggage is checked in for {s}?", "How many suitcases belong to {s}?")),
        ),
    ),
    Schema(
        ("deployment", _id("dep-", 1000, 9999)),
        (
            ("svc", _one_of("billing search login mailer thumbnails exports ledger quota webhooks chat")),
            ("region", _one_of("eu-west-1 eu-north-1 us-east-2 us-west-2 ap-south-1 sa-east-1")),
        ),
        "the {0} service in {1}",
        (
            ("image_tag", _id("v4.", 10, 99), ("Which version runs for {s}?", "What release is live for {s}?")),
            ("replicas", _id("", 1, 24), ("How many instances are there of {s}?", "How far is {s} scaled out?")),
            ("mem_limit", _id("", 128, 4096), ("How much memory may {s} use?", "What is the RAM ceiling of {s}?")),
            ("oncall", _WHO, ("Who is responsible for {s}?", "Whom do I page about {s}?")),
            ("health", _one_of("ok degraded crashloop draining unknown"), ("Is {s} working?", "In what condition is {s}?")),
        ),
    ),
    Schema(
        ("ticket", _id("BUG-", 100, 9999)),
        (("reporter", _WHO), ("component", _one_of("installer parser scheduler editor importer sync printing backup billing themes"))),
        "the problem with the {1} that {0} reported",
        (
            ("prio", _one_of("P0 P1 P2 P3 P4"), ("How urgent is {s}?", "What importance was given to {s}?")),
            ("assignee", _WHO, ("Who works on {s}?", "Who is to fix {s}?")),
            ("opened", _day, ("Since when is {s} known?", "On what date was {s} filed?")),
            ("resolution", _one_of("fixed duplicate wontfix open invalid"), ("What became of {s}?", "How did {s} end?")),
            ("due", _day, ("By when must {s} be solved?", "What is the deadline for {s}?")),
        ),
    ),
)

Record = dict[str, str]


def _record(rng: random.Random, schema: Schema, named: tuple[str, str]) -> Record:
    fields = {schema.id_field[0]: schema.id_field[1](rng), schema.named[0][0]: named[0]}
    asked = [(name, make(rng)) for name, make, _ in schema.asked]
    return {**fields, asked[0][0]: asked[0][1], schema.named[1][0]: named[1], **dict(asked[1:])}


def _records(rng: random.Random, schema: Schema, tokens: int, per_record: Callable[[Record], str]) -> list[Record]:
    """Records with distinct pairs of named values, few enough values for many near twins."""
    firsts = sorted({schema.named[0][1](rng) for _ in range(20)})
    seconds = sorted({schema.named[1][1](rng) for _ in range(20)})
    pairs = [(first, second) for first in firsts for second in seconds]
    rng.shuffle(pairs)
    made: list[Record] = []
    for pair in pairs:
        if sum(rough_tokens(per_record(record)) for record in made) >= tokens:
            break
        made.append(_record(rng, schema, pair))
    return made


def _ask(rng: random.Random, schema: Schema, record: Record) -> tuple[str, str]:
    """A question about one record, and the field that answers it."""
    name, _, forms = rng.choice(schema.asked)
    first, second = record[schema.named[0][0]], record[schema.named[1][0]]
    if rng.random() < 0.25:
        arguments = ", ".join(f'{field}="{value}"' for field, value in ((schema.named[0][0], first), (schema.named[1][0], second)))
        return f'get_{schema.id_field[0]}({arguments}, fields=["{name}"])', name
    return phrased(rng, rng.choice(forms).format(s=schema.subject.format(first, second))), name


def _json_pretty(record: Record) -> str:
    return "\n".join("  " + line for line in json.dumps(record, indent=2).splitlines()) + ","


def _json_line(record: Record) -> str:
    return json.dumps(record)


def _yaml(record: Record) -> str:
    return "\n".join(("- " if index == 0 else "  ") + f"{name}: {value}" for index, (name, value) in enumerate(record.items()))


def records(rng: random.Random, tokens: int, questions: int) -> Example:
    """JSON (indented, or one record a line) or YAML; the field that answers is needed."""
    schema = rng.choice(_SCHEMAS)
    shown, pattern = rng.choice(((_json_pretty, '"{}": "{}"'), (_json_line, '"{}": "{}"'), (_yaml, "{}: {}")))
    made = _records(rng, schema, tokens, shown)
    asked: list[str] = []
    needs: dict[int, tuple[tuple[int, tuple[int, int]], ...]] = {}
    for number, position in enumerate(rng.sample(range(len(made)), min(questions, len(made)))):
        question, name = _ask(rng, schema, made[position])
        value = pattern.format(name, made[position][name])
        start = shown(made[position]).index(value)
        asked.append(question)
        needs[position] = ((number, (start, start + len(value))),)
    pieces = [Piece(shown(record), needs.get(index, ())) for index, record in enumerate(made)]
    return assemble("json", pieces, asked)


def table(rng: random.Random, tokens: int, questions: int) -> Example:
    """A Markdown, CSV or aligned table; the row is needed."""
    schema = rng.choice(_SCHEMAS)
    style = rng.choice(("markdown", "csv", "aligned"))
    made = _records(rng, schema, tokens, lambda record: " | ".join(record.values()))
    rows = _rows([list(made[0]), *(list(record.values()) for record in made)], style)
    asked: list[str] = []
    wanted: dict[int, int] = {}
    for number, position in enumerate(rng.sample(range(len(made)), min(questions, len(made)))):
        asked.append(_ask(rng, schema, made[position])[0])
        wanted[position] = number
    body = [Piece(row, ((wanted[i], (0, len(row))),) if i in wanted else ()) for i, row in enumerate(rows[-len(made) :])]
    return assemble("table", [*(Piece(row) for row in rows[: -len(made)]), *body], asked)


def _rows(cells: Sequence[Sequence[str]], style: str) -> list[str]:
    if style == "csv":
        return [",".join(row) for row in cells]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    if style == "aligned":
        return ["  ".join(row).rstrip() for row in padded]
    rule = "|".join("-" * (width + 2) for width in widths)
    return ["| " + " | ".join(padded[0]) + " |", f"|{rule}|", *("| " + " | ".join(row) + " |" for row in padded[1:])]


_SERVICES = "billing search login mailer export ledger quota chat".split()
_SETTINGS = (
    ("CACHE_TTL_S", "{}", "how many seconds the cache of {} keeps an entry"),
    ("CONN_POOL_MAX", "{}", "how many database connections {} may open"),
    ("RETRY_BACKOFF_MS", "{}00", "how long {} waits before it tries again"),
    ("LOG_LVL", "level-{}", "how verbose the output of {} is"),
    ("UPSTREAM_URL", "http://10.0.{}.7:8080", "which address {} forwards requests to"),
    ("TLS_CERT_PATH", "/etc/ssl/{}/main.pem", "where the certificate of {} lies"),
    ("RATE_LIMIT_RPM", "{}0", "how many requests a minute {} accepts from one client"),
    ("FEATURE_BETA_UI", "group-{}", "who sees the new interface of {}"),
)
_ZONES = "PROD STAGING DEV".split()


def key_value(rng: random.Random, tokens: int, questions: int) -> Example:
    """A long list of keys and values: random identifiers, or settings asked for in words."""
    return _identifiers(rng, tokens, questions) if rng.random() < 0.5 else _environment(rng, tokens, questions)


def _identifiers(rng: random.Random, tokens: int, questions: int) -> Example:
    shape = rng.choice(('"{}": "{}",', "{} -> {}", "{}={}"))

    def identifier() -> str:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    rows: list[tuple[str, str]] = []
    while 52 * len(rows) < tokens:
        key = identifier()
        rows.append((key, identifier()))
        if rng.random() < 0.5:
            rows.append((key[:24] + identifier()[24:], identifier()))
    rng.shuffle(rows)
    wanted = {position: number for number, position in enumerate(rng.sample(range(len(rows)), min(questions, len(rows))))}
    forms = ("What is the value of {}?", "{}", 'lookup(key="{}")', "Which identifier belongs to {}?", "resolve {} please")
    asked = [rng.choice(forms).format(rows[position][0]) for position in wanted]
    lines = [shape.format(*row) for row in rows]
    pieces = [Piece(line, ((wanted[i], (0, len(line))),) if i in wanted else ()) for i, line in enumerate(lines)]
    return assemble("key_value", pieces, asked)


def _environment(rng: random.Random, tokens: int, questions: int) -> Example:
    names = [(zone, service, setting) for zone in _ZONES for service in _SERVICES for setting in range(len(_SETTINGS))]
    rng.shuffle(names)
    lines: list[str] = []
    kept: list[tuple[str, str, int]] = []
    for zone, service, setting in names:
        if sum(map(rough_tokens, lines)) >= tokens:
            break
        kept.append((zone, service, setting))
        name, value, _ = _SETTINGS[setting]
        lines.append(f"{zone}_{service.upper()}_{name}={value.format(rng.randint(2, 250))}")
    positions = rng.sample(range(len(kept)), min(questions, len(kept)))
    asked = []
    for position in positions:
        zone, service, setting = kept[position]
        where = {"PROD": "in production", "STAGING": "on the staging system", "DEV": "during development"}[zone]
        asked.append(phrased(rng, f"Find out {_SETTINGS[setting][2].format('the ' + service + ' service')} {where}."))
    pieces = [Piece(line, ((positions.index(i), (0, len(line))),) if i in positions else ()) for i, line in enumerate(lines)]
    return assemble("key_value", pieces, asked)
