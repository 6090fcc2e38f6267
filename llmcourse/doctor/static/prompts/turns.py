"""Chats as a script builds them: answers that are not kept, tools, thinking, arguments by name."""

import ast
import difflib
import re
from collections.abc import Iterator

from llmcourse.doctor.finding import ERROR, NOTE, WARNING, Finding
from llmcourse.doctor.static.reading.messages import (
    LOOPS,
    appended,
    content_of,
    entry_of,
    kept_answers,
    loop_around,
    role_of,
    talks,
)
from llmcourse.doctor.static.reading.registry import found, in_the_source
from llmcourse.doctor.static.reading.source import (
    Source,
    is_false,
    keyword,
    last_name,
    name_of,
    owner_of,
)
from llmcourse.doctor.static.stopping.streams import generated_texts
from llmcourse.doctor.subject import Subject

_SEARCHES = ("search", "match", "findall", "sub", "finditer", "split", "compile", "fullmatch")
_PAIR = re.compile(r"<(think|thinking|reasoning)>.*</\1>", re.DOTALL)
_DOT = re.compile(r"(?<![\\\[])\.[*+{]")
# Roles of other libraries and data sets, and what templates call them.
_ROLES_ELSEWHERE = {
    **{name: "user" for name in ("human", "Human", "User", "USER", "question", "customer")},
    **{name: "assistant" for name in ("bot", "ai", "AI", "Assistant", "gpt", "chatbot", "answer")},
    **{name: "system" for name in ("System", "SYSTEM", "instruction")},
}
_HISTORY = re.compile(r"^(chat_|conversation_|message_)?history$")
_BRACES = re.compile(r"(?<![\\{$%])\{([A-Za-z_]\w*)\}(?!\})")
# A piece without an f, of a text that is written in several: f"... {a}" "... {b}".
_PLAIN_PIECE = re.compile(r"""(?<![\w"'\\])(?:"[^"\n]*"|'[^'\n]*')(?=\s|$|\))""")
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
_OF_TEMPLATES_ALONE = "enable_thinking add_generation_prompt continue_final_message chat_template"
_OF_SERVERS = ("chat_template_kwargs", "extra_body", "template_kwargs")


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
        Likely where only the source was read: in a loop, or a function that is called for each
        turn, the user's messages are appended to a list, and nothing else is.
    """,
)
def answers_not_kept(source: Source) -> Iterator[Finding]:
    """A loop, or a function, that appends what the user says, and never an answer."""
    if re.search(r"['\"](assistant|model|ai)['\"]", source.text):
        return
    for call, role, _ in appended(source):
        turn, name = _turn_around(source, call), last_name(owner_of(call))
        if role != "user" or turn is None or not name or _bound_in(source, name, turn):
            continue
        if _changed_otherwise(source, name, call) or not _is_asked(source, turn):
            continue
        yield found(
            "answers-not-kept",
            WARNING,
            call,
            what=f"Each turn appends its question to {name}, and no answer.",
            why="The model reads all questions as asked at once, and answers them again.",
            fix=f'{name}.append({{"role": "assistant", "content": answer}})',
        )
        return


def _turn_around(source: Source, call: ast.Call) -> ast.AST | None:
    """Return what runs for each turn of a chat: a loop, or a function whose list is outside."""
    loop = loop_around(source, call)
    scope, owner = source.scopes[call], owner_of(call)
    if loop is not None or scope is source.module:
        return loop
    if isinstance(owner, ast.Attribute):
        return scope.node if getattr(scope.node, "name", "") != "__init__" else None
    made = source.module.bound.get(last_name(owner), [None])
    own = [one for one in scope.bound.get(last_name(owner), ()) if one is not None]
    argument = last_name(owner) in [one.arg for one in ast.walk(scope.node.args) if _is_arg(one)]
    outside = len(made) == 1 and isinstance(made[0], ast.List)
    return scope.node if outside and not own and not argument else None


def _is_arg(node: ast.AST) -> bool:
    return isinstance(node, ast.arg)


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
    severities=(WARNING, NOTE),
    how_sure="""
        Likely where only the source was read: a function that answers is given the history, and
        does not read it. A note where a loop that goes on asking makes its messages anew each time:
        questions that do not hang together may be asked so.
    """,
)
def history_not_passed(source: Source) -> Iterator[Finding]:
    """A dialogue whose messages begin anew each turn, or whose history nobody reads."""
    yield from _histories_unread(source)
    for call in source.calls:
        if not _gets_messages(source, call):
            continue
        loop = loop_around(source, call)
        if not isinstance(loop, ast.While):
            continue
        asks = any(
            isinstance(node, ast.Call) and name_of(node) == "input" for node in ast.walk(loop)
        )
        messages = source.value(call.args[0])
        if not asks or not isinstance(messages, ast.List) or not messages.elts:
            continue
        if loop is not loop_around(source, messages):
            continue
        roles = [role_of(source, one) for one in messages.elts]
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


def _gets_messages(source: Source, call: ast.Call) -> bool:
    """Whether a call renders a chat, or is a pipeline's."""
    piped = source.pipeline(call.func) is not None
    return bool(call.args) and (name_of(call) == "apply_chat_template" or piped)


def _histories_unread(source: Source) -> Iterator[Finding]:
    """Yield functions that answer a message, get the history too, and never read it."""
    for node in source.scopes:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.decorator_list:
            continue
        names = [one.arg for one in node.args.args if _HISTORY.search(one.arg)]
        inside = [part for statement in node.body for part in ast.walk(statement)]
        read = {part.id for part in inside if isinstance(part, ast.Name)}
        unread = [name for name in names if name not in read and "locals" not in read]
        if not unread or len(node.args.args) < 2 or not _is_asked(source, node):
            continue
        yield found(
            "history-not-passed",
            WARNING,
            node,
            what=f"{node.name} is given {unread[0]}, and does not read it.",
            why="The prompt has the last message alone: the model forgets what was said before.",
            fix=f'messages = [*{unread[0]}, {{"role": "user", "content": message}}]',
        )


@in_the_source(
    "message-twice",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the system message is appended inside a loop, or a
        function, to a list that was made outside of it.
    """,
)
def message_twice(source: Source) -> Iterator[Finding]:
    """A system message that each turn appends."""
    for call, role, _ in appended(source):
        turn, name = _turn_around(source, call), last_name(owner_of(call))
        if role != "system" or turn is None or not name or _bound_in(source, name, turn):
            continue
        if not isinstance(turn, LOOPS) and not _is_asked(source, turn):
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
            what=f"Each turn appends the system message to {name} again.",
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
    """A whole row of the output, decoded and appended as an answer, or to the next prompt."""
    yield from _prompts_doubled(source)
    for call, decode in kept_answers(source, "assistant"):
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


def _prompts_doubled(source: Source) -> Iterator[Finding]:
    """Yield `prompt += ...` with a text that begins with the prompt."""
    for node in source.scopes:
        if not isinstance(node, ast.AugAssign) or not isinstance(node.target, ast.Name):
            continue
        parts = [node.value]
        while isinstance(parts[-1], ast.BinOp):
            parts[-1:] = [parts[-1].right, parts[-1].left]
        prompt = node.target.id
        if not any(_brings_its_prompt(source, part, prompt) for part in parts):
            continue
        yield found(
            "prompt-in-history",
            WARNING,
            node,
            what=f"{source.words(node)[:70]} appends the whole text, prompt and all, to the "
            "prompt.",
            why="The next prompt has the conversation twice, and then four times.",
            fix=f"{prompt} += answer  # decoded from the new tokens alone",
        )


def _brings_its_prompt(source: Source, node: ast.AST, prompt: str) -> bool:
    """Whether a text is a whole row, decoded, or a pipeline's text, of a prompt of this name."""
    value = source.value(node)
    if source.is_decode(value) and source.is_output_row(value.args[0]):
        read = [
            call.args[0] for call in source.calls if call.args and source.is_tokenizer(call.func)
        ]
        return any(last_name(one) == prompt for one in read)
    for text, call in generated_texts(source):
        if text is value and call.args and last_name(call.args[0]) == prompt:
            told = [one for one in (call, source.pipeline(call.func)) if one is not None]
            return all(keyword(one, "return_full_text") is None for one in told)
    return False


@in_the_source(
    "control-token-in-message",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: what is appended was decoded with its special tokens.
    """,
)
def control_token_in_message(source: Source) -> Iterator[Finding]:
    """An answer that is decoded with its special tokens, and kept so."""
    for call, decode in kept_answers(source, "assistant"):
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
    """A regular expression for thinking that finds none, or a cut at a mark that is not there."""
    if talks(source):
        yield from _cuts_at_a_mark(source)
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


def _cuts_at_a_mark(source: Source) -> Iterator[Finding]:
    """Yield where a thought is cut out by marks that need not be there."""
    for node in source.scopes:
        said = _needs_a_mark(source, node)
        if said is None:
            continue
        mark, what, why = said
        yield found(
            "thinking-half-marked",
            NOTE if mark == "</think>" and "find" not in what else WARNING,
            node,
            what=what,
            why=why,
            fix='thought, _, answer = text.rpartition("</think>")',
        )
        return


def _needs_a_mark(source: Source, node: ast.AST) -> tuple[str, str, str] | None:
    """Return the mark that a node relies on, what is wrong and why, or None."""
    if not isinstance(node, ast.Subscript):
        return None
    call, words = source.value(node.value), source.words(node)[:70]
    splits = isinstance(call, ast.Call) and name_of(call) == "split" and call.args
    if splits and source.constants(node.slice) == [1]:
        (mark,) = source.constants(call.args[0]) or [None]
        if mark not in ("<think>", "</think>") or f"{mark}' in" in source.text.replace('"', "'"):
            return None
        why = "Where the template opens the thought, or none is written, that is an IndexError."
        if mark == "</think>":
            why = "Where the limit came before it, or nothing is thought, that is an IndexError."
        return mark, f"{words} needs {mark} in the answer.", why
    lower = node.slice.lower if isinstance(node.slice, ast.Slice) else None
    found_at = (
        lower.left if isinstance(lower, ast.BinOp) and isinstance(lower.op, ast.Add) else None
    )
    found_at = source.value(found_at) if found_at is not None else None
    if not isinstance(found_at, ast.Call) or name_of(found_at) != "find" or not found_at.args:
        return None
    if source.constants(found_at.args[0]) != ["</think>"] or "-1" in source.text:
        return None
    why = "Without the mark find gives -1, and the text is cut at an arbitrary place."
    return "</think>", f"{words} trusts find.", why


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
        takes, or one of a server's request.
    """,
)
def template_argument_ignored(source: Source) -> Iterator[Finding]:
    """An argument of a template's call that is misspelt."""
    for call in source.calls:
        if name_of(call) != "apply_chat_template":
            continue
        yield from _in_a_dictionary(source, call)
        for name, meant in _misspelt(call, _OF_TEMPLATES.split()):
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
        if not encodes or last_name(call.func)[:1].isupper():  # a class is made, not called
            continue
        names = {each.arg for each in call.keywords}
        foreign = sorted(names & set(_OF_GENERATE.split()))
        of_templates = sorted(names & set(_OF_TEMPLATES_ALONE.split()))
        wrong = [(name, "") for name in foreign + of_templates]
        wrong += _misspelt(call, _OF_TOKENIZERS.split())
        for name, meant in wrong[:1]:
            place = "apply_chat_template" if name in of_templates else "generate or decode"
            takes = "tokenizer.apply_chat_template" if name in of_templates else "model.generate"
            yield found(
                "tokenizer-argument-ignored",
                WARNING,
                call,
                what=f"{name} is no argument of a tokenizer's call"
                + (f"; {meant} may be meant." if meant else f", but of {place}."),
                why="It is passed over without a word.",
                fix=f"{source.words(call.func)}(..., {meant}=...)"
                if meant
                else f"{takes}(..., {name}=...)",
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
        names = _in_braces(source, node)
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


def _in_braces(source: Source, node: ast.AST) -> list[str]:
    """Return the names in braces in a text without an f; of a text in pieces, in such a piece."""
    if isinstance(source.parents.get(node), ast.JoinedStr):
        return []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _BRACES.findall(node.value)
    if not isinstance(node, ast.JoinedStr):
        return []
    pieces = _PLAIN_PIECE.findall(source.words(node))
    return [name for piece in pieces for name in _BRACES.findall(piece)]


def _is_tokenized(source: Source, text: ast.AST) -> bool:
    """Whether a text goes as it is into a tokenizer, a message or a pipeline."""
    node = text
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
    if isinstance(parent, ast.Return):
        return _is_made_by_a_function(source, parent)
    return isinstance(parent, ast.Call) and _reads_text(source, parent, node)


def _is_made_by_a_function(source: Source, returned: ast.Return) -> bool:
    """Whether what a function returns is tokenized, and its own arguments stand in the braces."""
    function = source.scopes[returned].node
    name = getattr(function, "name", "")
    calls = [call for call in source.calls if name and name_of(call) == name]
    arguments = source.scopes[returned].bound
    own = [one for one in _BRACES.findall(ast.unparse(returned)) if one in arguments]
    return bool(own and calls) and all(_is_used_as_it_is(source, call) for call in calls)


def _is_used_as_it_is(source: Source, call: ast.Call) -> bool:
    """Whether what a call returns is not filled in afterwards."""
    parent = source.parents.get(call)
    if isinstance(parent, ast.Assign) and isinstance(parent.targets[0], ast.Name):
        filled = rf"\b{parent.targets[0].id}\.(format|replace|format_map|safe_substitute)\b"
        return not re.search(filled, source.text)
    if isinstance(parent, ast.Dict):
        return True
    return isinstance(parent, ast.Call) and _reads_text(source, parent, call)


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
    encodes |= source.pipeline(call.func) is not None
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
        content = content_of(source, node) if role_of(source, node) is not None else None
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


@in_the_source(
    "unknown-role",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the role is one of other libraries, and goes into
        `apply_chat_template`.
    """,
)
def unknown_role(source: Source) -> Iterator[Finding]:
    """A role that templates do not know."""
    if not any(name_of(call) == "apply_chat_template" for call in source.calls):
        return
    for node in source.scopes:
        role = role_of(source, node) if isinstance(node, ast.Dict) else None
        if role not in _ROLES_ELSEWHERE or content_of(source, node) is None:
            continue
        yield found(
            "unknown-role",
            WARNING,
            node,
            what=f"A message has the role {role!r}, which chat templates do not know.",
            why="The template refuses it, leaves it out, or writes a header that the model has "
            "never read.",
            fix=f'{{"role": "{_ROLES_ELSEWHERE[role]}", "content": ...}}',
        )
        return


@in_the_source(
    "tool-call-miswritten",
    severities=(WARNING,),
    how_sure="""
        Likely where only the source was read: the arguments of a call in a message are made a
        string of JSON. Some templates write such a string as it is.
    """,
)
def tool_call_miswritten(source: Source) -> Iterator[Finding]:
    """The arguments of a call are a text in the message that the template gets."""
    if not any(name_of(call) == "apply_chat_template" for call in source.calls):
        return
    for node in source.scopes:
        given = entry_of(source, node, "arguments") if isinstance(node, ast.Dict) else None
        if given is None or entry_of(source, node, "name") is None:
            continue
        value = source.value(given)
        dumped = isinstance(value, ast.Call) and name_of(value) == "dumps"
        texts = [one for one in source.constants(value) if isinstance(one, str)]
        written = bool(texts) and re.match(r'\s*\{\s*"', texts[0]) is not None
        if not (dumped or written) or not _is_in_a_call(source, node):
            continue
        yield found(
            "tool-call-miswritten",
            WARNING,
            given,
            what=f"The arguments of a tool call are a string of JSON, {source.words(given)[:50]}.",
            why="The template writes them as JSON once more: the model reads quotes inside quotes.",
            fix='"arguments": {...}  # the dictionary itself, without json.dumps',
        )
        return


def _is_in_a_call(source: Source, node: ast.AST) -> bool:
    """Whether a dictionary stands in an entry `function`, or among `tool_calls`."""
    for above in source.above(node):
        if isinstance(above, ast.Dict):
            keys = [one for key in above.keys if key is not None for one in source.constants(key)]
            if "tool_calls" in keys or "function" in keys:
                return True
        if isinstance(above, ast.stmt):
            return "tool_calls" in source.words(above)
    return False
