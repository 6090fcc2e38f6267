"""Calls to `generate`, by name: faulty ones with the code expected of them, and sound ones.

FAULTY maps a name to (code, make), SOUND to make; `make()` returns a Call. Each module here
registers those of its subject. The models are tiny and random; the templates are published formats,
the tokenizers one small one of each kind.
"""

from importlib import import_module
from pkgutil import iter_modules

from tests.doctor.corpus.calls import FAULTY, SOUND

for _module in iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)

__all__ = ["FAULTY", "SOUND"]
