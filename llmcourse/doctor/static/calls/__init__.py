"""Calls of `generate` and of pipelines: what goes in, which settings, which lengths and seeds."""

from llmcourse.doctor.static.calls import choosing, inputs, lengths, seeds, settings

MODULES = (
    choosing,
    inputs,
    lengths,
    seeds,
    settings,
)
