"""A small chat: it streams, stops, answers again, shows calls of tools, and counts its tokens."""

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets

from llmcourse import html
from llmcourse.conversation import turns
from llmcourse.conversation.prompt import BARE
from llmcourse.conversation.settings import Settings
from llmcourse.conversation.tools import in_a_line
from llmcourse.show import in_words, plural, printable
from llmcourse.views._live import Live, button, labelled

_REDRAWN = 0.1  # seconds between two pictures while it writes
_ENTER = 0.3  # seconds in which a text follows the key that sends it
_SHOWN = 40  # messages that the page shows, the last ones
_LONGEST = 4_000  # characters of a message that the page shows
_GREEDY = "Greedy decoding gives one answer; with do_sample=True answers are drawn."


@dataclass
class Turn:
    """A message, or a part of one that has a role of its own."""

    role: str
    content: str
    end: str = ""  # why the answer ended, where that was not the model's own wish
    folded: bool = False  # whether one has to open it to read it


class Conversation(Live):
    """A conversation with controls. `say` drives it from code, `messages` is what was said.

    talk: the conversation itself, without a picture. turns: what is shown of it, a `Turn` each.
    used: tokens of the context that it takes; limit: how many the model can read, None if it does
    not say. The controls are attributes: message, send, stop, regenerate, start_over. page: what
    they change. writer: the thread that writes an answer, None before.
    """

    name, shows = "chat", "the conversation"

    def __init__(self, model, tokenizer, messages: Sequence[dict] = (), **more):
        template = None if getattr(tokenizer, "chat_template", None) else BARE
        more = {"template": template, "settings": Settings(max_new_tokens=200), **more}
        self.talk = turns.Conversation(model, tokenizer, messages=messages, **more)
        self.limit, self._bare = self.talk.limit, more["template"] == BARE
        self._opening, self._opened = self.talk.messages, 0
        with contextlib.suppress(ValueError):  # a template may want a question first
            self._opened = self.talk.tokens(True)
        self._ends: dict[int, str] = {}  # why answers ended, by the place of their last message
        self.writer, self._halt, self._drawn = None, threading.Event(), 0.0
        # Sent when it is left, not at each letter: the last letters would come after the click.
        self.message = labelled(
            widgets.Text, "Your message", 420, continuous_update=False, placeholder="Enter sends it"
        )
        self._entered: threading.Timer | None = None
        self.message.on_msg(self._key)
        self.message.observe(self._enter, "value")
        self.send = button("Send", lambda: self._start(self.message.value))
        self.stop = button("Stop", self._stop)
        self.regenerate = button("Regenerate", lambda: self._start(None))
        self.start_over = button("Start over", self._start_over)
        self.lay_out([self.message, self.send, self.stop, self.regenerate, self.start_over])
        self.redraw()

    @property
    def messages(self) -> list[dict]:
        """What was said, as a chat template takes it."""
        return self.talk.so_far()

    @property
    def turns(self) -> list[Turn]:
        """What was said, as it is shown: thinking, calls and results have roles of their own."""
        return self._turns(0)

    @property
    def used(self) -> int:
        """The tokens of the context that the conversation takes."""
        answer = self.talk.now or self.talk.last
        return self._opened if answer is None else answer.prompt + len(answer.ids)

    @property
    def writing(self) -> bool:
        """Tell whether an answer is being written."""
        return self.writer is not None and self.writer.is_alive()

    def say(self, text: str) -> str:
        """Say something, wait for the answer, and return it.

        Raises ValueError for a text that is blank, while an answer is being written, and where the
        context is full; and what `llmcourse.steps` raises. The conversation is then as before.
        """
        self._check(text)
        return self._write(text)

    # Everything that the controls do ends here. text: what is said, None for the last answer again.

    def _check(self, text: str | None) -> None:
        if self.writing:
            raise ValueError("An answer is being written; wait for it, or stop it first.")
        if text is None and self.talk.last is None:
            raise ValueError("There is no answer yet; say something first.")
        if text is not None and not text.strip():
            raise ValueError("There is no message to send; type one first.")
        self._halt.clear()

    def _write(self, text: str | None) -> str:
        """Write an answer, token by token, until it ends or is stopped, and return it."""
        before, failed, asked = self.talk.last, "", None
        ask = self.talk.regenerate if text is None else lambda: self.talk.say(text)
        try:
            with contextlib.closing(ask()) as pieces:
                asked = len(self.messages) - 1
                if self._halt.is_set():  # while the answer was prepared
                    self.talk.stop()
                self.redraw("Writing ...")
                for piece in pieces:
                    if not piece or time.monotonic() - self._drawn > _REDRAWN:
                        self.redraw("Writing ...")
        except BaseException as error:  # an interrupt too
            failed = f"broken off: {in_words(error)}"
            raise
        finally:
            said = asked is not None and self.talk.last is not before
            if said:
                self._ends = {at: end for at, end in self._ends.items() if at < asked}
                self._ends[len(self.messages) - 1] = failed or _why(self.talk.last.end)
            elif text is not None:  # it is back where it was typed
                self.message.value = text
            if failed:
                self.redraw(failed.capitalize())
        if not said:
            self.redraw("Stopped before anything was said.")
            return ""
        self.redraw(_GREEDY if text is None and not self.talk.last.sampled else "")
        return next(one["content"] for one in self.messages[::-1] if one["role"] == "assistant")

    # What each control does. The answer is written in a thread: the kernel takes one message after
    # the other, so a click on Stop would otherwise be heard when there is nothing left to stop.

    def _start(self, text: str | None) -> None:
        try:
            self._check(text)
        except ValueError as error:
            self.redraw(str(error))
            return
        if text is not None:
            self.message.value = ""
        self.redraw("Writing ...")
        self.writer = threading.Thread(target=self._write_or_say, args=(text,), daemon=True)
        self.writer.start()

    def _write_or_say(self, text: str | None) -> None:
        try:
            self._write(text)
        except BaseException as error:  # a tool's too: nobody else would hear of it
            self.redraw(f"That did not work. {in_words(error)}")

    def _key(self, _, content: dict, buffers) -> None:
        # A page tells of Enter first, and then of the text, if that is not known yet. A text that
        # comes alone was left with Tab or the mouse: it is not sent.
        if content.get("event") == "submit":
            self._entered = threading.Timer(_ENTER, self._enter)
            self._entered.start()

    def _enter(self, *_) -> None:
        pressed, self._entered = self._entered, None
        if pressed is not None:
            pressed.cancel()
            self.send.click()

    def _stop(self) -> None:
        if not self.writing:
            self.redraw("Nothing is being written.")
        self._halt.set()
        self.talk.stop()

    def _start_over(self) -> None:
        self._halt.set()
        self.talk.stop()
        if self.writing:
            self.writer.join()
        try:
            self.talk.start(messages=self._opening)
        except ValueError as error:  # it is being written elsewhere, by `say`
            self.redraw(str(error))
            return
        self._ends = {}
        self.redraw("A new conversation.")

    # How it is shown.

    def redraw(self, note: str = "") -> None:
        """Show the conversation as it is now. note: what happened, in words."""
        self._drawn = time.monotonic()
        self.page.value = html.noted(printable(note, None), self._table())

    def _turns(self, first: int) -> list[Turn]:
        there = list(enumerate(self.messages))[first:]
        return [turn for at, each in there for turn in _parts(each, self._ends.get(at, ""))]

    def _title(self) -> str:
        many = len(self.messages)
        said = plural(many, "message") if many else "Nothing said yet"
        of = "" if self.limit is None else f" of {self.limit:,}"
        return f"{said}; context used: {self.used:,}{of} tokens"

    def _notes(self) -> list[str]:
        notes, earlier, last = [], len(self.messages) - _SHOWN, self.talk.last
        if earlier > 0:
            verb = "is" if earlier == 1 else "are"
            notes.append(f"{plural(earlier, 'earlier message')} {verb} not shown.")
        if self._bare:
            notes.append("This tokenizer has no chat template: the model reads the bare texts.")
        answers = sum(each["role"] == "assistant" for each in self.talk.messages)
        if last is not None and (last.reused or answers > 1):
            notes.append(last.reading)
        return notes

    def _table(self) -> str:
        rows = map(_row, self._turns(max(0, len(self.messages) - _SHOWN)))
        return html.table(self._title(), (), rows, notes=self._notes())

    def __repr__(self) -> str:
        said = [
            f"{_role(turn)}: {' '.join(_lines(turn.content))}"
            + (f" ({turn.end})" if turn.end else "")
            for turn in self._turns(max(0, len(self.messages) - _SHOWN))
        ]
        return "\n".join([f"{self._title()}.", *self._notes(), *said])

    def _repr_html_(self) -> str:
        return html.noted("", self._table())


def _parts(message: dict, end: str) -> list[Turn]:
    """Return what is shown of a message, in the order in which it was written; end: of the last."""
    role, content = str(message["role"]), str(message.get("content") or "")
    thinking, calls = message.get("reasoning_content"), message.get("tool_calls")
    parts = [Turn(f"{role}, thinking", str(thinking), folded=True)] if thinking else []
    if content or not (thinking or calls):
        parts.append(Turn(f"{role} {message['name']}" if "name" in message else role, content))
    if calls:
        parts.append(Turn(f"{role}, calls", "\n".join(map(in_a_line, calls))))
    parts[-1].end = end
    return parts


def _why(end: str) -> str:
    return {"eos": "", "stopped": end}.get(end, f"cut off: {end}")


def _row(turn: Turn) -> str:
    end = f"<br><small>({html.escape(turn.end)})</small>" if turn.end else ""
    text = "<br>".join(map(html.escape, _lines(turn.content)))
    if turn.folded:
        words = plural(len(turn.content.split()), "word")
        text = f"<details><summary>{words}</summary><div>{text}</div></details>"
    role = html.header(html.escape(_role(turn)), "row")
    return html.row([role, html.cell(text + end, "max-width:46em;overflow-wrap:anywhere")])


def _role(turn: Turn) -> str:
    return printable(turn.role, 40)


def _lines(text: str) -> list[str]:
    """Return the lines of a text, with nothing invisible in them but plain spaces."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    return [printable(line, None) for line in cut.split("\n")]


def conversation(model, tokenizer, messages: Sequence[dict] = (), **more) -> Conversation:
    """Chat with the model: type, press Enter, watch the answer come, press Stop or Regenerate.

    messages: what was said before, such as a system message; `{"role": ..., "content": ...}` each.
    more: what `model.generate` takes, for greedy decoding or sampling; `max_new_tokens` is 200
    unless you say otherwise, and never more than the context has room for. And what
    `conversation.turns.Conversation` takes: `tools`, functions that the model may call; `rounds`,
    how often in a row; `rules`, as in `llmcourse.steps`, or a function that returns them.
    What is drawn is drawn from one seed, which Regenerate moves on. A tokenizer without a chat
    template reads the bare texts. With the keyboard alone: Enter sends, Tab, Space for a button.
    """
    return Conversation(model, tokenizer, messages, **more)
