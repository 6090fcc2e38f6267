"""Make docs/pitfalls.md from the checks of the doctor and the words beside them.

    python tools/pitfalls_page.py

The words stand in llmcourse/doctor/pitfalls/, next to the check that they explain.
"""

import inspect
from collections.abc import Iterable
from pathlib import Path

from llmcourse.doctor.pitfalls import PITFALLS, Needs, Pitfall, Subject

PAGE = Path(__file__).resolve().parent.parent / "docs" / "pitfalls.md"

TOP = """\
<!-- Made by `python tools/pitfalls_page.py` from llmcourse/doctor/pitfalls/: change it there. -->

# Pitfalls

What goes wrong around `model.generate`, one section for each code that the doctor reports:

```python
llmcourse.diagnose(model, tokenizer, "A prompt", max_new_tokens=40)  # one call, before it is made

with llmcourse.watch(model, tokenizer) as watched:  # every call in a block
    ...
watched.findings
```

```sh
python -m llmcourse doctor your_script.py   # or a notebook; exit status 1 when there are errors
```

An **error** means that the output is wrong, a **warning** that the call is probably not what was \
meant, a **note** that something is worth knowing: a sound call may have notes. *Certain* means \
that the call itself shows it; *likely* means that it is inferred. Some codes have more than one \
severity: the finding says which one this call has, and why.
"""

# When a pitfall can be found that the call alone does not show.
_SEEN = {
    Needs.OUTPUT: "in the output, with `run=True` or `watch`",
    Needs.DECODINGS: "where the output is decoded, under `watch`",
    Needs.FORWARDS: "in a loop written by hand, under `watch`",
    Needs.LOADS: "where the model is loaded, under `watch`",
    Needs.TEMPLATE_CALLS: "where a template is rendered, under `watch`",
}


def page(pitfalls: Iterable[Pitfall] = PITFALLS.values()) -> str:
    """Return docs/pitfalls.md: the pitfalls by subject, each with its section."""
    pitfalls = list(pitfalls)
    by_subject = {
        subject: [known for known in pitfalls if known.subject == subject] for subject in Subject
    }
    rows = [_row(subject, known) for subject, known in by_subject.items() if known]
    table = "\n".join(["| Subject | Codes |", "|---|---|", *rows]) + "\n"
    sections = [_section(each) for known in by_subject.values() for each in known]
    return "\n".join([TOP, table, *sections])


def _row(subject: Subject, pitfalls: list[Pitfall]) -> str:
    links = ", ".join(f"[{known.code}](#{known.code})" for known in pitfalls)
    return f"| {subject} | {links} |"


def _section(known: Pitfall) -> str:
    parts = [
        f"## {known.code}",
        f"{_kind(known)}",
        f"**Symptom.** {_line(known.symptom)}",
        f"**Cause.** {_line(known.cause)}",
        f"**Fix.** {_line(known.fix)}".rstrip(),
    ]
    if known.example:
        parts.append(f"```python\n{inspect.cleandoc(known.example)}\n```")
    parts.append(f"**How sure.** {_line(known.how_sure)}")
    return "\n\n".join(parts) + "\n"


def _kind(known: Pitfall) -> str:
    """Return a line such as `*Warning or note, seen in the output, with run=True or watch.*`"""
    *others, last = known.severities
    severities = f"{', '.join(others)} or {last}" if others else last
    seen = "" if Needs.CALL in known.needs else f", seen {_SEEN[known.needs[0]]}"
    return f"*{severities.capitalize()}{seen}.*"


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Wrote {PAGE.name}: {len(PITFALLS)} pitfalls.")
