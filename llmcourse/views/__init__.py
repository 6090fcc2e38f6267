"""Pictures of what the loop does: each an object with a text form and a static HTML form.

>>> from llmcourse import views
>>> views.tokens(tokenizer, "A list of colors: red, blue")
"""

from llmcourse.views._chart import Chart, chart
from llmcourse.views.attention import Attention, attention
from llmcourse.views.batch import Batch, batch
from llmcourse.views.beams import Beams, beams
from llmcourse.views.cache import Cache, cache
from llmcourse.views.chat import Chat, chat
from llmcourse.views.conversation import Conversation, conversation
from llmcourse.views.drafts import Drafts, drafts
from llmcourse.views.explore import Explore, explore
from llmcourse.views.layers import Layers, layers
from llmcourse.views.next_token import NextToken, likely, next_token
from llmcourse.views.padding import Padding, padding
from llmcourse.views.race import Lanes, race
from llmcourse.views.reading import reading
from llmcourse.views.replay import Replay, replay
from llmcourse.views.schedule import Schedule, schedule
from llmcourse.views.stepper import Stepper, stepper
from llmcourse.views.strategies import Strategies, strategies
from llmcourse.views.surprise import surprise
from llmcourse.views.text_trace import TextTrace, text_trace
from llmcourse.views.tokens import Tokens, tokens
from llmcourse.views.tool_call import ToolCall, tool_call
from llmcourse.views.trace import trace
from llmcourse.views.walk import Walk

__all__ = [
    "Attention",
    "Batch",
    "Beams",
    "Cache",
    "Chart",
    "Chat",
    "Conversation",
    "Drafts",
    "Explore",
    "Lanes",
    "Layers",
    "NextToken",
    "Padding",
    "Replay",
    "Schedule",
    "Stepper",
    "Strategies",
    "TextTrace",
    "Tokens",
    "ToolCall",
    "Walk",
    "attention",
    "batch",
    "beams",
    "cache",
    "chart",
    "chat",
    "conversation",
    "drafts",
    "explore",
    "layers",
    "likely",
    "next_token",
    "padding",
    "race",
    "reading",
    "replay",
    "schedule",
    "stepper",
    "strategies",
    "surprise",
    "text_trace",
    "tokens",
    "tool_call",
    "trace",
]
