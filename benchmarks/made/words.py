"""Words, names and values that generated texts are made of. The same generator of random numbers gives the same ones."""

from __future__ import annotations

from random import Random

_NOUNS = "harbour sawmill lantern orchard ferry granary beacon quarry meadow viaduct turbine archive kiln depot causeway".split()
_VERBS = "repaired measured closed opened painted inspected moved sold counted rebuilt".split()
_WHEN = "before winter,in the spring,after the flood,on Monday,within a week,for the second time,without a permit".split(",")
_LINKS = "because although while so that until".split(" ")


def noun(random: Random) -> str:
    """One word in lower case."""
    return random.choice(_NOUNS)


def phrase(random: Random, least: int = 2, most: int = 6) -> str:
    """A few words in lower case."""
    return " ".join(random.choice(_NOUNS) for _ in range(random.randint(least, most)))


def clause(random: Random) -> str:
    """Subject, verb and time, such as `the ferry was sold before winter`."""
    return f"the {noun(random)} was {random.choice(_VERBS)} {random.choice(_WHEN)}"


def sentence(random: Random) -> str:
    """One or two clauses, with a number in one of three."""
    text = clause(random)
    if random.random() < 0.5:
        text += f" {random.choice(_LINKS)} {clause(random)}"
    if random.random() < 0.3:
        text += f", at {random.randint(2, 9_999)} crowns"
    return text[0].upper() + text[1:] + "."


def paragraph(random: Random) -> str:
    """Two to seven sentences on one line."""
    return " ".join(sentence(random) for _ in range(random.randint(2, 7)))


def cjk_sentence(random: Random) -> str:
    """A sentence of Chinese words without spaces."""
    words = ("港口", "灯塔", "果园", "渡船", "粮仓", "采石场", "草地", "高架桥", "档案馆", "锯木厂")
    return random.choice(words) + "在" + random.choice(words) + "修好以前" + random.choice(("关闭了", "出售了", "检查过")) + "。"


def record(random: Random, index: int) -> dict[str, object]:
    """What an interface returns for one thing: scalars, a list, an object inside."""
    return {
        "id": f"{noun(random)}-{index:05d}",
        "name": phrase(random, 1, 3),
        "price": round(random.uniform(1, 900), 2),
        "count": random.randint(0, 9_999),
        "is_open": random.random() < 0.5,
        "closed_at": None if random.random() < 0.5 else f"2026-0{random.randint(1, 9)}-1{random.randint(0, 9)}",
        "note": sentence(random),
        "tags": [noun(random) for _ in range(random.randint(0, 5))],
        "owner": {"name": noun(random).title(), "phones": [f"+41 {random.randint(100, 999)}" for _ in range(random.randint(0, 3))]},
    }
