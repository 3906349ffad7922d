"""Sentences with persons, organisations and places, made from the names of Faker in twelve languages of Latin script.

The two splits share neither a template nor a word of any name: a word's hash decides which split may use it. The task
is kept from being trivial: surnames are also companies, cities are also clubs, some contexts fit both a person and an
organisation, and a fifth of the sentences is in lower case. The names follow the version of Faker, which the
toolchain's lock file pins.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.contracts.task import Row
from harness.zoo import PinnedFile

TASK = "token-classification"
SOURCES: dict[str, PinnedFile] = {}

_SENTENCES = {"train": 3000, "evaluate": 400}
_SEEDS = {"train": 1, "evaluate": 2}
# Not it_IT: its cities come from a set, whose order changes with PYTHONHASHSEED, so that seeding does not fix them.
_LOCALES = (
    "en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "hu_HU", "pl_PL", "nl_NL", "fi_FI", "sv_SE", "cs_CZ", "da_DK",
)  # fmt: skip
_DRAWS = 300  # of each kind of name, per locale
_LOWER_CASE = 0.2
_COMPOUND = 0.35  # how often two templates are joined


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: Words of names that say nothing by themselves: both splits use them.
_PARTICLES = _words(
    "and bad con da de degli dei del della den der di du el i in islands jr la las le les los lower mount mrs na nad "
    "new north of port republic saint san sankt santa st south east west sur the united upper van von y"
)

#: ``{PER}``, ``{ORG}``, ``{LOC}`` are entities, ``{PER|ORG}`` is either, other slots are plain words.
TEMPLATES = {
    "train": (
        "{PER} joined {ORG} in {month} as head of {noun} .",
        "{PER} was born in {LOC} and grew up near {LOC} .",
        "{PER|ORG} did not reply to a request for comment .",
        "{PER|ORG} lost the {noun} case in {LOC} on {day} .",
        "{ORG} will close its {noun} plant in {LOC} by {month} .",
        "{ORG} reported a loss of {number} million , more than {ORG} had feared .",
        "In {LOC} , {number} people signed the petition against {PER|ORG} .",
        "The {nation} {role} {PER} said that {ORG} had broken the agreement .",
        "Shares of {ORG} fell {number} per cent after {PER} resigned .",
        "{PER} and {PER} opened a small shop in {LOC} .",
        "Yesterday {PER|ORG} bought a warehouse outside {LOC} .",
        "{ORG} beat {ORG} in {LOC} on {day} , {number} to {number} .",
        "Flights from {LOC} to {LOC} were cancelled because of the storm .",
        "Dear {PER} , thank you for your order of {number} boxes .",
        "The mayor of {LOC} , {PER} , praised the {noun} of {ORG} .",
        "{PER} scored twice for {ORG} in the second half .",
        "According to {PER|ORG} , the {noun} will be ready in {month} .",
        "Nobody at {ORG} had heard of {PER} before the trial .",
        "{LOC} and {LOC} signed a treaty on {noun} in {month} .",
        "Police in {LOC} are looking for {PER} , {number} .",
        "The bridge at {LOC} was built by {ORG} in {number} months .",
        "He asked {PER|ORG} for money , but {PER|ORG} refused .",
        "I spoke to {PER} from {ORG} about the {noun} on {day} .",
        "{PER} , a {role} from {LOC} , won the first prize .",
        "The old {noun} in {LOC} belongs to {PER|ORG} .",
        "{ORG} hired {number} people in {LOC} , among them {PER} .",
        "Last {month} the {nation} team trained in {LOC} .",
        "The {role} of {ORG} is a {nation} citizen .",
        "A train from {LOC} was late , so {PER} missed the meeting .",
        "{PER} accused {PER|ORG} of copying the {noun} .",
        "Fans of {ORG} travelled to {LOC} in {number} buses .",
        "Please send the invoice to {ORG} , {number} {LOC} .",
        "Rain is expected in {LOC} , {LOC} and {LOC} until {day} .",
        "The letter to {PER|ORG} was never sent .",
        "In {month} the {role} met {PER} at the {noun} fair .",
        "The court ordered {ORG} to pay {PER} {number} thousand .",
        "Two sons of {PER} work for {ORG} today .",
        "Farmers around {LOC} sell their milk to {ORG} .",
        "With {PER|ORG} gone , the {noun} was left unfinished .",
        "Prices rose in {month} , and {role} after {role} complained .",
        "The {nation} {noun} was shown in {LOC} by {PER|ORG} .",
        "{PER} returned to {LOC} after {number} years .",
        "Critics say {PER|ORG} cares little about {LOC} .",
        "A spokesman for {ORG} said {PER} was on leave .",
        "{LOC} has {number} thousand inhabitants and one {noun} .",
        "The report by {ORG} names neither {PER} nor {PER} .",
        "Storms hit {LOC} in {month} and {LOC} a week later .",
        "{PER} never liked {LOC} , but {PER} loved it .",
        "Few {nation} visitors know {LOC} .",
        "{ORG} left {LOC} after {number} years .",
        "Who told {PER} about the {noun} ?",
        "The {role} called {PER} on {day} .",
        "This {noun} was a gift from {PER} to {LOC} .",
        "A {role} called {PER} took over {ORG} in {month} .",
        "{PER} went to school in {LOC} , then worked at {ORG} for {number} years .",
        "The {noun} was painted by {PER} in {number} days .",
        "{ORG} sued {ORG} over a {noun} .",
        "The merger of {ORG} and {ORG} failed .",
        "The {nation} {role} left {LOC} with {PER} .",
        "Smoke rose over {LOC} when a store of {ORG} burned down .",
        "{ORG} won away against {ORG} in {month} .",
        "We met {PER} and a {role} near {LOC} .",
        "Tell {PER} that the {noun} of {ORG} is for sale .",
        "From {LOC} the river flows to {LOC} .",
        "The town of {LOC} owes {number} million to {ORG} .",
        "People in {LOC} call {PER} a hero .",
        "Before the war {LOC} had a {noun} and {number} shops .",
        "{PER} sold the {noun} to {ORG} .",
        "A {noun} in the centre of {LOC} burned for hours .",
        "{ORG} has a contract with {PER} until {month} .",
    ),
    "evaluate": (
        "After talks with {ORG} , {PER} moved the {noun} to {LOC} .",
        "{ORG} has promised a new {noun} before {month} .",
        "Most workers of {ORG} live in {LOC} or in {LOC} .",
        "Why did {PER} leave {ORG} so early ?",
        "The {role} thanked {PER} and the people of {LOC} .",
        "{ORG} and {ORG} will merge in {month} .",
        "There is a {noun} by {PER} in the town hall of {LOC} .",
        "We visited {LOC} with {PER} on {day} .",
        "A {nation} {role} named {PER} now leads {ORG} .",
        "Without help from {PER} the {noun} would have failed .",
        "Between {LOC} and {LOC} the road is closed .",
        "{PER} signed a contract for {number} years with {ORG} .",
        "It was {PER|ORG} who paid for the {noun} .",
        "Heavy snow stopped all traffic in {LOC} for {number} hours .",
        "The {noun} of {PER} was sold to {ORG} for {number} million .",
        "{ORG} drew with {ORG} on {day} .",
        "Neighbours in {LOC} described {PER} as a quiet {role} .",
        "On {day} {PER|ORG} denied all charges .",
        "Many {nation} tourists prefer {LOC} in {month} .",
        "Tickets are sold by {ORG} , not by {PER} .",
        "{PER} studied in {LOC} before working for {ORG} .",
        "Every {role} knows that {PER|ORG} is {nation} .",
        "The warehouse of {ORG} near {LOC} burned for {number} days .",
    ),
}
_JOINTS = {"train": (", and", ", but", ";", "while"), "evaluate": (", so", ", yet", "because", ";")}
_FILLERS = {
    "month": _words("January February March April May June July August September October November December"),
    "day": _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "nation": _words("German French Italian Spanish Polish Dutch Danish Swedish Czech Finnish British American"),
    "role": _words("teacher lawyer painter engineer minister doctor trainer director farmer singer captain editor"),
    "noun": _words("film software bridge museum engine garden library treaty exhibition harbour factory novel budget"),
}
_COMPANY = _words("Ltd Inc Group Bank Motors Foods Press Foundation Capital Records Brothers AG GmbH Oy AB BV")
_CLUB = _words("United City Rovers University Orchestra Tribune Police")
_PLACE = _words("Street Square Bridge Valley Island Road Hills")
#: What names are made up with: words that both splits use.
GENERIC = (*_COMPANY, *_CLUB, *_PLACE, "Lake")


@dataclass(frozen=True)
class _Names:
    """The names of one locale that a split may use."""

    first: tuple[str, ...]
    last: tuple[str, ...]
    city: tuple[str, ...]
    country: tuple[str, ...]


def rows(split: str, sources: Mapping[str, Path]) -> list[Row]:
    """Sentences in words and IOB2 tags: 3,000 to train on, 400 held out; the same every time."""
    names = _names(split)
    dice = random.Random(_SEEDS[split])
    return [_sentence(split, names, dice) for _ in range(_SENTENCES[split])]


def owner(word: str) -> str:
    """The split that may use a word in a name: a fifth of all words is held out."""
    return "evaluate" if hashlib.sha256(word.casefold().encode()).digest()[0] % 5 == 0 else "train"


def significant(name: str) -> list[str]:
    """The words of a name that decide whose it is."""
    return [word for word in re.split(r"[\s\-'’.,()&]+", name.casefold()) if len(word) > 1 and word not in _PARTICLES]


def _names(split: str) -> list[_Names]:
    from faker import Faker

    pools = []
    countries = Faker("en_US")
    for at, locale in enumerate(_LOCALES):
        faker = Faker(locale)
        faker.seed_instance(at)
        countries.seed_instance(at)
        draws = (faker.first_name, faker.last_name, faker.city, countries.country)
        drawn = [sorted({draw() for _ in range(_DRAWS)}) for draw in draws]
        pools.append(_Names(*(tuple(name for name in kind if _allowed(name, split)) for kind in drawn)))
    return pools


def _allowed(name: str, split: str) -> bool:
    words = significant(name)
    return bool(words) and all(owner(word) == split for word in words)


def _sentence(split: str, names: list[_Names], dice: random.Random) -> Row:
    template = dice.choice(TEMPLATES[split])
    if dice.random() < _COMPOUND:
        template = f"{template[:-2]} {dice.choice(_JOINTS[split])} {dice.choice(TEMPLATES[split])}"
    tokens: list[str] = []
    tags: list[str] = []
    for piece in template.split():
        kind = dice.choice(piece[1:-1].split("|")) if piece.startswith("{") else ""
        if kind in _ENTITIES:
            words = _ENTITIES[kind](dice.choice(names), dice).split()
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(words) - 1)]
        else:
            words = [_plain(kind, dice) if kind else piece]
            tags.append("O")
        tokens += words
    if dice.random() < _LOWER_CASE:
        tokens = [token.lower() for token in tokens]
    return {"tokens": tokens, "tags": tags}


def _plain(kind: str, dice: random.Random) -> str:
    return str(dice.randint(2, 90)) if kind == "number" else dice.choice(_FILLERS[kind])


def _person(names: _Names, dice: random.Random) -> str:
    first, last = dice.choice(names.first), dice.choice(names.last)
    forms = (f"{first} {last}", last, first, f"{first[0]}. {last}")
    return dice.choices(forms, (60, 15, 10, 15))[0]


def _organisation(names: _Names, dice: random.Random) -> str:
    last, other, city = dice.choice(names.last), dice.choice(names.last), dice.choice(names.city)
    company, club = dice.choice(_COMPANY), dice.choice(_CLUB)
    forms = (f"{last} {company}", f"{last} & {other}", last, f"{city} {club}", city)
    return dice.choices(forms, (47, 17, 12, 18, 6))[0]


def _place(names: _Names, dice: random.Random) -> str:
    last, city, country = dice.choice(names.last), dice.choice(names.city), dice.choice(names.country)
    forms = (city, country, f"{last} {dice.choice(_PLACE)}", f"Lake {last}")
    return dice.choices(forms, (65, 15, 12, 8))[0]


_ENTITIES = {"PER": _person, "ORG": _organisation, "LOC": _place}
