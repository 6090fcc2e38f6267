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
    """A chat template, and where its format is from.

    text: the Jinja program, as `tokenizer.chat_template` takes it. about: the format in a line.
    published: the address of the page that publishes the format. licence: of `text`, as it stands
    here. ends_with: the token that ends a turn, and with it an answer.
    """

    text: str
    about: str
    published: str
    licence: str
    ends_with: str


def render(
    template: str,
    messages: list[dict],
    *,
    add_generation_prompt: bool = True,
    bos_token: str = "<s>",
    eos_token: str = "</s>",
    **names,
) -> str:
    """Run a chat template, and return the string that it makes of `messages`.

    messages: [{"role": ..., "content": ...}, ...]. names: what the template knows besides, such as
    tools (JSON schemas) or documents. A template is somebody else's program, so it runs in a
    sandbox. Raises jinja2.TemplateError where it refuses the messages or is no valid Jinja.
    Source: `tokenizer.apply_chat_template(messages, tokenize=False)`, which gives the same string.
    """
    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    sandbox.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    sandbox.globals["raise_exception"] = _refuse
    known = dict(bos_token=bos_token, eos_token=eos_token, **names)
    program = sandbox.from_string(template)
    return program.render(messages=messages, add_generation_prompt=add_generation_prompt, **known)


def templates() -> dict[str, Template]:
    """Return the templates that come with the course, by name: "chatml", "llama 3" and others.

    They are written from the published formats, for text messages only; what a model's own
    tokenizer brings is longer, and is what that model should be given.
    """
    folder = files("llmcourse") / "templates"
    found = [file for file in folder.iterdir() if file.name.endswith(".jinja")]
    by_name = {file.name.removesuffix(".jinja").replace("_", " "): file for file in found}
    return {name: _read(by_name[name].read_text(encoding="utf-8")) for name in sorted(by_name)}


# The comment that each file begins with.
_HEADER = re.compile(
    r"\{# (?P<about>.+)\npublished: (?P<published>.+)\nlicence: (?P<licence>.+)\n"
    r"ends a turn with: (?P<ends_with>\S+) #\}\n"
)


def _read(file: str) -> Template:
    header = _HEADER.match(file)
    return Template(text=file[header.end() :], **header.groupdict())


def _refuse(sentence: str) -> None:
    raise TemplateError(sentence)
