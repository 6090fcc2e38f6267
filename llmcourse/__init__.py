"""Open `model.generate` up: a visible, token-by-token loop that gives the same tokens.

    >>> import llmcourse
    >>> model, tokenizer = llmcourse.load()
    >>> llmcourse.race(model, tokenizer, "A list of colors: red, blue")

Importing this package is cheap: the first name that needs torch and transformers imports them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME_OF = {
    "load": "models",
    "Step": "loop",
    "Round": "assist",
    "steps": "generation",
    "generate": "generation",
    "glass_box": "generation",
    "Ingredients": "prepared",
    "ingredients": "prepared",
    "Race": "side_by_side",
    "race": "side_by_side",
    "stream_text": "streaming",
    "BeamStep": "beam",
    "RuleReport": "explain",
    "explain_rules": "explain",
    "Diagnosis": "doctor",
    "diagnose": "doctor",
    "watch": "watching",
    "Finding": "pitfalls.finding",
}

__all__ = [
    "BeamStep",
    "Diagnosis",
    "Finding",
    "Ingredients",
    "Race",
    "RuleReport",
    "Round",
    "Step",
    "__version__",
    "diagnose",
    "explain_rules",
    "generate",
    "glass_box",
    "ingredients",
    "load",
    "race",
    "steps",
    "stream_text",
    "watch",
]

if TYPE_CHECKING:
    from llmcourse.assist import Round
    from llmcourse.beam import BeamStep
    from llmcourse.doctor import Diagnosis, diagnose
    from llmcourse.explain import RuleReport, explain_rules
    from llmcourse.generation import generate, glass_box, steps
    from llmcourse.loop import Step
    from llmcourse.models import load
    from llmcourse.pitfalls.finding import Finding
    from llmcourse.prepared import Ingredients, ingredients
    from llmcourse.side_by_side import Race, race
    from llmcourse.streaming import stream_text
    from llmcourse.watching import watch


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` when it is first asked for (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'llmcourse' has no attribute {name!r}")
    value = getattr(import_module(f"llmcourse.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
