"""Open `model.generate` up: a visible, token-by-token loop that gives the same tokens.

    >>> import llmcourse
    >>> model, tokenizer = llmcourse.load()
    >>> llmcourse.race(model, tokenizer, "A list of colors: red, blue")

Importing this package is cheap: the first name that needs torch and transformers imports them.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# On some processors bitsandbytes advises, in red, to install kernels that nothing here needs, when
# it is imported; and `transformers.set_seed` imports it where peft is installed, as it is in Colab.
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: "kernels-community" not in record.getMessage()
)

_HOME_OF = {
    "load": "models.load",
    "Step": "decoding.loop",
    "BeamStep": "decoding.beam",
    "Round": "decoding.speculative",
    "steps": "decoding.generate",
    "generate": "decoding.generate",
    "glass_box": "decoding.generate",
    "Ingredients": "decoding.ingredients",
    "ingredients": "decoding.ingredients",
    "RuleReport": "decoding.explain_rules",
    "explain_rules": "decoding.explain_rules",
    "Race": "decoding.race",
    "race": "decoding.race",
    "stream_text": "decoding.stream_text",
    "Diagnosis": "doctor.diagnose",
    "diagnose": "doctor.diagnose",
    "Finding": "doctor.finding",
    "watch": "doctor.watch",
    # What IPython asks for: `%load_ext llmcourse` gives a notebook `%%doctor`.
    "load_ipython_extension": "doctor.magic",
    "unload_ipython_extension": "doctor.magic",
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
    from llmcourse.decoding.beam import BeamStep
    from llmcourse.decoding.explain_rules import RuleReport, explain_rules
    from llmcourse.decoding.generate import generate, glass_box, steps
    from llmcourse.decoding.ingredients import Ingredients, ingredients
    from llmcourse.decoding.loop import Step
    from llmcourse.decoding.race import Race, race
    from llmcourse.decoding.speculative import Round
    from llmcourse.decoding.stream_text import stream_text
    from llmcourse.doctor.diagnose import Diagnosis, diagnose
    from llmcourse.doctor.finding import Finding
    from llmcourse.doctor.watch import watch
    from llmcourse.models.load import load


def __getattr__(name: str) -> Any:
    """Import the module that defines `name` when it is first asked for (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'llmcourse' has no attribute {name!r}")
    value = getattr(import_module(f"llmcourse.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
