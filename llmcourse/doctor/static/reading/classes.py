"""Logits processors and stopping criteria that somebody wrote, as `generate` calls them."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from llmcourse.doctor.static.reading.source import Source, last_name

_PROCESSOR = re.compile(r"Logits(Processor|Warper)$")
_CRITERION = re.compile(r"StoppingCriteria$")


@dataclass(frozen=True, eq=False)
class Written:
    """A class of the source that `generate` calls at each step."""

    node: ast.ClassDef
    call: ast.FunctionDef  # its __call__

    @property
    def is_processor(self) -> bool:
        """Whether it changes scores, and does not decide about the end."""
        return any(_PROCESSOR.search(last_name(base)) for base in self.node.bases)

    @property
    def ids(self) -> str:
        """What its __call__ names the ids."""
        arguments = self.call.args.args
        return arguments[1].arg if len(arguments) > 1 else ""

    @property
    def scores(self) -> str:
        """What its __call__ names the scores."""
        arguments = self.call.args.args
        return arguments[2].arg if len(arguments) > 2 else ""


def written(source: Source) -> Iterator[Written]:
    """Yield the processors and criteria that a source defines for `generate`."""
    if of_another_library(source):
        return
    for node in list(source.scopes):
        if not isinstance(node, ast.ClassDef):
            continue
        kinds = [last_name(base) for base in node.bases]
        known = any(_PROCESSOR.search(kind) or _CRITERION.search(kind) for kind in kinds)
        for method in node.body if known else ():
            if isinstance(method, ast.FunctionDef) and method.name == "__call__":
                yield Written(node, method)


def of_another_library(source: Source) -> bool:
    """Tell whether processors or criteria come from elsewhere than transformers.

    Other engines call them in their own way, with other arguments.
    """
    for node in list(source.scopes):
        if isinstance(node, ast.ClassDef) and node.name in ("LogitsProcessor", "StoppingCriteria"):
            return True
        if not isinstance(node, ast.ImportFrom) or (node.module or "").startswith("transformers"):
            continue
        if any(one.name in ("LogitsProcessor", "StoppingCriteria") for one in node.names):
            return True
    return False
