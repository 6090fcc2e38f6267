"""What a model is asked: texts that are filled in and encoded, chats, tools, thoughts.

Up to the ids that go in; how the answer is read is in `answers`, also where a chat gave it.
"""

from llmcourse.doctor.static.prompts import (
    batches,
    encoding,
    filled,
    messages,
    templates,
    thinking,
    tools,
    turns,
)

MODULES = (
    batches,
    encoding,
    filled,
    messages,
    templates,
    thinking,
    tools,
    turns,
)
