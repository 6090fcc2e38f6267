"""Several processes, as accelerate starts them: who does what, and how all get to know it."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from llmcourse.show import in_words

T = TypeVar("T")


class Processes:
    """All processes of this run; one, unless `accelerate launch` or `torchrun` started more."""

    def __init__(self):
        self.state, self.count, self.is_first = None, 1, True
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            import torch
            from accelerate import PartialState

            self.state = PartialState(cpu=not torch.cuda.is_available())
            self.count = self.state.num_processes
            self.is_first = self.state.is_main_process

    def first_says(self, make: Callable[[], T]) -> T:
        """Let the first process make something, and return it in all; what it raises, too."""
        if self.state is None:
            return make()
        from accelerate.utils import broadcast_object_list

        told: list[Any] = [None, None]
        if self.is_first:
            try:
                told[0] = make()
            except (OSError, ValueError, ImportError, RuntimeError) as error:
                told[1] = f"{error}"
        broadcast_object_list(told)
        if told[1] is not None:
            raise ValueError(told[1])
        return told[0]

    def each(self, work: Sequence[T], do: Callable[[T], Any]) -> list[tuple[Any, str]]:
        """Do all of the work, shared out, and return (result, "" or an error) in its order."""
        if self.state is None:
            return [_tried(do, one) for one in work]
        from accelerate.utils import gather_object

        with self.state.split_between_processes(list(work)) as mine:
            return gather_object([_tried(do, one) for one in mine])

    def leave(self) -> None:
        """Wait for the others, and end the group with its threads; call it last, in all.

        A thread that is left at the interpreter's end dies where it wants to free a tensor, and
        takes the process with it.
        """
        if self.state is not None:
            self.state.wait_for_everyone()
            self.state.destroy_process_group()


def _tried(do: Callable[[T], Any], one: T) -> tuple[Any, str]:
    """Return what `do` makes, or its error in words: the others must not wait for a dead one."""
    try:
        return do(one), ""
    except Exception as error:
        return None, in_words(error)
