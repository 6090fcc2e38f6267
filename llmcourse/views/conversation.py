"""A small chat: it streams, can be stopped, and says how much of its context is used."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ipywidgets as widgets

from llmcourse import html
from llmcourse.decoding.generate import steps
from llmcourse.decoding.stream_text import stream_text
from llmcourse.sandbox import apply_chat_template
from llmcourse.show import in_words, plural, printable, visible
from llmcourse.views._live import Live, button, labelled

_REDRAWN = 0.1  # seconds between two pictures while it writes
_SHOWN = 40  # messages that the page shows, the last ones
_LONGEST = 4_000  # characters of a message that the page shows


@dataclass
class Turn:
    """One message."""

    role: str
    content: str
    end: str = ""  # why the answer ended, where that was not the model's own wish


class Conversation(Live):
    """A conversation with controls. `say` drives it from code, `messages` is what was said.

    turns: the messages, a `Turn` each. used: tokens of the context that they take; limit: how many
    the model can read, None if it does not say. The controls are attributes: message, send, stop,
    start_over. page: what they change. writer: the thread that writes an answer, None before.
    """

    name, shows = "chat", "the conversation"

    def __init__(self, model, tokenizer, messages: Sequence[dict] = (), **generate_kwargs):
        self.model, self.tokenizer, self.settings = model, tokenizer, generate_kwargs
        self._opening = [Turn(str(one["role"]), str(one["content"])) for one in messages]
        self.turns = list(self._opening)
        self.limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.used = self._encoded().input_ids.shape[1] if self.turns else 0
        self.writer, self._halt, self._drawn = None, threading.Event(), 0.0
        # Sent when it is left, not at each letter: the last letters would come after the click.
        self.message = labelled(widgets.Text, "Your message", 420, continuous_update=False)
        self.send = button("Send", self._send)
        self.stop = button("Stop", self._stop)
        self.start_over = button("Start over", self._start_over)
        self.lay_out([self.message, self.send, self.stop, self.start_over])
        self.redraw()

    @property
    def messages(self) -> list[dict]:
        """What was said, as a chat template takes it."""
        return [{"role": turn.role, "content": turn.content} for turn in self.turns]

    @property
    def writing(self) -> bool:
        """Tell whether an answer is being written."""
        return self.writer is not None and self.writer.is_alive()

    def say(self, text: str) -> str:
        """Say something, wait for the answer, and return it.

        Raises ValueError for a text that is blank, while an answer is being written, and where the
        context is full; and what `llmcourse.steps` raises. The conversation is then as before.
        """
        self._ask(text)
        return self._write()

    # The loop: everything that the controls do ends here.

    def _ask(self, text: str) -> None:
        if self.writing:
            raise ValueError("An answer is being written; wait for it, or stop it first.")
        if not text.strip():
            raise ValueError("There is no message to send; type one first.")
        self._halt.clear()
        self.turns.append(Turn("user", text))

    def _write(self) -> str:
        """Write the answer to the last message, token by token, until it ends or is stopped."""
        answer = Turn("assistant", "")
        try:
            walk = steps(self.model, **self._call())
            self.turns.append(answer)
            for piece in stream_text(self.tokenizer, self._counted(walk, answer)):
                answer.content += piece
                self._while_writing()
        except BaseException as error:  # an interrupt too: the turns stay question and answer
            if answer.content:
                answer.end = f"broken off: {in_words(error)}"
            else:
                self._take_back()
            raise
        self.redraw()
        return answer.content

    def _call(self) -> dict:
        inputs = self._encoded().to(self.model.device)
        length = inputs["input_ids"].shape[1]
        call = {"max_new_tokens": 200, **self.settings}
        if self.limit is not None:
            if length >= self.limit:
                raise ValueError(
                    f"The conversation takes {length:,} tokens and the model reads {self.limit:,}, "
                    "so there is no room for an answer; start over."
                )
            call["max_new_tokens"] = min(call["max_new_tokens"], self.limit - length)
        self.used = length
        return {**inputs, **call}

    def _counted(self, walk: Iterator, answer: Turn) -> Iterator:
        """Pass the steps on, count them, and end where somebody pressed Stop."""
        for step in walk:
            self.used += 1
            yield step
            reason = step.stop_reasons[0]
            if reason and reason != "eos":
                answer.end = f"cut off: {reason}"
            elif self._halt.is_set() and not reason:
                answer.end = "stopped"
                return

    def _encoded(self):
        options = {"return_tensors": "pt"}
        if self.tokenizer.chat_template is None:
            text = "".join(f"{turn.content}\n" for turn in self.turns)
            return self.tokenizer(text, **options)
        options |= {"add_generation_prompt": True, "return_dict": True}
        return apply_chat_template(self.tokenizer, self.messages, **options)

    def _take_back(self) -> None:
        """Undo a question that got no answer; its text is back where it was typed."""
        while self.turns and self.turns[-1].role != "user":
            self.turns.pop()
        self.message.value = self.turns.pop().content
        self.used = self._encoded().input_ids.shape[1] if self.turns else 0

    # What each control does. The answer is written in a thread: the kernel takes one message after
    # the other, so a click on Stop would otherwise be heard when there is nothing left to stop.

    def _send(self) -> None:
        try:
            self._ask(self.message.value)
        except ValueError as error:
            self.redraw(str(error))
            return
        self.message.value = ""
        self.redraw("Writing ...")
        self.writer = threading.Thread(target=self._write_or_say, daemon=True)
        self.writer.start()

    def _write_or_say(self) -> None:
        try:
            self._write()
        except Exception as error:
            self.redraw(f"That did not work. {in_words(error)}")

    def _stop(self) -> None:
        if self.writing:
            self._halt.set()
        else:
            self.redraw("Nothing is being written.")

    def _start_over(self) -> None:
        self._halt.set()
        if self.writing:
            self.writer.join()
        self.turns = list(self._opening)
        self.used = self._encoded().input_ids.shape[1] if self.turns else 0
        self.redraw("A new conversation.")

    # How it is shown.

    def _while_writing(self) -> None:
        if time.monotonic() - self._drawn > _REDRAWN:
            self.redraw("Writing ...")

    def redraw(self, note: str = "") -> None:
        """Show the conversation as it is now. note: what happened, in words."""
        self._drawn = time.monotonic()
        self.page.value = html.noted(printable(note, None), self._table())

    def _title(self) -> str:
        said = plural(len(self.turns), "message") if self.turns else "Nothing said yet"
        of = "" if self.limit is None else f" of {self.limit:,}"
        return f"{said}; context used: {self.used:,}{of} tokens"

    def _notes(self) -> list[str]:
        notes, earlier = [], len(self.turns) - _SHOWN
        if earlier > 0:
            verb = "is" if earlier == 1 else "are"
            notes.append(f"{plural(earlier, 'earlier message')} {verb} not shown.")
        if self.tokenizer.chat_template is None:
            notes.append("This tokenizer has no chat template: the model reads the bare texts.")
        return notes

    def _table(self) -> str:
        rows = map(_row, self.turns[-_SHOWN:])
        return html.table(self._title(), (), rows, notes=self._notes())

    def __repr__(self) -> str:
        said = [
            f"{visible(turn.role)}: {' '.join(_lines(turn.content))}"
            + (f" ({turn.end})" if turn.end else "")
            for turn in self.turns[-_SHOWN:]
        ]
        return "\n".join([f"{self._title()}.", *self._notes(), *said])

    def _repr_html_(self) -> str:
        return html.noted("", self._table())


def _row(turn: Turn) -> str:
    end = f"<br><small>({html.escape(turn.end)})</small>" if turn.end else ""
    text = "<br>".join(map(html.escape, _lines(turn.content)))
    role = html.header(html.escape(visible(turn.role)), "row")
    return html.row([role, html.cell(text + end, "max-width:46em;overflow-wrap:anywhere")])


def _lines(text: str) -> list[str]:
    """Return the lines of a text, with nothing invisible in them but plain spaces."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
    return [printable(line, None) for line in cut.split("\n")]


def conversation(
    model, tokenizer, messages: Sequence[dict] = (), **generate_kwargs
) -> Conversation:
    """Chat with the model: type, press Send, watch the answer come, press Stop.

    messages: what was said before, such as a system message; `{"role": ..., "content": ...}` each.
    generate_kwargs: what `model.generate` takes, for greedy decoding or sampling; `max_new_tokens`
    is 200 unless you say otherwise, and never more than the context has room for. A tokenizer
    without a chat template reads the bare texts. With the keyboard alone: Tab, Space for a button.
    """
    return Conversation(model, tokenizer, messages, **generate_kwargs)
