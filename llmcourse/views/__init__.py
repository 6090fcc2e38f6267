"""Pictures of what the loop does: each an object with a text form and a static HTML form.

>>> from llmcourse import views
>>> views.tokens(tokenizer, "A list of colors: red, blue")
"""

from llmcourse.views.batch import Batch, batch
from llmcourse.views.cache import Cache, cache
from llmcourse.views.chart import Chart
from llmcourse.views.likely import likely, surprise
from llmcourse.views.next_token import NextToken, next_token
from llmcourse.views.reading import reading
from llmcourse.views.strategies import Strategies, strategies
from llmcourse.views.text_trace import TextTrace, text_trace
from llmcourse.views.tokens import Tokens, tokens
from llmcourse.views.trace import trace

__all__ = ["Batch", "Chart", "Tokens", "batch", "likely", "reading", "surprise", "tokens", "trace"]
__all__ += ["NextToken", "TextTrace", "next_token", "text_trace"]
__all__ += ["Cache", "Strategies", "cache", "strategies"]
