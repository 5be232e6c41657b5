"""What one line of a log is: the beginning of an entry, part of a stack trace, a continuation; and how much it matters.

Judges a line by itself. What lines make together is the business of `log`.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias, cast

from specprefill_agents.prompt.units.line_sample import ANSI

ERROR_LIFT = 0.25
"""Bonus of an entry that reports an error; the best unit of a call scores 1."""
WARNING_LIFT = 0.15
LEVEL_CHARS = 240
"""How far into a line its level and its words of trouble are looked for."""


Form: TypeAlias = Literal["start", "section", "trace", "frame", "cause", "assertion", "continued", "indented", "blank", "other"]
"""What a line looks like.

`start`: a time stamp, a level, a compiler's `file:line: error`; `section`: a rule with words in it; `trace`: the words that
announce a stack trace; `frame`: one call of it; `cause`: `Caused by: ...`; `assertion`: what a test runner says about a
failed one; `continued`: words that belong to what precedes them.
"""

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?"
_DATE = (
    rf"(?:\d{{4}}[-/.]\d{{2}}[-/.]\d{{2}}|\d{{2}}[-/.]\d{{2}}[-/.]\d{{2,4}}|\d{{2}}[-/ ]{_MONTH}[-/ ]\d{{4}}"
    rf"|(?:{_DAY},?\ )?{_MONTH}\ {{1,2}}\d{{1,2}}(?:,?\ \d{{4}})?)"
)
_STAMP = (
    rf"(?:{_DATE}[T\ :,]{{1,2}}{_CLOCK}|(?:\d\d-\d\d\ )?\d{{1,2}}:\d{{2}}:\d{{2}}(?:[.,]\d{{1,9}})?|\[\ *\d{{1,9}}\.\d{{3,9}}\]"
    rf"|[IWEF]\d{{4}}\ {_CLOCK}|1\d{{9}}\.\d{{3,6}}\ )"
)
_LEVEL_NAME = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|CRITICAL|FATAL|SEVERE|PASSED|FAILED|FAIL|SKIPPED|XFAIL)"

# A stamp that a separator follows at once is the first cell of a table, not the beginning of an entry.
_START = rf"""
    (?:(?:\d{{1,4}}\|)?[\w.-]{{1,60}}\ *\|\ |\[[\w./-]{{1,80}}\]\ |<\d{{1,3}}>\d?\ |\d{{1,7}}:[A-Z]\ |[A-Z],\ )?
    [\[(<]? {_STAMP} (?![\d,;\t]|:\d)
  | [a-z][\w.-]{{1,60}}\ {_DATE}[T\ ]{_CLOCK}(?::\ |\ )
  | [\w.:-]{{1,60}}\ [^\s]{{1,60}}\ [^\s]{{1,60}}\ \[\d{{2}}/{_MONTH}/\d{{4}}:
  | [\[<(]? {_LEVEL_NAME} [\]>)]? (?:[:\s|]|$)
  | (?:error|warning|fatal|info|debug) (?:\[\w{{1,20}}\])? :[ ]
  | npm\ (?:ERR!|WARN|error|warn)\  | \#\#\[\w+\] | make(?:\[\d+\])?:[ ]
  | (?:time|ts|level|lvl)=
  | (?:[A-Za-z]:)? [^\s:()]{{1,200}} (?::\d+(?::\d+)?|\(\d+(?:,\d+)?\)) :?\ {{1,2}} (?:fatal\ )? (?:error|warning|note)\b
  | [^\s:]{{1,200}}::[^\s]{{1,200}}\ (?:PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b
  | ===\ (?:RUN|PAUSE|CONT)\  | ---\ (?:PASS|FAIL|SKIP):\  | (?:not\ )?ok\ \d{{1,6}}\b
  | (?:test\ [^\s]{{1,200}}|\w{{1,200}}\ \([\w.]{{1,200}}\))\ \.\.\.[ ]
"""
_TRACE = r"""
    Traceback\ \(most\ recent\ call\ last\): | Exception\ in\ thread\  | panic:\  | fatal\ error:[ ]
  | goroutine\ \d+\ \[ | thread\ '[^'\n]{0,100}'\ (?:\(\d+\)\ )?panicked\ at | Unhandled\ exception\b | Uncaught[ ]
"""
_FRAME = r"""
    [^\S\n]+ (?: at\ [^\s] | File\ " | \d{1,4}:\ +(?:0x|rust_|__|<(?=[^\n]{0,300}>::)|\w+::|main\b)
    | from\ [^\s]{1,200}:\d | [^\s]{1,200}:\d+\ \+0x )
  | at\ [\w$.<>/]{1,200}\( | File\ "[^"\n]{1,300}",\ line\ \d | \#\d{1,4}\ +[^\s]
"""
_CONTINUED = r"""
    \.\.\.\ \d+\ (?:more|common) | Stack\ trace: | stack\ backtrace: | note:\  | \[signal\ | exit\ status\ \d
  | During\ handling\ of\ the\ above\ exception | The\ above\ exception\ was\ the\ direct\ cause
  | >\  | \d{1,6}\ +\|
"""
_FORM = re.compile(
    rf"""(?:{ANSI})*(?:
    (?P<blank>[^\S\n]*(?:\n|\Z)) | (?P<frame>{_FRAME})
  | [^\S\n]*(?P<cause>(?:Caused\ by|Suppressed|Wrapped\ by):)
  | (?P<indented>[^\S\n]) | (?P<trace>{_TRACE}) | (?P<start>{_START}) | (?P<assertion>E\ {{2,}}) | (?P<continued>{_CONTINUED})
  | (?P<section>(?P<rule>[=_-])(?P=rule){{2,}}\ [^\n]*(?P=rule){{3}}\r?(?:\n|\Z))
    )""",
    re.VERBOSE,
)
_EXCEPTION = re.compile(
    rf"(?:{ANSI})*(?:E {{2,}})?(?:[\w$]{{1,80}}[.:]{{1,2}}){{0,12}}\w{{0,80}}(?:Error|Exception|Interrupt|Exit)"
    r"(?: ?\[\w+\])?(?::|[^\S\n]*(?:\n|\Z))"
)

_LEVEL_LIFTS = {
    **dict.fromkeys("error err fatal critical crit severe alert emerg panic fail failed failure".split(), ERROR_LIFT),
    **dict.fromkeys("warn warning".split(), WARNING_LIFT),
    **dict.fromkeys("info debug trace notice fine passed skipped".split(), 0.0),
}
_LEVELS = "|".join(_LEVEL_LIFTS)
_LEVEL = re.compile(rf"\b(?P<upper>{_LEVELS.upper()})\b|(?:[\[<(]|(?:level|lvl|severity)\"?[=:] ?\"?)(?P<lower>{_LEVELS})\b")
_TROUBLE = re.compile(
    r"(?<!\bno )(?<!\b0 )(?<!without )"
    r"(?:\b(?i:errors?|fatal|exceptions?|fail(?:ed|ures?)|panic(?:ked)?|aborted|crashed|refused|denied|killed|not ok)\b"
    r"|[a-z](?:Error|Exception)\b)"
    r"(?!\"?[=:] ?0\b)|\" 5\d\d "
)
_UNEASE = re.compile(r"(?i:\b(?:warn(?:ings?)?|deprecated|retry(?:ing)?|timed out|timeout)\b)|\" 4\d\d ")
_KLOG = {"E": ERROR_LIFT, "F": ERROR_LIFT, "W": WARNING_LIFT, "I": 0.0}
_KLOG_LINE = re.compile(r"([IWEF])\d{4} \d\d:")


def form_of(text: str, start: int) -> Form:
    """The form of the line of `text` that begins at `start`."""
    match = _FORM.match(text, start)
    return cast(Form, match.lastgroup) if match else "other"


def names_exception(text: str, start: int) -> bool:
    """Whether the line that begins at `start` begins with the name of an exception."""
    return _EXCEPTION.match(text, start) is not None


def lift_of(text: str, start: int, end: int) -> float:
    """What the line says about its own importance: its level where it has one, otherwise its words."""
    end = min(end, start + LEVEL_CHARS)
    level = _LEVEL.search(text, start, end)
    if level and level.lastgroup:
        return _LEVEL_LIFTS[level[level.lastgroup].lower()]
    if letter := _KLOG_LINE.match(text, start):
        return _KLOG[letter[1]]
    if _TROUBLE.search(text, start, end):
        return ERROR_LIFT
    return WARNING_LIFT if _UNEASE.search(text, start, end) else 0.0
