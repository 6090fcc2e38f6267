"""What the codes of the doctor are about."""

from enum import StrEnum


class Subject(StrEnum):
    """What a pitfall is about, in the order of docs/pitfalls.md."""

    BATCHES = "Batches, masks, positions"
    LENGTH = "Length"
    CHOOSING = "Choosing tokens"
    PROMPTS = "Prompts and chat templates"
    READING = "Reading the output"
    ENDS = "The end of a text"
    MODEL = "Model and loading"
    CALL = "The call itself"
