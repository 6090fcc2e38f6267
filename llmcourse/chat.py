"""Chat templates, taken apart: small programs that turn messages into the one string to continue.

`templates` has some in published formats, to be looked at side by side; `render` runs one, as
`tokenizer.apply_chat_template` does, within the limits of `llmcourse.sandbox`. What a template made
of messages is drawn by `views.chat`.
"""

import json
import re
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import TemplateError

# Jinja's own, with limits: a template that runs for ever, or fills the memory, fails as any other.
from llmcourse.sandbox import LimitedSandbox as ImmutableSandboxedEnvironment


@dataclass(frozen=True)
class Template:
    """A chat template, where its format is from, and the special tokens that it is printed with."""

    text: str  # the Jinja program, as `tokenizer.chat_template` takes it
    about: str  # the format in a line
    published: str  # the address of the page that publishes the format
    licence: str  # of `text`, as it stands here
    bos: str  # the token that begins a text, "" where the format has none
    eos: str  # the token that ends a text
    ends_with: str  # the token that ends a turn, and with it an answer; not always `eos`


def render(
    template: Template | str,
    messages: list[dict],
    *,
    add_generation_prompt: bool = True,
    **names,
) -> str:
    """Run a chat template, and return the string that it makes of `messages`.

    messages: [{"role": ..., "content": ...}, ...]. names: what the program knows besides, such as
    tools (JSON schemas) or documents, and `bos_token` and `eos_token`: a Template brings its own, a
    string brings none. A template is somebody else's program, so it runs in a sandbox.
    Raises jinja2.TemplateError where it refuses the messages or is no valid Jinja.
    Source: `tokenizer.apply_chat_template(messages, tokenize=False)`, which gives the same string
    for a template that uses no more of the library's environment than stands here.
    """
    if isinstance(template, Template):
        names = {"bos_token": template.bos, "eos_token": template.eos, **names}
        template = template.text
    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    sandbox.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    sandbox.globals["raise_exception"] = _refuse
    program = sandbox.from_string(template)
    return program.render(messages=messages, add_generation_prompt=add_generation_prompt, **names)


def templates() -> dict[str, Template]:
    """Return the templates that come with the course, by name: "chatml", "llama 3" and others.

    They are written from the published formats, for text messages only, and the tests compare them
    with published strings; what a model's own tokenizer brings is longer, and is what that model
    should be given.
    """
    folder = files("llmcourse") / "templates"
    found = [file for file in folder.iterdir() if file.name.endswith(".jinja")]
    by_name = {file.name.removesuffix(".jinja").replace("_", " "): file for file in found}
    return {name: _read(by_name[name].read_text(encoding="utf-8")) for name in sorted(by_name)}


# The comment that each file begins with.
_HEADER = re.compile(
    r"\{# (?P<about>.+)\npublished: (?P<published>.+)\nlicence: (?P<licence>.+)\n"
    r"bos: (?P<bos>\S+)\neos: (?P<eos>\S+)\nends a turn with: (?P<ends_with>\S+) #\}\n"
)


def _read(file: str) -> Template:
    header = _HEADER.match(file)
    fields = {name: "" if said == "none" else said for name, said in header.groupdict().items()}
    return Template(text=file[header.end() :], **fields)


def _refuse(sentence: str) -> None:
    raise TemplateError(sentence)
