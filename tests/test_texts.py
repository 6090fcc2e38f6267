"""The texts by people that a model's are compared with: where they are from, how long they are."""

import json
from importlib.resources import files

BOOKS = json.loads(files("llmcourse").joinpath("texts/novels.json").read_text("utf-8"))


def test_the_novels_name_their_licence_and_their_source():
    assert "Public domain" in BOOKS["licence"]
    for book in BOOKS["books"]:
        assert book["source"].startswith("https://www.gutenberg.org/ebooks/")
        assert book["author"] and book["title"]
        assert book["year"] < 1900


def test_there_are_twenty_different_passages_long_enough_to_go_on_after_their_beginning():
    passages = [passage for book in BOOKS["books"] for passage in book["passages"]]
    assert len(set(passages)) == 20
    for passage in passages:
        assert len(passage.split()) >= 29
        assert passage == " ".join(passage.split())
