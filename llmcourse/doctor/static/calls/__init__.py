"""Calls of `generate` and of pipelines: what goes in, which settings, which lengths and seeds."""

from llmcourse.doctor.static.calls import caches, choosing, given, inputs, lengths, settings

MODULES = (
    caches,
    choosing,
    given,
    inputs,
    lengths,
    settings,
)
