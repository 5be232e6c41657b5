"""Kinds `log` and `trace`: service logs and stack traces, where many lines hold the identifiers of a question."""

from __future__ import annotations

import random

from specprefill_agents.scoring.needles.example import Example, Piece, assemble, phrased, rough_tokens, whole

_HOSTS = "worker web cache queue gateway batch store relay".split()

_INCIDENTS = (
    ("payment of order {0} refused by issuer, code 51", "Why could order {0} not be paid?"),
    ("invoice {0}: address block empty, moved to quarantine", "What stopped the bill {0} from being sent?"),
    ("upload {0} aborted after 3 of 9 parts: peer closed connection", "How far did the transfer {0} get?"),
    ("user {0} locked out for 30 min after 5 wrong passwords", "What keeps account {0} from signing in?"),
    ("checksum mismatch in backup {0}, block 118 rewritten", "Was anything wrong with the saved copy {0}?"),
    ("job {0} exceeded 900 s and was killed by supervisor", "What happened to the task {0} in the end?"),
    ("mail {0} bounced: mailbox full at recipient", "Did message {0} reach its reader?"),
    ("rollout {0} reverted to previous image, probe answered 503", "Why was the release {0} undone?"),
    ("session {0} resumed on second node, 14 keys lost", "What did session {0} lose when it moved?"),
    ("disk {0} at 97 %, oldest snapshots pruned", "What was done about the full volume {0}?"),
)
_ROUTINE = (
    "received {0} from client, queued",
    "{0} picked up, attempt 1",
    "GET /v2/items/{0} 200 in {1} ms",
    "{0} waiting for lock held by pid {1}",
    "progress {0}: {1} of 1000 done",
    "heartbeat ok, last seen id {0}, lag {1} ms",
    "{0} written to topic events, offset {1}",
    "config reloaded while {0} was running, no change in {1} keys",
    "POST /v2/orders/{0}/notes 201 in {1} ms",
    "order, invoice and backup checks passed for batch {0} in {1} ms",
)


def log(rng: random.Random, tokens: int, questions: int) -> Example:
    """Service logs: the line that explains an identifier's fate, among lines that mention it in passing."""
    incidents = rng.sample(_INCIDENTS, min(len(_INCIDENTS), questions + 4))
    questions = min(questions, len(incidents))
    identifiers = [str(rng.randint(10_000, 99_999)) for _ in range(len(incidents) + 6)]
    asked = [phrased(rng, question.format(identifiers[number])) for number, (_, question) in enumerate(incidents[:questions])]
    messages: list[tuple[str, int | None]] = [
        (message.format(identifiers[index]), index if index < questions else None) for index, (message, _) in enumerate(incidents)
    ]
    shape = rng.choice(("{0} {1} {2}[{3}]: {4}", "[{0}] {2} {1} - {4}", '{{"ts":"{0}","level":"{1}","host":"{2}","msg":"{4}"}}'))
    while sum(rough_tokens(message) + 26 for message, _ in messages) < tokens:
        messages.append((rng.choice(_ROUTINE).format(rng.choice(identifiers), rng.randint(2, 999)), None))
    rng.shuffle(messages)
    pieces = []
    second = rng.randint(0, 40_000)
    for message, number in messages:
        second += rng.randint(1, 9)
        clock = f"2026-05-{7 + second // 43_200:02d}T{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"
        level = rng.choice(("WARN", "ERROR", "INFO")) if number is not None else rng.choice(("INFO", "DEBUG", "INFO", "WARN"))
        line = shape.format(clock, level, f"{rng.choice(_HOSTS)}-{rng.randint(1, 9)}", rng.randint(100, 9999), message)
        pieces.append(Piece(line) if number is None else whole(line, number))
    return assemble("log", pieces, asked)


_JOBS = (
    "nightly-invoice price-import user-sync image-resize report-mailer stock-count geo-index audit-export token-rotate feed-merge".split()
)
_MODULES = "runner pipeline store client parser schema session billing cursor render retry tasks".split()
_VERBS = "load push merge fetch apply check split resolve flush open".split()
_THINGS = "rows totals batch record header page token account chunk cache".split()
_ERRORS = (
    "KeyError: 'tenant_{}'",
    "ValueError: time data '{}-13-40' does not match format '%Y-%m-%d'",
    "ConnectionResetError: [Errno 104] Connection reset by peer after {} bytes",
    "ZeroDivisionError: division by zero in bucket {}",
    "PermissionError: [Errno 13] Permission denied: '/srv/data/{}'",
    "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9 in position {}",
    "TimeoutError: no answer within {} s",
    "TypeError: unsupported operand type(s) for +: 'int' and 'NoneType' (row {})",
    "RecursionError: maximum recursion depth exceeded at node {}",
    "FileNotFoundError: [Errno 2] No such file or directory: 'parts/{}.csv'",
)
_CAUSES = ("Which error made the {0} job fail?", "Why did {0} crash?", "What exception ended {0}?", "what went wrong in {0}")
_PLACES = ("In which function did {0} break?", "On what line of which file did the {0} run die?", "Where in the code did {0} stop?")


def trace(rng: random.Random, tokens: int, questions: int) -> Example:
    """Stack traces of failed jobs between their progress lines: the error, or the innermost frame, is needed."""
    jobs = rng.sample(_JOBS, len(_JOBS))
    errors = rng.sample(_ERRORS, len(_ERRORS))
    asked: list[str] = []
    blocks: list[Piece] = []
    length = 0
    for index, (job, error) in enumerate(zip(jobs, errors, strict=True)):
        if length >= tokens and index >= questions:
            break
        frames = [_frame(rng) for _ in range(rng.randint(3, 6))]
        head = f"ERROR job {job} run {rng.randint(100, 999)} failed\nTraceback (most recent call last):\n"
        above = head + "".join(frames[:-1])
        message = error.format(rng.randint(10, 9999))
        where = (len(above), len(above) + len(frames[-1]) - 1)
        what = (len(above) + len(frames[-1]), len(above) + len(frames[-1]) + len(message))
        needs: tuple[tuple[int, tuple[int, int]], ...] = ()
        if index < questions:
            forms, span = rng.choice(((_CAUSES, what), (_PLACES, where)))
            asked.append(phrased(rng, rng.choice(forms).format(job)))
            needs = ((index, span),)
        progress = "".join(f"INFO job {rng.choice(jobs)} step {rng.randint(1, 40)} done\n" for _ in range(rng.randint(1, 4)))
        text = above + frames[-1] + message + "\n" + progress
        blocks.append(Piece(text, needs))
        length += rough_tokens(text)
    rng.shuffle(blocks)
    return assemble("trace", blocks, asked, separator="")


def _frame(rng: random.Random) -> str:
    module, verb, thing = rng.choice(_MODULES), rng.choice(_VERBS), rng.choice(_THINGS)
    called = f"{rng.choice(_VERBS)}_{rng.choice(_THINGS)}"
    where = f'  File "/srv/app/{module}.py", line {rng.randint(12, 890)}, in {verb}_{thing}\n'
    return f"{where}    return self.{called}({rng.choice(_THINGS)}, strict=True)\n"
