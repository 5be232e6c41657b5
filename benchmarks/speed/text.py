"""Text to measure on that every Python installation has: the language reference's topics, then sources of the standard library."""

from __future__ import annotations

import sysconfig
from functools import cache
from pathlib import Path
from pydoc_data import topics

SOURCES = ("argparse.py", "ast.py", "datetime.py", "dataclasses.py", "doctest.py", "inspect.py", "pickle.py", "subprocess.py", "typing.py")


@cache
def stdlib_text(chars: int) -> str:
    """`chars` characters of prose and code in turn, repeated where the sources end. The bytes depend on the Python version."""
    library = Path(sysconfig.get_path("stdlib"))
    prose = "\n\n".join(topics.topics[name] for name in sorted(topics.topics))
    code = "\n\n".join((library / name).read_text(encoding="utf-8") for name in SOURCES if (library / name).is_file())
    size = 4_000
    pieces = [piece for at in range(0, max(len(prose), len(code)), size) for piece in (prose[at : at + size], code[at : at + size])]
    text = "".join(pieces)
    return (text * (chars // len(text) + 1))[:chars]


def questions() -> list[str]:
    """Questions of about ten tokens, each different."""
    return [f"What does the language reference say about {name.replace('-', ' ')}?" for name in sorted(topics.topics)]
