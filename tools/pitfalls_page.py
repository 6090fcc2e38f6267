"""Make docs/pitfalls.md from the checks of the doctor and the words beside them.

    python -m tools.pitfalls_page     # or `make docs`

The words stand in llmcourse/doctor/pitfalls/, next to the check that they explain.
"""

from pathlib import Path

from llmcourse.doctor.explain import every_code, section
from llmcourse.doctor.pitfalls import Subject

PAGE = Path(__file__).resolve().parent.parent / "docs" / "pitfalls.md"

TOP = """\
<!-- Made by `make docs` from llmcourse/doctor/pitfalls/: change it there. -->

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
python -m llmcourse doctor --static *.py    # runs nothing: what the source alone shows
python -m llmcourse doctor --stand-in your_script.py  # the course's model for one of the hub
python -m llmcourse doctor --fix your_script.py       # and a diff of what mends it; --write
python -m llmcourse doctor --explain no-mask          # a section of this page
```

In a notebook `%load_ext llmcourse` gives cells the magic `%%doctor`. `--format sarif` is for code \
hosts, and `.pre-commit-hooks.yaml` has a hook, `llmcourse-doctor`, which reads and runs nothing.

An **error** means that the output is wrong, a **warning** that the call is probably not what was \
meant, a **note** that something is worth knowing: a sound call may have notes. *Certain* means \
that the call itself shows it; *likely* means that it is inferred. Some codes have more than one \
severity: the finding says which one this call has, and why.
"""


def page() -> str:
    """Return docs/pitfalls.md: the pitfalls by subject, each with its section."""
    pitfalls = list(every_code().values())
    by_subject = {
        subject: [known for known in pitfalls if known.subject == subject] for subject in Subject
    }
    rows = [_row(subject, known) for subject, known in by_subject.items() if known]
    table = "\n".join(["| Subject | Codes |", "|---|---|", *rows]) + "\n"
    sections = [section(each) for known in by_subject.values() for each in known]
    return "\n".join([TOP, table, *sections])


def _row(subject: Subject, pitfalls: list) -> str:
    links = ", ".join(f"[{known.code}](#{known.code})" for known in pitfalls)
    return f"| {subject} | {links} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Wrote {PAGE.name}: {len(every_code())} pitfalls.")
