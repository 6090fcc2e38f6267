"""Pictures of what the loop does: each an object with a text form and a static HTML form.

>>> from llmcourse import views
>>> views.tokens(tokenizer, "A list of colors: red, blue")
"""

from llmcourse.views.batch import Batch, batch
from llmcourse.views.chart import Chart
from llmcourse.views.likely import likely, surprise
from llmcourse.views.reading import reading
from llmcourse.views.tokens import Tokens, tokens
from llmcourse.views.trace import trace

__all__ = ["Batch", "Chart", "Tokens", "batch", "likely", "reading", "surprise", "tokens", "trace"]
