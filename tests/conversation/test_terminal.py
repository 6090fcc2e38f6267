"""The chat in a terminal: what is read, what is shown, Ctrl-C, a pipe, and a real terminal."""

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmcourse import __main__ as cli
from llmcourse.conversation import terminal
from llmcourse.conversation.settings import Settings
from llmcourse.conversation.turns import Conversation
from tests.support.toy_chats import add, call_of, chatting, has_written

ROOT = Path(__file__).parents[2]
# What a terminal gets when a line is asked for, and when it was typed: pastes are marked or not.
ASKS, ASKED = b"\x1b[?2004h", b"\x1b[?2004l"


@pytest.fixture
def talk():
    model, tokenizer = chatting()
    return Conversation(model, tokenizer, settings=Settings(max_new_tokens=8))


def typed(talk, *lines) -> str:
    """Type lines into a chat, and return what it shows; an exception stands for a key."""
    coming, out = iter([*lines, EOFError]), []

    def read() -> str:
        line = next(coming)
        if isinstance(line, str):
            return line
        raise line

    terminal.Chat(talk, read, out.append).run()
    return "".join(out)


def writes(talk, *texts: str) -> None:
    """Have the model write texts, token by token, each with an end."""
    has_written(talk.model, talk.tokenizer, *texts)
    talk.settings.max_new_tokens = 500


# What is shown


def test_an_answer_is_shown_piece_by_piece(talk):
    writes(talk, "Good\n\tday")
    out = []
    chat = terminal.Chat(talk, iter(["Hi"]).__next__, out.append)
    chat.obey("Hi")
    assert len(out) == len("Good\n\tday") + 1 and "".join(out) == "Good\n\tday\n"


NASTY = "\x1b[2J\x1b]0;title\x07 \x9b31m \x08\x7f \r \u202e \u200b \U000e0041 é 中"


def test_what_a_model_writes_cannot_steer_the_terminal(talk):
    writes(talk, NASTY)
    shown = typed(talk, "Hi")
    assert re.fullmatch(r"[\n\t\x20-\x7e␍é中]*", shown), ascii(shown)
    assert r"\u001b[2J" in shown and r"\u202e" in shown and "é 中" in shown
    assert talk.messages[-1]["content"] == NASTY  # in the conversation it stays as it is


@pytest.mark.parametrize(
    "line", [f"/{NASTY}", f"/settings {NASTY} 1", f"/settings seed {NASTY}", f"/system {NASTY}"]
)
def test_what_is_typed_or_pasted_comes_back_without_control_characters(talk, line):
    shown = typed(talk, line)
    assert re.fullmatch(r"[\n\t\x20-\x7e␍é中]*", shown), ascii(shown)


def test_what_a_template_or_a_model_complains_of_is_shown_so_too(talk):
    talk.tokenizer.chat_template = "{{ raise_exception('\x1b[2J') }}"
    assert r"refuses these messages: \u001b[2J" in typed(talk, "Hi")

    def fail(*_):
        raise IndexError("\x1b[2J")

    talk.tokenizer.chat_template = "{{ messages[0].content }}"
    talk.model.register_forward_pre_hook(fail)
    assert typed(talk, "Hi", "/tokens").splitlines()[1:] == [
        r"(That did not work. IndexError: \u001b[2J)",
        "The conversation has 0 tokens, of 2,048 that the model reads.",
    ]


def test_an_answer_that_is_cut_off_says_so(talk):
    assert "(Cut off at 8 tokens: /settings max_new_tokens N allows more" in typed(talk, "Hi")
    writes(talk, "Yes.")
    assert typed(talk, "Hi") == "Yes.\n"


def test_a_call_and_its_result_have_a_line_each(talk):
    talk = Conversation(talk.model, talk.tokenizer, tools=[add])
    call = call_of("add", '{"a": 17, "b": 25}')
    writes(talk, call, "It is 42.")
    assert typed(talk, "What is 17 plus 25?") == (
        f"{call}\n(calls add(a=17, b=25))\n(add: 42)\nIt is 42.\n"
    )


def test_a_result_cannot_steer_the_terminal(talk):
    def look() -> str:
        """Look."""
        return NASTY

    talk = Conversation(talk.model, talk.tokenizer, tools=[look])
    writes(talk, call_of("look", "{}"), "Seen.")
    shown = typed(talk, "Look!")
    assert re.fullmatch(r"[\n\t\x20-\x7e␍é中]*", shown), ascii(shown)


def test_thinking_that_the_template_begins_is_marked(talk):
    talk.tokenizer.chat_template += "<think>\n"
    writes(talk, "Hm.\n</think>\n\nYes.")
    assert typed(talk, "Hi") == "<think>\nHm.\n</think>\n\nYes.\n"


# Commands


def test_help_names_every_command_and_each_does_something(talk):
    shown = typed(talk, "/help")
    for name in ("/system", "/regenerate", "/settings", "/tokens", "/help", "/quit"):
        assert f"\n{name}" in f"\n{shown}"
        assert "no command" not in typed(talk, name)


def test_an_unknown_command_is_not_sent_to_the_model(talk):
    assert typed(talk, "/regenrate") == "(There is no command /regenrate; /help lists them.)\n"
    assert talk.messages == []


def test_a_space_in_front_makes_a_message_of_any_line(talk):
    typed(talk, " /etc/hosts is a file", "", "   ")
    assert [message["content"] for message in talk.messages[::2]] == [" /etc/hosts is a file"]


def test_settings_are_shown_changed_and_refused(talk):
    assert "temperature         0.7" in typed(talk, "/settings temperature 0.7")
    shown = typed(talk, "/settings temperature hot", "/settings top_p", "/settings heat 1")
    assert [line.partition(";")[0] for line in shown.splitlines()] == [
        "(temperature='hot' does not fit",
        "(top_p='' does not fit",
        "('heat' is no setting",
    ]
    assert talk.settings == Settings(max_new_tokens=8, temperature=0.7)


def test_tokens_tells_what_came_from_the_cache(talk):
    shown = typed(talk, "/tokens", "Hi", "Go on", "/tokens")
    last = talk.last
    assert 0 < last.reused < last.prompt
    assert shown.startswith("The conversation has 0 tokens, of 2,048 that the model reads.\n")
    assert shown.endswith(
        f"The conversation has {talk.tokens()} tokens, of 2,048 that the model reads.\n"
        f"The last prompt had {last.prompt} tokens: {last.reused} from the cache, "
        f"{last.prompt - last.reused} read. The answer has 8 tokens.\n"
    )


def test_regenerate_says_that_greedy_decoding_has_one_answer(talk):
    assert "Greedy decoding gives one answer" in typed(talk, "Hi", "/regenerate")
    shown = typed(talk, "/settings temperature 1", "Hi", "/regenerate", "/settings")
    assert "Greedy" not in shown and "seed                1" in shown
    typed(talk, "/system")
    assert typed(talk, "/regenerate") == "(There is no answer yet; say something first.)\n"


def test_a_system_message_begins_anew(talk):
    shown = typed(talk, "Hi", "/system Be brief.")
    assert shown.endswith("(A new conversation, with a system message.)\n")
    assert talk.messages == [{"role": "system", "content": "Be brief."}]
    typed(talk, "/system")
    assert talk.messages == []


def test_quit_ends_it(talk):
    typed(talk, "/quit", "Hi")
    assert talk.messages == []


def test_half_a_character_of_the_terminal_does_no_harm(talk):
    typed(talk, "caf\udcc3")
    assert talk.messages[0]["content"] == "caf?"


# Ctrl-C


def at_pass(talk, number: int, times: int) -> None:
    passes = []

    def press(*_):
        passes.append(1)
        if len(passes) == number:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    talk.model.model.layers[-1].register_forward_pre_hook(press)


@pytest.mark.parametrize(("times", "tokens", "end"), [(1, 4, "stopped"), (2, 3, "broken off")])
def test_ctrl_c_stops_an_answer_and_not_the_chat(talk, times, tokens, end):
    before = signal.getsignal(signal.SIGINT)
    at_pass(talk, 4, times)
    shown = typed(talk, "Hi", "/settings seed 3")
    assert f"({end.capitalize()}: what was said so far stays.)\n" in shown and "seed " in shown
    assert len(talk.last.ids) == tokens and talk.last.end == end
    assert talk.messages[-1] == {"role": "assistant", "content": talk.last.text}
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_the_first_token_takes_the_message_back(talk):
    at_pass(talk, 1, 2)
    assert "Stopped before anything was said" in typed(talk, "Hi")
    assert talk.messages == []


def test_ctrl_c_twice_in_a_row_ends_the_chat(talk):
    shown = typed(talk, KeyboardInterrupt, "/tokens", KeyboardInterrupt, KeyboardInterrupt, "Hi")
    assert shown.count("Ctrl-C again, or Ctrl-D, ends the conversation") == 2
    assert talk.messages == []


# The command


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("chat")
    model, tokenizer = chatting(max_position_embeddings=100_000)
    model.generation_config.eos_token_id = None
    for part in (model, tokenizer):
        part.save_pretrained(where)
    return str(where)


def piped(folder: str, lines: bytes, *options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "llmcourse", "chat", folder, *options]
    return subprocess.run(command, input=lines, capture_output=True, cwd=ROOT)


@pytest.mark.slow
def test_a_pipe_gets_the_answers_and_nothing_else(folder):
    done = piped(folder, b"hi\nca\xe9\n/tokens\n", "--max-new-tokens", "4", "--temperature", "1")
    assert done.returncode == 0, done.stderr
    assert b"> " not in done.stdout.splitlines()[0] and b"/help" not in done.stdout
    assert b"\x1b" not in done.stdout and b"from the cache" in done.stdout


@pytest.mark.slow
def test_a_terminal_keeps_the_chat_when_ctrl_c_stops_an_answer(folder):
    pty = pytest.importorskip("pty")
    process, keys = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        os.environ |= {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        command = [sys.executable, "-m", "llmcourse", "chat", folder, "--max-new-tokens", "90000"]
        os.execv(sys.executable, command)
    assert b"/help lists the commands" in read_until(keys, ASKS)
    os.write(keys, b"hi\r")
    read_until(keys, ASKED)
    for _ in range(20):  # it is writing
        os.read(keys, 1)
    os.write(keys, b"\x03")
    assert b"(Stopped: what was said so far stays.)" in read_until(keys, ASKS)
    os.write(keys, b"half a line\x03/tokens\r")
    read_until(keys, ASKED)
    assert b"The last prompt had" in read_until(keys, ASKS)
    os.write(keys, b"\x03")
    read_until(keys, ASKED)
    assert b"Ctrl-C again" in read_until(keys, ASKS)
    os.write(keys, b"\x03")
    read_until(keys, ASKED)
    _, status = os.waitpid(process, 0)
    os.close(keys)
    assert os.waitstatus_to_exitcode(status) == 0


def read_until(keys: int, end: bytes) -> bytes:
    out = b""
    while not out.endswith(end):
        assert select.select([keys], [], [], 60)[0], f"nothing comes after {out[-300:]!r}"
        out += os.read(keys, 1)
    return out


@pytest.fixture
def called(monkeypatch, capsys):
    """Calls the command with a toy model; returns (status, stdout, stderr)."""

    def call(*arguments: str, made=None) -> tuple[int, str, str]:
        monkeypatch.setattr("llmcourse.load", lambda *_, **__: made or chatting())
        monkeypatch.setattr(terminal, "reader", lambda: iter([]).__next__)
        monkeypatch.setattr(terminal.Chat, "run", lambda chat: print(chat.talk.settings))
        status = cli.main(["chat", *arguments])
        return status, *capsys.readouterr()

    return call


def test_options_are_the_settings(called):
    status, out, _ = called("--temperature", "0.5", "--max-new-tokens", "7", "--seed", "2")
    assert status == 0
    assert [line.split()[-1] for line in out.splitlines()] == ["7", "0.5", "own", "own", "own", "2"]


def test_options_that_do_not_fit_are_refused_before_the_model_is_loaded(called):
    status, _, complaint = called("--temperature", "hot")
    assert status == 1 and complaint.startswith("temperature='hot' does not fit; pass a number")


def test_a_model_without_a_template_is_refused_with_the_way_out(called):
    status, _, complaint = called(made=chatting(template=None))
    assert status == 1 and "no chat template" in complaint and "--template chatml" in complaint
    assert called("--template", "chatml", made=chatting(template=None))[0] == 0


def test_without_the_prompt_library_a_terminal_has_plain_lines(monkeypatch):
    asked = []
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or "Hi")
    assert terminal.reader()() == "Hi" and asked == ["> "]


def test_a_closed_stdin_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OSError, match="stdin is closed"):
        terminal.reader()
