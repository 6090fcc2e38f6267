"""Chat templates: how `apply_chat_template` is called, and formats that are written by hand."""

import ast
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, WARNING, Finding
from llmcourse.doctor.static.reading.following import followed
from llmcourse.doctor.static.reading.messages import LOOPS, talks
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    is_string,
    is_true,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.reading.spelling import misspelt

_CHANGES = ("append", "extend", "insert", "pop")
# Models whose templates write nothing for `add_generation_prompt`.
_OPENS_ANYWAY = re.compile(r"mis?tral|mixtral|llama-?2|codellama|zephyr-orpo|vicuna", re.IGNORECASE)
# Models whose tokenizers begin each text with a token that their template writes too.
_BEGINS_TEXTS = re.compile(
    r"(meta-llama|llama-?[23]|gemma|mistral|mixtral|deepseek|command-r|phi-3\b)[\w./-]*",
    re.IGNORECASE,
)
_OF_TEMPLATES = (
    "conversation tools documents chat_template add_generation_prompt continue_final_message "
    "tokenize sanitize_control_tokens padding truncation max_length return_tensors return_dict "
    "return_assistant_tokens_mask tokenizer_kwargs enable_thinking"
)
_OF_SERVERS = ("chat_template_kwargs", "extra_body", "template_kwargs")
_HOLE = "\x00"  # a value in a text that is not known


@in_the_source(
    "generation-prompt-misplaced",
    severities=(ERROR, WARNING),
    how_sure="""
        Likely where only the source was read: both arguments are written there, or the last message
        is the assistant's.
    """,
)
def generation_prompt_misplaced(source: Source) -> Iterator[Finding]:
    """A new answer is opened where one is to be continued."""
    for call in source.calls:
        if name_of(call) != "apply_chat_template":
            continue
        if not is_true(keyword(call, "add_generation_prompt")):
            continue
        both = is_true(keyword(call, "continue_final_message"))
        if not both and not _ends_with_an_answer(source, call):
            continue
        yield found(
            "generation-prompt-misplaced",
            ERROR if both else WARNING,
            call,
            what="continue_final_message and add_generation_prompt exclude each other."
            if both
            else "The last message is the assistant's, and add_generation_prompt opens a new one.",
            why="The call is refused: an answer is continued, or a new one is opened."
            if both
            else "The answer is closed and begins again; continue_final_message goes on with it.",
            fix=f"{source.words(call.func)}(..., continue_final_message=True)"
            "  # without add_generation_prompt",
        )


def _ends_with_an_answer(source: Source, call: ast.Call) -> bool:
    """Tell whether the messages are written there, and the last one is the assistant's."""
    given = call.args[0] if call.args else keyword(call, "conversation")
    messages = source.value(given) if given is not None else None
    if not isinstance(messages, ast.List) or not messages.elts:
        return False
    last = source.value(messages.elts[-1])
    changed = [
        one
        for one in source.calls
        if name_of(one) in _CHANGES and last_name(owner_of(one)) == last_name(given)
    ]
    if last_name(given) and changed:
        if not _is_straight(source, [call, *changed]):
            return False
        before = [one for one in changed if one.lineno < call.lineno]
        last = source.value(before[-1].args[0]) if before and before[-1].args else last
    if not isinstance(last, ast.Dict):
        return False
    entries = zip(last.keys, last.values, strict=True)
    return any(
        source.constants(key) == ["role"] and source.constants(value) == ["assistant"]
        for key, value in entries
        if key is not None
    )


def _is_straight(source: Source, calls: list[ast.Call]) -> bool:
    """Tell whether calls follow one another: all in one function, in no loop and no branch."""
    branches = (ast.If, ast.For, ast.While, ast.Try, ast.AsyncFor)
    return all(
        source.scopes[one] is source.scopes[calls[0]]
        and not any(isinstance(above, branches) for above in source.above(one))
        and name_of(one) in ("append", "apply_chat_template")
        for one in calls
    )


@in_the_source(
    "no-generation-prompt",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: what the template writes without
        `add_generation_prompt=True` goes into generate, and the last message is not the
        assistant's. The templates of Mistral and Llama 2 need no header.
    """,
)
def no_generation_prompt(source: Source) -> Iterator[Finding]:
    """A chat is rendered without the header of an answer, and generated from."""
    for call in _rendered_for_generate(source):
        told = [each.arg for each in call.keywords]
        known = {"add_generation_prompt", "continue_final_message", None} & set(told)
        if known or len(call.args) > 1 or _ends_with_an_answer(source, call):
            continue
        if _OPENS_ANYWAY.search(source.text) or "chat_template" in told or not _ends_seen(call):
            continue
        yield found(
            "no-generation-prompt",
            WARNING,
            call,
            what="apply_chat_template is called without add_generation_prompt=True, and generate "
            "goes on from it.",
            why="The header of the answer is missing: the model may write the user's next turn.",
            fix=f"{source.words(call.func)}(..., add_generation_prompt=True)",
        )


def _ends_seen(call: ast.Call) -> bool:
    """Tell whether a call renders a chat that has messages."""
    given = call.args[0] if call.args else keyword(call, "conversation")
    return given is not None and not (isinstance(given, ast.List) and not given.elts)


def _rendered_for_generate(source: Source) -> Iterator[ast.Call]:
    """Yield the template's calls whose ids, or whose text's ids, go into `generate`, each once."""
    seen: set[ast.Call] = set()
    for asked in source.generate_calls:
        given = [*asked.args[:1], *(each.value for each in asked.keywords)]
        for part in given:
            call = _rendering_of(source, part)
            if call is not None and call not in seen:
                seen.add(call)
                yield call


def _rendering_of(source: Source, node: ast.AST, depth: int = 5) -> ast.Call | None:
    """Return the template's call that an expression of ids, or a text, comes from."""
    value = source.placed(followed(source, node))
    if isinstance(value, ast.Subscript | ast.Attribute):
        value = source.placed(followed(source, value.value))
    if isinstance(value, ast.List) and len(value.elts) == 1:
        return _rendering_of(source, value.elts[0], depth - 1) if depth else None
    if not isinstance(value, ast.Call) or not depth:
        return None
    if name_of(value) == "apply_chat_template":
        return value
    encodes = source.is_tokenizer(value.func) or name_of(value) == "encode"
    return _rendering_of(source, value.args[0], depth - 1) if encodes and value.args else None


@in_the_source(
    "doubled-bos",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a rendered text is tokenized with special tokens, by
        the tokenizer of a model that is known to begin texts with one.
    """,
)
def doubled_bos(source: Source) -> Iterator[Finding]:
    """A text that the template has written is tokenized as if it had no begin token."""
    for call in source.calls:
        encodes = source.is_tokenizer(call.func) or (
            name_of(call) == "encode" and source.is_tokenizer(owner_of(call))
        )
        piped = source.pipeline(call.func)
        if not (encodes or piped) or not call.args or any(one.arg is None for one in call.keywords):
            continue
        text = source.value(call.args[0])
        text = text.elts[0] if isinstance(text, ast.List) and len(text.elts) == 1 else text
        rendered = source.value(text)
        made = name_of(rendered) == "apply_chat_template"
        if not made or not is_false(keyword(rendered, "tokenize")):
            continue
        if keyword(call, "add_special_tokens") is not None or not _begins_texts(source, call):
            continue
        yield found(
            "doubled-bos",
            WARNING,
            call,
            what=f"{source.words(call.args[0])} is what the template wrote, and is tokenized with "
            "special tokens.",
            why="The template writes the begin token (bos) into the text, and it is added again.",
            fix=f"{source.words(call.func)}(..., add_special_tokens=False)",
        )


def _begins_texts(source: Source, call: ast.Call) -> bool:
    """Tell whether a call's tokenizer, or its pipeline, has a name whose family begins texts."""
    owner = owner_of(call) if isinstance(call.func, ast.Attribute) else call.func
    piped = source.pipeline(call.func)
    load = piped or source.value(owner)
    load = source.value(call.func) if not isinstance(load, ast.Call) else load
    if name_of(load) not in ("from_pretrained", "pipeline"):
        return False
    given = keyword(load, "model") if piped else load.args[0] if load.args else None
    names = [one for one in source.constants(given) if isinstance(one, str)] if given else []
    return bool(names) and bool(_BEGINS_TEXTS.search(names[0]))


@in_the_source(
    "template-argument-ignored",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the name is nearly one that `apply_chat_template`
        takes, or one of a server's request.
    """,
)
def template_argument_ignored(source: Source) -> Iterator[Finding]:
    """An argument of a template's call that is misspelt."""
    for call in source.calls:
        if name_of(call) != "apply_chat_template":
            continue
        yield from _in_a_dictionary(source, call)
        for name, meant in misspelt(call, _OF_TEMPLATES.split()):
            yield found(
                "template-argument-ignored",
                WARNING,
                call,
                what=f"{name} is no argument of apply_chat_template; {meant} may be meant.",
                why="It is handed to the template, which does not read it: nothing happens.",
                fix=f"{source.words(call.func)}(..., {meant}=...)",
            )


def _in_a_dictionary(source: Source, call: ast.Call) -> Iterator[Finding]:
    """Yield where a template's switches are passed as servers take them, in a dictionary."""
    for each in call.keywords:
        if each.arg not in _OF_SERVERS:
            continue
        switches = source.value(each.value)
        keys = getattr(switches, "keys", [])
        names = [one.value for one in keys if isinstance(one, ast.Constant)]
        yield found(
            "template-argument-ignored",
            WARNING,
            call,
            what=f"{each.arg}= is an argument of servers; apply_chat_template takes the switches "
            "themselves.",
            why="The template gets a variable of that name, and reads none such: nothing happens.",
            fix=f"{source.words(call.func)}(..., {names[0] if names else 'enable_thinking'}=...)",
        )


@in_the_source(
    "rendered-in-pieces",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the template gets a list of one message of a loop
        and what it writes is joined. Some templates have nothing at their beginning.
    """,
)
def rendered_in_pieces(source: Source) -> Iterator[Finding]:
    """The template is applied message by message, and the pieces are joined."""
    for call in source.calls:
        given = call.args[0] if call.args else keyword(call, "conversation")
        if name_of(call) != "apply_chat_template" or not isinstance(given, ast.List):
            continue
        loop = _loop_of(source, given.elts[0]) if len(given.elts) == 1 else None
        if loop is None or not _is_joined(source, call, loop):
            continue
        yield found(
            "rendered-in-pieces",
            WARNING,
            call,
            what=f"The chat template is applied to one message at a time, "
            f"{source.words(given)}, and the pieces are joined.",
            why="Each piece may bring a begin token and a default system message of its own.",
            fix=f"{source.words(call.func)}({source.words(loop.iter)}, add_generation_prompt=True)",
        )
        return


def _loop_of(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the loop whose variable a node is."""
    if not isinstance(node, ast.Name):
        return None
    for above in source.above(node):
        loops = [above] if isinstance(above, ast.For) else getattr(above, "generators", [])
        for loop in loops:
            if any(part.id == node.id for part in ast.walk(loop.target) if _is_name(part)):
                return loop
    return None


def _is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Name)


def _is_joined(source: Source, call: ast.Call, loop: ast.AST) -> bool:
    """Tell whether what a call in a loop returns is added to one text, or one row of ids."""
    for above in source.above(call):
        if isinstance(above, ast.AugAssign):
            return True
        if name_of(above) == "extend":
            return True
        if name_of(above) == "join":
            return True
        if isinstance(above, ast.Assign):
            return _is_added(loop, last_name(above.targets[0]))
        if isinstance(above, LOOPS):
            return False
    return False


def _is_added(loop: ast.AST, name: str) -> bool:
    """Tell whether a name is added to something in a loop, `text += piece`."""
    for node in ast.walk(loop):
        if isinstance(node, ast.AugAssign) and name in ast.unparse(node.value):
            return True
        if name_of(node) == "extend":
            return name in ast.unparse(node)
    return False


# What is wrong in a hand-written format: the pattern, and what it is in words.
_BY_HAND = (
    (
        r"<\|end_header_id\|>(?!\n\n)(?=[^\n]|\n[^\n])",
        "after <|end_header_id|> there are no two ends of lines",
        r"<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>",
    ),
    (
        r"<\|im_start\|>(?:system|user|assistant|tool)(?=[^\n\w|<])",
        "after <|im_start|> and the role there is no end of a line",
        r"<|im_start|>user\n{text}<|im_end|>\n",
    ),
    (
        r"<\|im_start\|>.*(?<![\n>])\n<\|im_end\|>",
        "an end of a line stands before <|im_end|>",
        r"<|im_start|>user\n{text}<|im_end|>\n",
    ),
    (
        r"<\|im_start\|>(?:system|user|assistant)\b(?:(?!<\|im_end\|>).)+<\|im_start\|>",
        "a turn is opened before <|im_end|> has closed the last one",
        r"<|im_start|>user\n{text}<|im_end|>\n",
    ),
    (
        r"<start_of_turn>(?:user|model)(?=[^\n\w<])",
        "after <start_of_turn> and the role there is no end of a line",
        r"<start_of_turn>user\n{text}<end_of_turn>\n",
    ),
    (
        r"<\|(?:user|assistant|system)\|>(?=[^\s<])",
        "after the role's mark there is no end of a line",
        r"<|user|>\n{text}<|end|>\n",
    ),
    (
        r"\[INST\](?:(?!\[/INST\]).)*\[INST\]",
        "[INST] is opened again before [/INST] has closed it",
        "[INST] <<SYS>>\\n{system}\\n<</SYS>>\\n\\n{text} [/INST]",
    ),
    (r"\[\\INST\]", "[\\INST] is no mark; it is [/INST]", "[INST] {text} [/INST]"),
    (
        r"<\|start_header_id\|>\s*<\|start_header_id\|>",
        "<|start_header_id|> is opened twice",
        r"<|start_header_id|>user<|end_header_id|>\n\n{text}<|eot_id|>",
    ),
)


_PATTERNS = tuple((re.compile(one, re.DOTALL), words, right) for one, words, right in _BY_HAND)


@in_the_source(
    "header-differs",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a published format's marks are written by hand, and
        not as its template writes them.
    """,
)
def header_differs(source: Source) -> Iterator[Finding]:
    """A chat format that is written by hand, with other white space or marks than its template."""
    if not talks(source):
        return
    for node in source.scopes:
        text = _with_holes(source, node)
        if text is None or "{%" in text or "{{" in text:
            continue
        wrong = next((one for one in _PATTERNS if one[0].search(text)), None)
        if wrong is None or _is_only_looked_for(source, node):
            continue
        yield found(
            "header-differs",
            WARNING,
            node,
            what=f"The prompt is written by hand, and {wrong[1]}.",
            why="The model was trained on its chat template's own headers and line ends, token "
            "for token.",
            fix=f'"{wrong[2]}"  # or tokenizer.apply_chat_template(messages, ...)',
        )
        return


def _with_holes(source: Source, node: ast.AST) -> str | None:
    """Return a text that is written in the source, with a sign for each value in an f-string."""
    above = source.parents.get(node)
    if isinstance(above, ast.JoinedStr | ast.FormattedValue | ast.Expr):
        return None  # a part of one, or a docstring
    if is_string(node):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    return "".join(
        str(one.value) if isinstance(one, ast.Constant) else _HOLE for one in node.values
    )


def _is_only_looked_for(source: Source, node: ast.AST) -> bool:
    """Tell whether a text is what something is split, searched or compared with."""
    above = source.parents.get(node)
    if isinstance(above, ast.Compare):
        return True
    looks = ("split", "replace", "find", "index", "search", "sub", "findall", "match", "compile")
    return isinstance(above, ast.Call) and name_of(above) in looks
