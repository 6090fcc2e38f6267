"""Chats as a script builds them: answers that are not kept, tools, thinking, arguments by name."""

import ast
import difflib
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.registry import found, in_the_source
from llmcourse.doctor.static.source import (
    Source,
    is_false,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.subject import Subject

_LOOPS = (ast.For, ast.While, ast.AsyncFor)
_SEARCHES = ("search", "match", "findall", "sub", "finditer", "split", "compile", "fullmatch")
_PAIR = re.compile(r"<(think|thinking|reasoning)>.*</\1>", re.DOTALL)
_DOT = re.compile(r"(?<![\\\[])\.[*+{]")
_THINKS_IN_PROMPT = re.compile(r"R1|QwQ|Thinking", re.IGNORECASE)
_OF_TEMPLATES = (
    "conversation tools documents chat_template add_generation_prompt continue_final_message "
    "tokenize sanitize_control_tokens padding truncation max_length return_tensors return_dict "
    "return_assistant_tokens_mask tokenizer_kwargs enable_thinking"
)
_OF_TOKENIZERS = (
    "text text_pair text_target text_pair_target add_special_tokens padding truncation max_length "
    "stride is_split_into_words pad_to_multiple_of padding_side return_tensors "
    "return_token_type_ids return_attention_mask return_overflowing_tokens "
    "return_special_tokens_mask return_offsets_mapping return_length verbose "
    "split_special_tokens tokenizer_kwargs truncation_side"
)
_OF_GENERATE = (
    "max_new_tokens do_sample temperature top_p top_k num_beams repetition_penalty "
    "skip_special_tokens stop_strings"
)


def _role(source: Source, node: ast.AST | None) -> str | None:
    """Return the role of a message that is written as a dictionary."""
    message = source.value(node) if node is not None else None
    if not isinstance(message, ast.Dict):
        return None
    for key, value in zip(message.keys, message.values, strict=True):
        if key is not None and source.constants(key) == ["role"]:
            roles = source.constants(value)
            return roles[0] if len(roles) == 1 and isinstance(roles[0], str) else None
    return None


def _content(source: Source, node: ast.AST) -> ast.AST | None:
    """Return the content of a message that is written as a dictionary."""
    message = source.value(node)
    pairs = zip(message.keys, message.values, strict=True)
    named = [
        value for key, value in pairs if key is not None and source.constants(key) == ["content"]
    ]
    return named[0] if named else None


def _appended(source: Source) -> list[tuple[ast.Call, str, ast.AST]]:
    """Return each `messages.append({...})`, with the role and the message."""
    made = []
    for call in source.calls:
        if name_of(call) == "append" and len(call.args) == 1:
            role = _role(source, call.args[0])
            if role is not None:
                made.append((call, role, call.args[0]))
    return made


def _loop_around(source: Source, node: ast.AST) -> ast.AST | None:
    return next((one for one in source.above(node) if isinstance(one, _LOOPS)), None)


def _bound_in(source: Source, name: str, loop: ast.AST) -> bool:
    """Whether a name gets a new value inside a loop."""
    return any(
        isinstance(node, ast.Assign) and any(last_name(target) == name for target in node.targets)
        for node in ast.walk(loop)
    )


@in_the_source(
    "answers-not-kept",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: in a loop the user's messages are appended to a list,
        and nothing else is.
    """,
)
def answers_not_kept(source: Source) -> Iterator[Finding]:
    """A loop that appends what the user says, and never an answer."""
    if re.search(r"['\"](assistant|model|ai)['\"]", source.text):
        return
    for call, role, _ in _appended(source):
        loop, name = _loop_around(source, call), last_name(owner_of(call))
        if role != "user" or loop is None or not name or _bound_in(source, name, loop):
            continue
        if _changed_otherwise(source, name, call) or not _is_asked(source, loop):
            continue
        yield found(
            "answers-not-kept",
            WARNING,
            call,
            what=f"The loop appends each question to {name}, and no answer.",
            why="The model reads all questions as asked at once, and answers them again.",
            fix=f'{name}.append({{"role": "assistant", "content": answer}})',
        )
        return


def _changed_otherwise(source: Source, name: str, but: ast.Call) -> bool:
    """Whether a list is changed, or handed to a function, anywhere else."""
    others = ("append", "extend", "insert", "pop", "clear", "remove")
    for call in source.calls:
        if call is but:
            continue
        if name_of(call) in others and last_name(owner_of(call)) == name:
            return True
    return any(
        isinstance(node, ast.AugAssign | ast.Delete) and name in ast.unparse(node)
        for node in source.scopes
    )


def _is_asked(source: Source, loop: ast.AST) -> bool:
    """Whether a loop asks a model."""
    asks = [node for node in ast.walk(loop) if isinstance(node, ast.Call)]
    return any(name_of(call) == "generate" for call in asks) or any(
        name_of(call) == "apply_chat_template" for call in asks
    )


@in_the_source(
    "history-not-passed",
    severities=(NOTE,),
    how_sure="""
        Likely, and a note, where only the source was read: a loop that goes on asking makes its
        messages anew each time. Questions that do not hang together may be asked so.
    """,
)
def history_not_passed(source: Source) -> Iterator[Finding]:
    """A dialogue with somebody at the keyboard, whose messages begin anew each turn."""
    for call in source.calls:
        if name_of(call) != "apply_chat_template" or not call.args:
            continue
        loop = _loop_around(source, call)
        if not isinstance(loop, ast.While):
            continue
        asks = any(
            isinstance(node, ast.Call) and name_of(node) == "input" for node in ast.walk(loop)
        )
        messages = source.value(call.args[0])
        if not asks or not isinstance(messages, ast.List) or not messages.elts:
            continue
        if loop is not _loop_around(source, messages):
            continue
        roles = [_role(source, one) for one in messages.elts]
        if not roles or None in roles or "assistant" in roles:
            continue
        yield found(
            "history-not-passed",
            NOTE,
            call,
            what="Each turn of the loop makes a chat of the last question alone.",
            why="The model remembers nothing of earlier calls.",
            fix="messages += [...]  # one list, made before the loop: questions and answers",
        )
        return


@in_the_source(
    "message-twice",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the system message is appended inside a loop, to a
        list that was made before it.
    """,
)
def message_twice(source: Source) -> Iterator[Finding]:
    """A system message that each turn of a loop appends."""
    for call, role, _ in _appended(source):
        loop, name = _loop_around(source, call), last_name(owner_of(call))
        if role != "system" or loop is None or not name or _bound_in(source, name, loop):
            continue
        if any(isinstance(one, ast.If) for one in source.above(call)):
            continue
        if any(
            name_of(other) == "clear" and last_name(owner_of(other)) == name
            for other in source.calls
        ):
            continue
        yield found(
            "message-twice",
            WARNING,
            call,
            what=f"Each turn of the loop appends the system message to {name} again.",
            why="The chat has it as often as there are turns.",
            fix=f'{name} = [{{"role": "system", "content": system}}]  # before the loop',
        )
        return


@in_the_source(
    "prompt-in-history",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: what is appended is decoded from a whole row.
    """,
)
def prompt_in_history(source: Source) -> Iterator[Finding]:
    """A whole row of the output, decoded and appended as an answer."""
    for call, decode in _kept_answers(source):
        if decode.args and source.is_output_row(decode.args[0]):
            yield found(
                "prompt-in-history",
                WARNING,
                call,
                what="The answer that is appended is decoded from the whole row, prompt and all.",
                why="The next prompt has the chat twice, the second time as the model's words.",
                fix="tokenizer.decode(out[0, prompt_length:], skip_special_tokens=True)",
            )
            return


@in_the_source(
    "control-token-in-message",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: what is appended was decoded with its special tokens.
    """,
)
def control_token_in_message(source: Source) -> Iterator[Finding]:
    """An answer that is decoded with its special tokens, and kept so."""
    for call, decode in _kept_answers(source):
        skips = keyword(decode, "skip_special_tokens")
        unpacked = any(each.arg is None for each in decode.keywords)
        if unpacked or len(decode.args) > 1 or not (skips is None or is_false(skips)):
            continue
        yield found(
            "control-token-in-message",
            WARNING,
            call,
            what="The answer that is appended was decoded with its special tokens.",
            why="Its end is in what it says, and the template writes another one after it.",
            fix=f"{source.words(decode.func)}(..., skip_special_tokens=True)",
        )
        return


def _kept_answers(source: Source) -> Iterator[tuple[ast.Call, ast.Call]]:
    """Yield what is appended as an answer, and the call that decoded it."""
    for call, role, message in _appended(source):
        content = _content(source, message) if role == "assistant" else None
        value = source.value(content) if content is not None else None
        if isinstance(value, ast.Subscript):
            value = source.value(value.value)
        named = isinstance(value, ast.Call) and name_of(value) in ("decode", "batch_decode")
        if named and source.is_tokenizer(owner_of(value)):
            yield call, value


@in_the_source(
    "thinking-half-marked",
    severities=(WARNING, NOTE),
    how_sure="""
        Likely where only the source was read: a pattern whose dot stops at a line's end, or one
        that wants both marks, for a model whose template opens the thought; a note, where it is not
        known who opens it.
    """,
)
def thinking_half_marked(source: Source) -> Iterator[Finding]:
    """A regular expression for thinking that finds none."""
    for call in source.calls:
        if name_of(call) not in _SEARCHES or not call.args:
            continue
        patterns = [one for one in source.constants(call.args[0]) if isinstance(one, str)]
        pattern = next((one for one in patterns if _PAIR.search(one)), None)
        if pattern is None:
            continue
        flags = " ".join(ast.unparse(one) for one in [*call.args[1:], *call.keywords])
        lines = "DOTALL" in flags or re.search(r"re\.S\b", flags) or "(?s" in pattern
        stops = bool(_DOT.search(pattern)) and not lines
        opens = _opens_in_prompt(source)
        tolerant = re.search(r"\(\?:<|<think>\)\?|\|", pattern)
        if tolerant and not stops:
            continue
        yield found(
            "thinking-half-marked",
            WARNING if stops or opens else NOTE,
            call,
            what=f"The pattern {pattern[:60]!r} stops at the first end of a line."
            if stops
            else f"The pattern {pattern[:60]!r} wants both marks in the answer.",
            why="A thought goes over many lines; the pattern needs re.DOTALL, and finds nothing."
            if stops
            else "Where the template opens the thought in the prompt, the answer has only the "
            "closing mark, and the pattern finds nothing.",
            fix='thought, _, answer = text.rpartition("</think>")',
        )


def _opens_in_prompt(source: Source) -> bool:
    """Whether a prompt, or a template, is seen to end with the mark that opens a thought."""
    texts = [
        node.value
        for node in source.scopes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    opened = any("<think>" in text and "</think>" not in text for text in texts)
    return opened or any("/" in text and _THINKS_IN_PROMPT.search(text) for text in texts)


@in_the_source(
    "parse-without-prefix",
    subject=Subject.READING,
    severities=(ERROR, NOTE),
    symptom="`parse_response` raises a ValueError, or takes thinking for the answer.",
    cause="""
        A template may write the beginning of the message into the prompt, such as `<think>`. The
        parser sees the new text alone, and needs the prompt to know.
    """,
    fix="Pass the prompt.",
    example="""
        message = tokenizer.parse_response(new_ids, prefix=inputs["input_ids"][0])
    """,
    how_sure="""
        Likely: only the source was read, where `prefix` is not passed, or is empty (a note).
    """,
    explains_refusal=True,
)
def parse_without_prefix(source: Source) -> Iterator[Finding]:
    """A parsed response without the prompt before it."""
    for call in source.calls:
        if name_of(call) != "parse_response" or any(each.arg is None for each in call.keywords):
            continue
        if not source.is_tokenizer(owner_of(call)):
            continue
        given = keyword(call, "prefix")
        empty = given is not None and (
            source.constants(given) == [""] or ast.unparse(given) in ("[]", "''")
        )
        if given is not None and not empty:
            continue
        yield found(
            "parse-without-prefix",
            NOTE if empty else ERROR,
            call,
            what=f"parse_response is called with{' an empty prefix' if empty else 'out prefix='}.",
            why="What the template wrote of the message, such as <think>, is not seen."
            if empty
            else "The call is refused: the parser has to see what the template wrote already.",
            fix=f'{source.words(call.func)}(new_ids, prefix=inputs["input_ids"][0])',
        )


@in_the_source(
    "tool-without-schema",
    subject=Subject.PROMPTS,
    severities=(ERROR,),
    symptom="`apply_chat_template` raises an error about a docstring, a type hint, or tools.",
    cause="""
        A function in `tools` is described by its docstring and its type hints, which are read into
        a schema. Where one is missing there is nothing to read.
    """,
    fix="Give the function a docstring with `Args:`, and each argument a type.",
    example='''
        def weather(city: str) -> str:
            """Look up today's weather.

            Args:
                city: The name of the city.
            """
    ''',
    how_sure="Likely: only the source was read, where the function or the text stands.",
    explains_refusal=True,
)
def tool_without_schema(source: Source) -> Iterator[Finding]:
    """A tool without a docstring or types, or one that is a text."""
    functions = {node.name: node for node in source.scopes if isinstance(node, ast.FunctionDef)}
    for call in source.calls:
        tools = keyword(call, "tools") if name_of(call) == "apply_chat_template" else None
        listed = source.value(tools) if tools is not None else None
        for tool in listed.elts if isinstance(listed, ast.List) else []:
            missing = _missing(source, tool, functions)
            if missing is None:
                continue
            yield found(
                "tool-without-schema",
                ERROR,
                call,
                what=f"The tool {source.words(tool)[:60]} {missing}.",
                why="No schema can be made of it, and the call is refused.",
                fix='def tool(city: str) -> str:  # and """..., Args: city: The city."""',
            )
            return


def _missing(source: Source, tool: ast.AST, functions: dict) -> str | None:
    """Return in words what a tool lacks; None where nothing is seen to be missing."""
    value = source.value(tool)
    text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    if text or (isinstance(value, ast.Call) and name_of(value) == "dumps"):
        return "is a text; tools are functions or dictionaries"
    function = functions.get(last_name(tool)) if isinstance(tool, ast.Name) else None
    if function is None or function.decorator_list:
        return None
    words = ast.get_docstring(function)
    if not words:
        return "has no docstring"
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    bare = [one.arg for one in arguments if one.annotation is None]
    if bare:
        return f"has an argument without a type, {bare[0]}"
    untold = [one.arg for one in arguments if not re.search(rf"\b{one.arg}\b.*:", words)]
    return f"does not say in its docstring what {untold[0]} is" if untold else None


@in_the_source(
    "template-argument-ignored",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the name is nearly one that `apply_chat_template`
        takes.
    """,
)
def template_argument_ignored(source: Source) -> Iterator[Finding]:
    """An argument of a template's call that is misspelt."""
    for call in source.calls:
        if name_of(call) != "apply_chat_template":
            continue
        for name, meant in _misspelt(call, _OF_TEMPLATES.split()):
            yield found(
                "template-argument-ignored",
                WARNING,
                call,
                what=f"{name} is no argument of apply_chat_template; {meant} may be meant.",
                why="It is handed to the template, which does not read it: nothing happens.",
                fix=f"{source.words(call.func)}(..., {meant}=...)",
            )


def _misspelt(call: ast.Call, known: list[str]) -> Iterator[tuple[str, str]]:
    """Yield keywords that are nearly known ones, and these."""
    for name in (each.arg for each in call.keywords if each.arg is not None):
        near = difflib.get_close_matches(name, known, 1, 0.82)
        if name not in known and near:
            yield name, near[0]


@in_the_source(
    "tokenizer-argument-ignored",
    subject=Subject.CALL,
    severities=(WARNING,),
    symptom="A tokenizer's call does not do what its argument asks, and says nothing.",
    cause="""
        A tokenizer passes over keywords that it does not know: `return_tensor="pt"` gives lists,
        `max_lenght` cuts nothing, and settings of `generate` belong into its call.
    """,
    fix="Spell it as the documentation does.",
    example='inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=512)',
    how_sure="""
        Likely: only the source was read, where a name is nearly a known one, or one of `generate`.
    """,
)
def tokenizer_argument_ignored(source: Source) -> Iterator[Finding]:
    """An argument of a tokenizer's call that it does not know."""
    for call in source.calls:
        encodes = isinstance(call.func, ast.Name | ast.Attribute) and (
            source.is_tokenizer(call.func)
            or (name_of(call) == "encode" and source.is_tokenizer(owner_of(call)))
        )
        if not encodes:
            continue
        names = {each.arg for each in call.keywords}
        foreign = sorted(names & set(_OF_GENERATE.split()))
        wrong = [(name, "") for name in foreign] + list(_misspelt(call, _OF_TOKENIZERS.split()))
        for name, meant in wrong[:1]:
            yield found(
                "tokenizer-argument-ignored",
                WARNING,
                call,
                what=f"{name} is no argument of a tokenizer's call"
                + (f"; {meant} may be meant." if meant else ", but of generate or decode."),
                why="It is passed over without a word.",
                fix=f"{source.words(call.func)}(..., {meant}=...)"
                if meant
                else f"model.generate(..., {name}=...)",
            )


@in_the_source(
    "placeholder-left",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a text has a variable's name in braces, and neither
        an f before it nor a call of format.
    """,
)
def placeholder_left(source: Source) -> Iterator[Finding]:
    """A text that looks as if an f before it was forgotten."""
    for node in source.scopes:
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        names = re.findall(r"(?<![\\{$%])\{([A-Za-z_]\w*)\}(?!\})", node.value)
        bound = {*source.module.bound, *source.scopes[node].bound}
        missing = [name for name in names if name in bound]
        if not missing or len(missing) != len(names) or not _is_tokenized(source, node):
            continue
        yield found(
            "placeholder-left",
            WARNING,
            node,
            what=f"The prompt has {'{' + missing[0] + '}'!r} in it, and no f before its quotes.",
            why="The model reads the name in braces, not the text.",
            fix=f'f"... {{{missing[0]}}} ..."',
        )


def _is_tokenized(source: Source, text: ast.Constant) -> bool:
    """Whether a text goes as it is into a tokenizer, a message or a pipeline."""
    node: ast.AST = text
    while isinstance(parent := source.parents.get(node), ast.BinOp | ast.List | ast.Tuple):
        node = parent
    if isinstance(parent, ast.Dict):
        return any(
            value is node and key is not None and source.constants(key) == ["content"]
            for key, value in zip(parent.keys, parent.values, strict=True)
        )
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
        name = parent.targets[0].id
        uses = [
            one
            for one in source.scopes
            if isinstance(one, ast.Name) and one.id == name and isinstance(one.ctx, ast.Load)
        ]
        return bool(uses) and all(_is_read_as_it_is(source, use) for use in uses)
    return isinstance(parent, ast.Call) and _reads_text(source, parent, node)


def _is_read_as_it_is(source: Source, use: ast.Name) -> bool:
    parent = source.parents.get(use)
    if isinstance(parent, ast.Dict):
        return True
    if isinstance(parent, ast.List):
        parent, use = source.parents.get(parent), parent
    if isinstance(parent, ast.Call) and name_of(parent) in ("print", "len", "repr"):
        return True
    return isinstance(parent, ast.Call) and _reads_text(source, parent, use)


def _reads_text(source: Source, call: ast.Call, text: ast.AST) -> bool:
    """Whether a call tokenizes its first argument."""
    encodes = source.is_tokenizer(call.func) or (
        name_of(call) == "encode" and source.is_tokenizer(owner_of(call))
    )
    return bool(encodes and call.args) and call.args[0] is text


@in_the_source(
    "text-pair",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a tokenizer whose ids a model continues gets two
        texts by position.
    """,
)
def text_pair(source: Source) -> Iterator[Finding]:
    """Two texts by position in a call of the tokenizer."""
    read = {
        value
        for call in source.generate_calls
        for part in ast.walk(call)
        if isinstance(part, ast.Name | ast.Call)
        and isinstance(value := source.placed(part), ast.Call)
    }
    for call in source.calls:
        if call not in read or not source.is_tokenizer(call.func):
            continue
        second = call.args[1] if len(call.args) > 1 else keyword(call, "text_pair")
        if second is None or any(isinstance(one, ast.Starred) for one in call.args):
            continue
        yield found(
            "text-pair",
            WARNING,
            call,
            what=f"The tokenizer gets a second text, {source.words(second)[:40]}, as text_pair.",
            why="They follow each other without a space or a line between them.",
            fix=f'{source.words(call.func)}(first + "\\n\\n" + second, return_tensors="pt")',
        )


@in_the_source(
    "content-not-text",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: a comma makes the content of a message a tuple.
    """,
)
def content_not_text(source: Source) -> Iterator[Finding]:
    """A content that is a tuple."""
    for node in source.scopes:
        content = _content(source, node) if _role(source, node) is not None else None
        if content is None or not isinstance(source.value(content), ast.Tuple):
            continue
        yield found(
            "content-not-text",
            WARNING,
            content,
            what="The content of a message is a tuple: there is a comma after it.",
            why="A template for texts fails with it, or writes it as Python spells it.",
            fix='{"role": "user", "content": text}  # a string',
        )
        return
