"""The zoo: what is listed, and that held-out data never overlaps training data."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness import tasks, zoo
from harness.contracts.task import Row
from harness.matrix.source import parse
from harness.sources import fetch
from harness.tasks.token_classification.score import spans
from harness.zoo.datasets import languages, named_entities

TRAIN, EVALUATE = "train", "evaluate"


@pytest.fixture(scope="module")
def sentences() -> dict[str, list[Row]]:
    return {split: named_entities.rows(split, {}) for split in (TRAIN, EVALUATE)}


def surfaces(rows: list[Row]) -> set[str]:
    return {" ".join(row["tokens"][a:b]).casefold() for row in rows for _, a, b in spans(row["tags"])}


def contexts(rows: list[Row]) -> set[str]:
    """Sentences with every entity reduced to its type."""
    kept = (
        [
            tag[2:] if tag[0] == "B" else word
            for word, tag in zip(row["tokens"], row["tags"], strict=True)
            if tag[0] != "I"
        ]
        for row in rows
    )
    return {" ".join(words).casefold() for words in kept}


@pytest.mark.parametrize("name", zoo.models())
def test_a_model_trains_on_a_data_set_of_its_own_task(name: str) -> None:
    model = zoo.model(name)
    assert model.TASK in tasks.names()
    assert zoo.dataset(model.DATASET).TASK == model.TASK


@pytest.mark.parametrize("entry", [*map(zoo.model, zoo.models()), *map(zoo.dataset, zoo.datasets())])
def test_every_source_is_pinned_by_a_hash(entry: zoo.ZooModel | zoo.Dataset) -> None:
    for source in entry.SOURCES.values():
        assert len(bytes.fromhex(source.sha256)) == 32
        assert "==" in source.url


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="lee-news"):
        zoo.dataset("wikitext")


def test_names_can_be_listed_after_entries_were_read() -> None:
    code = (
        "from harness import zoo; zoo.dataset('digits'); zoo.model('digits-cnn');"
        "assert 'digits' in zoo.datasets() and 'digits-cnn' in zoo.models()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_reading_the_zoos_constants_imports_nothing_heavy() -> None:
    code = (
        "import sys; from harness import zoo; [*map(zoo.model, zoo.models()), *map(zoo.dataset, zoo.datasets())];"
        "assert not {'torch', 'transformers', 'sklearn', 'faker'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_digits_are_split_without_overlap() -> None:
    splits = {split: zoo.dataset("digits").rows(split, {}) for split in (TRAIN, EVALUATE)}
    images = {split: {row["image"].tobytes() for row in rows} for split, rows in splits.items()}
    assert (len(splits[TRAIN]), len(splits[EVALUATE])) == (1437, 360)
    assert not images[TRAIN] & images[EVALUATE]


def test_digits_are_split_evenly_by_class() -> None:
    labels = [row["label"] for row in zoo.dataset("digits").rows(EVALUATE, {})]
    assert all(34 <= labels.count(digit) <= 38 for digit in range(10))


def test_entity_sentences_share_no_surface_form(sentences: dict[str, list[Row]]) -> None:
    assert not surfaces(sentences[TRAIN]) & surfaces(sentences[EVALUATE])


def test_entity_sentences_share_no_word_of_a_name(sentences: dict[str, list[Row]]) -> None:
    generic = {word.casefold() for word in named_entities.GENERIC}
    words = {
        split: {word for name in surfaces(rows) for word in named_entities.significant(name)} - generic
        for split, rows in sentences.items()
    }
    assert not words[TRAIN] & words[EVALUATE]


def test_entity_sentences_share_no_template(sentences: dict[str, list[Row]]) -> None:
    assert not set(named_entities.TEMPLATES[TRAIN]) & set(named_entities.TEMPLATES[EVALUATE])
    assert not contexts(sentences[TRAIN]) & contexts(sentences[EVALUATE])


def test_entity_sentences_are_well_tagged(sentences: dict[str, list[Row]]) -> None:
    assert (len(sentences[TRAIN]), len(sentences[EVALUATE])) == (3000, 400)
    for row in sentences[TRAIN] + sentences[EVALUATE]:
        assert len(row["tokens"]) == len(row["tags"])
        for before, tag in zip(["O", *row["tags"]], row["tags"], strict=False):
            assert tag[0] != "I" or before[2:] == tag[2:]


def test_entity_sentences_are_the_same_in_every_process() -> None:
    code = "from harness.zoo.datasets.named_entities import rows; print(rows('train', {}), rows('evaluate', {}))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


PO = """msgid ""
msgstr "Language: x\\n"

#: views.py
msgid "Enter a <b>valid</b> value of %(name)s."
msgstr ""
"{} einen g\\"ültigen\\" "
"Wert&nbsp;ein.\\n"

#, fuzzy
msgid "This is an uncertain message"
msgstr "Das ist eine unsichere Nachricht"

msgid "%d of many messages"
msgid_plural "%d of many messages"
msgstr[0] "eine von vielen Nachrichten"
"""


def test_a_catalog_of_messages_is_read_as_prose() -> None:
    ((message, translation),) = languages.entries(PO)
    assert languages.prose(message) == "Enter a valid value of ."
    assert languages.prose(translation.format("Geben Sie")) == 'Geben Sie einen g"ültigen" Wert ein.'


def messages(folder: Path, language: str, translations: Mapping[str, str]) -> None:
    file = folder / language / "LC_MESSAGES" / "django.po"
    file.parent.mkdir(parents=True)
    file.write_text("\n\n".join(f'msgid "{message}"\nmsgstr "{text}"' for message, text in translations.items()))


def test_languages_are_told_apart_by_texts_of_their_own(tmp_path: Path) -> None:
    english = {f"message number {number}": "" for number in range(90)}
    messages(tmp_path, "en", english)
    messages(tmp_path, "de", {message: f"Nachricht mit Nummer {number}" for number, message in enumerate(english)})
    messages(tmp_path, "sv", dict.fromkeys(english, "ett och samma meddelande"))  # once to train on, and held out never
    messages(tmp_path, "nl", {message: message for message in english})  # not translated: neither of the two
    rows = {split: zoo.dataset("languages").rows(split, {"core": tmp_path}) for split in (TRAIN, EVALUATE)}
    texts = {split: [row["text"] for row in found] for split, found in rows.items()}
    counts = Counter(row["label"] for found in rows.values() for row in found)
    assert counts == {"de": 90, "sv": 1}
    assert not set(texts[TRAIN]) & set(texts[EVALUATE])


@pytest.mark.network
def test_texts_of_the_languages_never_overlap(tmp_path: Path) -> None:
    dataset = zoo.dataset("languages")
    folders = {}
    for name, pinned in dataset.SOURCES.items():
        folders[name], cache = tmp_path / name, tmp_path / "cache"
        fetch(parse(pinned.url), folders[name], sha256=pinned.sha256, base=tmp_path, cache=cache, say=lambda _: None)
    rows = {split: dataset.rows(split, folders) for split in (TRAIN, EVALUATE)}
    texts = {split: {row["text"].casefold() for row in found} for split, found in rows.items()}
    assert not texts[TRAIN] & texts[EVALUATE]
    assert Counter(row["label"] for row in rows[EVALUATE]) == dict.fromkeys(languages.LANGUAGES, 40)
    assert Counter(row["label"] for row in rows[TRAIN]) == dict.fromkeys(languages.LANGUAGES, 220)


def test_news_stories_are_read_once_each_in_latin_1(tmp_path: Path) -> None:
    (tmp_path / "lee.cor").write_bytes(b"a \xa33,000 fine\n\nanother\na \xa33,000 fine\n")
    rows = zoo.dataset("lee-news").rows(EVALUATE, {EVALUATE: tmp_path})
    assert rows == [{"text": "a £3,000 fine"}, {"text": "another"}]


@pytest.mark.network
def test_news_stories_share_no_run_of_eight_words(tmp_path: Path) -> None:
    dataset = zoo.dataset("lee-news")
    runs: dict[str, set[tuple[str, ...]]] = {}
    for split, source in dataset.SOURCES.items():
        folder, cache = tmp_path / split, tmp_path / "cache"
        fetch(parse(source.url), folder, sha256=source.sha256, base=tmp_path, cache=cache, say=lambda _: None)
        stories = [row["text"].casefold().split() for row in dataset.rows(split, {split: folder})]
        runs[split] = {tuple(story[i : i + 8]) for story in stories for i in range(len(story) - 7)}
    assert min(map(len, runs.values())) > 3000
    assert not runs[TRAIN] & runs[EVALUATE]
