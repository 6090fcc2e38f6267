"""Where a text ends and how it comes: criteria, stop words, the end token, streams."""

from llmcourse.doctor.static.stopping import criteria, ends, stop_words, streamers, streams

MODULES = (
    criteria,
    ends,
    stop_words,
    streamers,
    streams,
)
