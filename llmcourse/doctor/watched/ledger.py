"""What a watch found at lines, and what it failed at; a journal gets both as they come.

What is found in a call to `generate` belongs to the call: `ended` has it. Here is what was found
elsewhere: in a loop written by hand, in what became of a text, in a tokenizer's call that failed.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from llmcourse.doctor import listen
from llmcourse.doctor.call_site import Site
from llmcourse.doctor.case import Case
from llmcourse.doctor.diagnose import check
from llmcourse.doctor.finding import Finding
from llmcourse.doctor.journal import Journal
from llmcourse.doctor.pitfalls import Needs
from llmcourse.doctor.quiet import on_the_cpu
from llmcourse.show import in_words


class Ledger:
    """Findings by line and by code, and sentences about what could not be looked at."""

    def __init__(self, journal: Journal | None = None) -> None:
        """journal: where all is written down for another process; None: nowhere."""
        self.journal = journal
        self.failures: list[str] = []
        self._at_lines: dict[Site, dict[str, Finding]] = {}

    @property
    def findings(self) -> list[Finding]:
        """All that was found outside of calls to `generate`, line by line."""
        lines = list(self._at_lines.values())
        return [found for at_line in lines for found in at_line.values()]

    def at(self, site: Site) -> dict[str, Finding]:
        """Return what was found at a line so far, by code: not a copy."""
        return self._at_lines.setdefault(site, {})

    def keep(self, site: Site, finding: Finding) -> None:
        """Keep what was found at a line; it stands in place of another of its code."""
        found = placed(finding, site)
        self.at(site)[finding.code] = found
        if self.journal is not None:
            self.journal.loop(found.as_dict())

    def found(
        self, what: str, site: Site, case: Case, only: Iterable[Needs] = Needs
    ) -> tuple[Finding, ...]:
        """Return what is found in a case; a check that fails is named, and takes no other along.

        what: what is looked at, in words; site: where it stands.
        """
        return check(
            case, only, lambda one, error: self.fail(f"{what} for {one.code}", site, error)
        )

    def carefully(self, what: str, site: Site, look: Callable, *given) -> Any:
        """Return `look(*given)`; None, and a sentence in `failures`, if it fails."""
        try:
            with listen.unheard(), on_the_cpu():
                return look(*given)
        except Exception as error:
            self.fail(what, site, error)
            return None

    def found_carefully(
        self, what: str, site: Site, case: Case, *facts: Needs
    ) -> tuple[Finding, ...] | None:
        """Return what some of a case's facts show; None, and a sentence, if it fails."""
        return self.carefully(what, site, self.found, what, site, case, facts)

    def fail(self, what: str, site: Site, error: Exception) -> None:
        """Note that something could not be looked at, once."""
        sentence = f"{what} at {site.file}:{site.line}: {in_words(error)}"
        if sentence in self.failures:
            return
        self.failures.append(sentence)
        if self.journal is not None:
            self.journal.failure(sentence)


def placed(finding: Finding, site: Site) -> Finding:
    """Return the finding with the line that it belongs to, where it does not say one itself."""
    if finding.line is not None:
        return finding
    return replace(finding, file=site.file, line=site.line)
