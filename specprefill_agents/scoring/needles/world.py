"""Kinds `facts` and `two_facts`: short encyclopaedia articles about invented people, firms, towns and ships.

Articles of one context have the same shape and state the same relations, so a question's words occur in all of them;
what is asked for is said in other words than the question's, mostly with a pronoun for the subject. A question may
describe its subject instead of naming it; then the sentence that identifies the subject is needed too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from specprefill_agents.scoring.needles.example import Example, Piece, assemble, phrased, rough_tokens

Make = Callable[[random.Random], str]

_FIRST = """Alma Bernard Chidi Dorothea Emil Farida Gustav Hanne Ivo Jelena Kaito Leonor Mirza Nadia Oskar Petra Quentin Rosa Stefan
Tamsin Ulrich Vera Wendel Ximena Yusuf Zdenka Anselm Brigid Casimir Delia""".split()
_LAST = """Achterberg Bellweather Castellane Drummond Eskelin Farrow Gundersen Halloran Ilves Jankovic Kessler Lindqvist Marchetti
Nakagawa Oyelaran Pettersson Quarles Rosenthal Sandoval Thackeray Ulvaeus Verhoeven Whitlock Yamazaki Zielinski""".split()
_STEM = "Alder Bran Cors Dun Ember Fal Grey Hollow Iron Karst Lang Mar Nor Ost Pell Rook Sil Thorn Under Vel Wester".split()
_TAIL = "by dale field ford gate ham haven holm mouth port stead ton wick worth".split()
_TRADES = """cartographer glassblower botanist violinist surveyor printer midwife astronomer boatbuilder locksmith translator
engraver geologist puppeteer beekeeper""".split()
_GOODS = """sewing machines|optical lenses|dried apricots|roof slates|pipe organs|mountain bicycles|surgical needles|tinned
sardines|weather balloons|copper kettles|chess clocks|fishing nets|insulated windows|hearing aids""".split("|")


def _place(rng: random.Random) -> str:
    return rng.choice(_STEM) + rng.choice(_TAIL)


def _person(rng: random.Random) -> str:
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"


def _year(rng: random.Random) -> str:
    return str(rng.randint(1790, 2015))


def _number(rng: random.Random) -> str:
    return f"{rng.randint(3, 940)},{rng.randint(100, 999)}"


def _trade(rng: random.Random) -> str:
    return rng.choice(_TRADES)


def _goods(rng: random.Random) -> str:
    return " ".join(rng.choice(_GOODS).split())


def _firm(rng: random.Random) -> str:
    return f"{rng.choice(_LAST)} & {rng.choice(('Sons', 'Daughters', 'Partners', 'Brothers', 'Company'))}"


def _ship(rng: random.Random) -> str:
    return f"{rng.choice(_STEM)} {rng.choice(('Star', 'Maiden', 'Petrel', 'Venture', 'Lantern', 'Spirit'))}"


@dataclass(frozen=True, slots=True)
class Relation:
    """One thing an article says: sentences with {v} for the value, and ways to ask for it with {n} for the subject.

    `describes` continues "the ... that" in a question that describes the subject by this relation; "" where it cannot.
    """

    value: Make
    says: tuple[str, ...]
    asks: tuple[str, ...]
    describes: str = ""


@dataclass(frozen=True, slots=True)
class Topic:
    """A class of subjects. `opening` introduces one by name {n}; `noun` stands for it in descriptions."""

    noun: str
    name: Make
    opening: tuple[str, ...]
    relations: tuple[Relation, ...]


_PEOPLE = Topic(
    "person",
    _person,
    ("{n} is remembered above all by those who lived nearby.", "Little was written about {n} until the letters were found."),
    (
        Relation(
            _place,
            ("The family kept a small house in {v}, and it was there that the only child came into the world.", "A native of {v}."),
            ("Where was {n} born?", "birthplace of {n}", "What town does {n} come from originally?"),
            "was born in {v}",
        ),
        Relation(
            _trade,
            ("For most of three decades the rent was paid by working as a {v}.", "Neighbours knew a patient and somewhat deaf {v}."),
            ("What did {n} do for a living?", "occupation of {n}", "Which profession did {n} have?"),
            "worked as a {v}",
        ),
        Relation(
            _year,
            ("A winter fever ended this life in {v}.", "The grave in the lower churchyard bears the year {v}."),
            ("When did {n} die?", "In which year did {n} pass away?"),
        ),
        Relation(
            _person,
            (
                "The wedding to {v} was a quiet one, with two witnesses and rain.",
                "{v}, who had come to repair the stove, stayed for forty years of marriage.",
            ),
            ("Who was {n} married to?", "name of the husband or wife of {n}", "Who was the spouse of {n}?"),
        ),
        Relation(
            _number,
            ("At the auction the collected drawings brought {v} crowns.", "A bequest of {v} crowns went to the school."),
            ("How much money came of what {n} left behind?", "What sum is connected with the estate of {n}?"),
        ),
        Relation(
            _firm,
            ("A first post was found at {v}, in the packing room.", "{v} took on the young apprentice in spring."),
            ("Which company gave {n} a job first?", "first employer of {n}"),
            "started out at {v}",
        ),
    ),
)
_FIRMS = Topic(
    "company",
    _firm,
    ("{n} is a family business in its fifth generation.", "The name of {n} still stands over the gate."),
    (
        Relation(
            _year,
            ("The doors opened in {v} with four employees and a borrowed press.", "It has been trading since {v}."),
            ("When was {n} founded?", "In what year did {n} start business?", "how old is {n} founding year"),
        ),
        Relation(
            _person,
            ("{v} put up the first capital, against the advice of the bank.", "It began in the kitchen of {v}."),
            ("Who established {n}?", "founder of {n}", "Whose idea was {n}?"),
        ),
        Relation(
            _place,
            ("Head office and archive share a brick building in {v}.", "Letters are still to be addressed to {v}, by the canal."),
            ("Where is {n} based?", "headquarters location of {n}", "In which city does {n} have its main seat?"),
            "is run from {v}",
        ),
        Relation(
            _goods,
            ("What leaves the works every Friday are {v}, packed in straw.", "Its reputation rests on {v}."),
            ("What does {n} make?", "products sold by {n}", "What is manufactured at {n}?"),
            "makes {v}",
        ),
        Relation(
            _number,
            ("Last year {v} people were on the payroll.", "The payroll has {v} names on it, down from more before the strike."),
            ("How many employees does {n} have?", "size of the workforce of {n}"),
        ),
        Relation(
            _trade,
            ("Since the merger it is led by a former {v}.", "The present head learned to be a {v} and says so gladly."),
            ("What was the chief executive of {n} trained as?", "earlier career of the boss of {n}"),
        ),
    ),
)
_TOWNS = Topic(
    "town",
    _place,
    ("{n} lies where the two valleys meet.", "Travellers know {n} for its station clock, which is always slow."),
    (
        Relation(
            _number,
            ("The last census counted {v} souls.", "Some {v} people call it home, fewer in winter."),
            ("How many inhabitants does {n} have?", "population of {n}", "How big is {n} in terms of residents?"),
            "has {v} inhabitants",
        ),
        Relation(
            _person,
            ("Since the spring election the chain of office is worn by {v}.", "{v} was voted into the town hall by eleven votes."),
            ("Who is the mayor of {n}?", "current head of the council in {n}"),
            "is governed by {v}",
        ),
        Relation(
            _goods,
            ("Trains leave the goods yard loaded with {v}.", "For a century people here have lived off {v}."),
            ("What is the main export of {n}?", "Which industry does {n} depend on?"),
            "lives off {v}",
        ),
        Relation(
            _year,
            ("The great fire of {v} spared only the mill.", "In {v} flames took everything east of the market."),
            ("When did {n} burn down?", "What year was the disaster in {n}?"),
        ),
        Relation(
            _place,
            ("A treaty of friendship was signed with {v} after the war.", "Every June a delegation from {v} arrives with a brass band."),
            ("What is the twin town of {n}?", "partner city of {n}"),
        ),
        Relation(
            _number,
            ("The ridge above it reaches {v} feet.", "From the square one climbs to {v} feet in an afternoon."),
            ("How high is the mountain near {n}?", "elevation of the summit over {n}"),
        ),
    ),
)
_SHIPS = Topic(
    "ship",
    _ship,
    ("The {n} was never a beautiful vessel.", "Of the {n} a bell and one oar survive."),
    (
        Relation(
            _year,
            ("She slid down the ways in {v} before a small crowd.", "The yard's ledger closes her account, paid in full, in {v}."),
            ("When was the {n} built?", "launch year of the {n}"),
        ),
        Relation(
            _person,
            ("{v} had the command on all but one voyage.", "On the bridge stood {v}, who disliked the sea."),
            ("Who was captain of the {n}?", "Which skipper sailed the {n}?"),
            "was commanded by {v}",
        ),
        Relation(
            _goods,
            ("Below deck there was little room for anything but {v}.", "The holds smelled of {v} for years."),
            ("What cargo did the {n} carry?", "What was transported on the {n}?"),
            "carried {v}",
        ),
        Relation(
            _place,
            ("A storm broke her on the rocks off {v}.", "Her ribs can be seen at low water near {v}."),
            ("Where did the {n} sink?", "location of the wreck of the {n}", "Where was the {n} lost?"),
            "went down near {v}",
        ),
        Relation(
            _number,
            ("The insurers paid {v} crowns without a word.", "A compensation of {v} crowns was agreed in court."),
            ("How much did the insurance of the {n} come to?", "payout for the loss of the {n}"),
        ),
        Relation(
            _firm,
            ("The shares were held by {v}.", "{v} had ordered her on credit and owned her to the end."),
            ("Who owned the {n}?", "owner of the {n}"),
            "belonged to {v}",
        ),
    ),
)
_TOPICS = (_PEOPLE, _FIRMS, _TOWNS, _SHIPS)

_ASIDES = (
    "Opinions about this differ, and the parish records are of little help.",
    "None of it seemed remarkable at the time.",
    "A second account, written much later, tells the story with more colour and fewer dates.",
    "Visitors who ask are usually shown the wrong photograph.",
    "The archive burned, so that only copies made by a schoolteacher remain.",
    "It is not known who paid for the journey, the house or the many letters.",
    "When the question of where, when and by whom came up in court, no witness remembered the year, the town or the name.",
    "Two historians who worked on the birth, marriage and death registers could not agree on the spelling.",
    "The company of friends that met there had neither a founder nor an owner, only a long table.",
    "The number of people who claim to have been present has grown every year.",
)

_BRIDGES = (
    ("The trade had been learned from {v}, by watching.", "the person who taught {n}"),
    ("All of it was left to {v}, a distant cousin.", "the heir of {n}"),
    ("For twenty years the household was shared with {v}.", "the housemate of {n}"),
)
"""Sentences that lead from one person's article to another's, and how a question refers to that other person."""


@dataclass(frozen=True, slots=True)
class _Article:
    name: str
    sentences: tuple[str, ...]
    """Opening first; sentence 1 + i states relation i of the topic."""
    values: tuple[str, ...]


def _article(rng: random.Random, topic: Topic, name: str) -> _Article:
    values = tuple(relation.value(rng) for relation in topic.relations)
    said = (rng.choice(relation.says).format(v=value) for relation, value in zip(topic.relations, values, strict=True))
    return _Article(name, (rng.choice(topic.opening).format(n=name), *said), values)


def _articles(rng: random.Random, topic: Topic, tokens: int) -> list[_Article]:
    made: dict[str, _Article] = {}
    while sum(rough_tokens(" ".join(article.sentences)) + 30 for article in made.values()) < tokens:
        name = topic.name(rng)
        made.setdefault(name, _article(rng, topic, name))
    return list(made.values())


def _written(rng: random.Random, number: int, article: _Article, needs: dict[int, list[int]], extra: str = "") -> Piece:
    """An article as a numbered document; `needs` are the questions that need sentence i of it. `extra` is sentence -1."""
    order = list(range(1, len(article.sentences)))
    rng.shuffle(order)
    numbered = [(0, article.sentences[0]), *((index, article.sentences[index]) for index in order)]
    numbered[2:2] = [(-1, extra)] if extra else []
    numbered.insert(rng.randint(1, len(numbered)), (-2, rng.choice(_ASIDES)))
    text = f"Document [{number}] (Title: {article.name}) "
    spans: list[tuple[int, tuple[int, int]]] = []
    for index, sentence in numbered:
        spans += [(question, (len(text), len(text) + len(sentence))) for question in needs.get(index, [])]
        text += sentence + " "
    return Piece(text.rstrip(), tuple(spans))


def _described(rng: random.Random, topic: Topic, article: _Article, asked: int) -> tuple[str, int]:
    """How a question describes a subject without its name, and by which relation."""
    usable = [index for index, relation in enumerate(topic.relations) if relation.describes and index != asked]
    by = rng.choice(usable)
    return f"the {topic.noun} that {topic.relations[by].describes.format(v=article.values[by])}", by


def facts(rng: random.Random, tokens: int, questions: int) -> Example:
    """One relation of one article, asked for by name or by description."""
    topic = rng.choice(_TOPICS)
    articles = _articles(rng, topic, tokens)
    asked: list[str] = []
    needs: dict[str, dict[int, list[int]]] = {}
    for number, article in enumerate(rng.sample(articles, min(questions, len(articles)))):
        index = rng.randrange(len(topic.relations))
        subject, sentences = article.name, [index]
        if rng.random() < 0.3:
            subject, by = _described(rng, topic, article, index)
            sentences = [index, by]
        asked.append(phrased(rng, rng.choice(topic.relations[index].asks).format(n=subject).replace("the the ", "the ")))
        needs[article.name] = {1 + sentence: [number] for sentence in sentences}
    return assemble("facts", [_written(rng, n, a, needs.get(a.name, {})) for n, a in enumerate(articles, 1)], asked)


def two_facts(rng: random.Random, tokens: int, questions: int) -> Example:
    """A relation of a person who is only named in another person's article: both sentences are needed."""
    articles = _articles(rng, _PEOPLE, tokens)
    chosen = rng.sample(articles, 2 * min(questions, len(articles) // 2))
    asked: list[str] = []
    needs: dict[str, dict[int, list[int]]] = {}
    extra: dict[str, str] = {}
    for number, (first, second) in enumerate(zip(chosen[::2], chosen[1::2], strict=True)):
        sentence, reference = rng.choice(_BRIDGES)
        index = rng.randrange(len(_PEOPLE.relations))
        asked.append(phrased(rng, rng.choice(_PEOPLE.relations[index].asks).format(n=reference.format(n=first.name))))
        extra[first.name] = sentence.format(v=second.name)
        needs[first.name] = {-1: [number]}
        needs[second.name] = {1 + index: [number]}
    for article in articles:
        extra.setdefault(article.name, rng.choice(_BRIDGES)[0].format(v=_person(rng)))
    pieces = [_written(rng, n, a, needs.get(a.name, {}), extra[a.name]) for n, a in enumerate(articles, 1)]
    return assemble("two_facts", pieces, asked)
