"""The terminal part of a conversation: lines come in, answers go out piece by piece, commands."""

import contextlib
import re
import signal
import sys
from collections.abc import Callable, Iterator

from llmcourse.conversation.tools import begins_thinking, in_a_line
from llmcourse.conversation.turns import Answer, Conversation
from llmcourse.show import in_words, plural, printable, readable

COMMANDS = {
    "/system TEXT": "begin anew with a system message; without TEXT, with none",
    "/regenerate": "the last answer again; where answers are drawn, from the next seed",
    "/settings [NAME VALUE]": "show the settings, or change one",
    "/tokens": "how long the conversation is, and what of it came from the cache",
    "/help": "these lines",
    "/quit": "end; Ctrl-D does so too, and Ctrl-C twice",
}
HELP = "\n".join(
    [f"{name:23} {what}" for name, what in COMMANDS.items()]
    + ["A line that begins with a space is a message, whatever comes next."]
)
_NAMES = [name.split()[0] for name in COMMANDS]


class Chat:
    """A conversation in a terminal.

    read: returns the next line; raises EOFError at the end and KeyboardInterrupt at Ctrl-C. write:
    shows a text, which holds no control characters but line breaks and tabs.
    """

    def __init__(self, talk: Conversation, read: Callable[[], str], write: Callable[[str], None]):
        self.talk, self.read, self.write = talk, read, write

    def run(self) -> None:
        """Read lines until `/quit`, the end of the input, or Ctrl-C twice in a row."""
        interrupted = False
        while True:
            try:
                line = self.read().encode(errors="replace").decode()  # no halves of characters
                interrupted = False
                self.obey(line)
            except EOFError:
                return
            except KeyboardInterrupt:
                if interrupted:
                    return
                interrupted = True
                self.note("Ctrl-C again, or Ctrl-D, ends the conversation.")

    def obey(self, line: str) -> None:
        """Do what a line says: a command, or a message to answer. What fails is said."""
        name, _, rest = line.partition(" ")
        try:
            if not line.strip():
                return
            if not line.startswith("/"):
                self.show(lambda: self.talk.say(line))
            elif name not in _NAMES:
                raise ValueError(f"There is no command {name}; /help lists them.")
            else:
                getattr(self, f"_{name[1:]}")(rest.strip())
        except (EOFError, OSError):  # the end; stdout is gone
            raise
        except ValueError as error:
            self.note(readable(error))
        except Exception as error:
            self.note(f"That did not work. {in_words(error)}")

    def show(self, ask: Callable[[], Iterator[str]]) -> None:
        """Write an answer as it comes. Ctrl-C stops it between two tokens, a second one at once."""
        before = self.talk.last
        with (
            contextlib.suppress(KeyboardInterrupt),
            _ctrl_c(self.talk.stop),
            contextlib.closing(ask()) as pieces,
        ):
            if begins_thinking(self.talk.now.opening):
                self.write("<think>\n")  # the template wrote it
            try:
                for piece in pieces:
                    self.write(shown(piece) if piece else news(self.talk.messages[-1]))
            finally:
                self.write("\n")
        if self.talk.last is before:
            self.note("Stopped before anything was said; the conversation is as it was before.")
        elif self.talk.last.end not in ("eos", "stop string"):
            self.note(how_it_ended(self.talk.last))

    def note(self, text: str) -> None:
        """Write a sentence of the program's own."""
        self.write(f"({text})\n")

    def _system(self, text: str) -> None:
        self.talk.start(text)
        self.note(f"A new conversation, with{'' if text else 'out'} a system message.")

    def _regenerate(self, rest: str) -> None:
        self.show(self.talk.regenerate)
        if not self.talk.last.sampled:
            self.note("Greedy decoding gives one answer; /settings temperature 0.7 has it drawn.")

    def _settings(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        if name:
            self.talk.settings.set(name, value.strip())
        self.write(f"{self.talk.settings}\n")

    def _tokens(self, rest: str) -> None:
        of = "" if self.talk.limit is None else f", of {self.talk.limit:,} that the model reads"
        lines = [f"The conversation has {plural(self.talk.tokens(), 'token')}{of}."]
        if self.talk.last is not None:
            last = self.talk.last
            lines.append(f"{last.reading} The answer has {plural(len(last.ids), 'token')}.")
        self.write("\n".join(lines) + "\n")

    def _help(self, rest: str) -> None:
        self.write(f"{HELP}\n")

    def _quit(self, rest: str) -> None:
        raise EOFError


def how_it_ended(answer: Answer) -> str:
    """Return in a sentence why an answer ended that the model did not end itself."""
    if answer.end == "length":
        return (
            f"Cut off at {plural(answer.limit, 'token')}: /settings max_new_tokens N allows more, "
            "as far as the model reads."
        )
    if answer.end in ("stopped", "broken off"):
        return f"{answer.end.capitalize()}: what was said so far stays."
    return f"Ended by: {printable(answer.end)}."


def news(message: dict) -> str:
    """Return the lines that say what an answer calls, or what came of a call."""
    if message["role"] == "tool":
        return f"({readable(message['name'])}: {readable(message['content'])})\n"
    return "\n" + "".join(
        f"(calls {readable(in_a_line(call))})\n" for call in message["tool_calls"]
    )


def shown(text: str) -> str:
    """Return a model's text with its line breaks and tabs, and nothing else that is obeyed."""
    parts = re.split(r"([\n\t])", text)
    return "".join(part if part in "\n\t" else printable(part, None) for part in parts)


@contextlib.contextmanager
def _ctrl_c(stop: Callable[[], None]) -> Iterator[None]:
    """Have the first Ctrl-C call `stop`, and the next one raise KeyboardInterrupt, as ever."""

    def first(number, frame) -> None:
        signal.signal(signal.SIGINT, before)
        stop()

    try:
        before = signal.signal(signal.SIGINT, first)
    except ValueError:  # not the main thread, which alone hears signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def reader() -> Callable[[], str]:
    """Return what reads a line: with history and completion in a terminal, plain where it is none.

    In a terminal Ctrl-C clears a line, or raises KeyboardInterrupt where there is none to clear.
    Raises OSError without a stdin.
    """
    if sys.stdin is None:
        raise OSError("stdin is closed, so there is nobody to talk with.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stdin.reconfigure(errors="replace")
        return input
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.filters import Condition
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.shortcuts import CompleteStyle
    except ImportError:
        return lambda: input("> ")
    keys = KeyBindings()
    session = PromptSession(
        "> ",
        completer=WordCompleter(_NAMES, sentence=True),
        complete_style=CompleteStyle.READLINE_LIKE,  # at Tab, and without a menu's empty lines
        reserve_space_for_menu=0,
        key_bindings=keys,
    )
    written = Condition(lambda: bool(session.default_buffer.text))
    keys.add("c-c", filter=written)(lambda event: event.current_buffer.reset())
    return session.prompt
