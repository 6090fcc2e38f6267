"""One call in `generate` and in our loop: everything that comes of it, compared bit for bit."""

import torch

import llmcourse
from tests.support.settings import EVERYTHING, SEED


def generate_as_the_library(model, **call):
    """Return what the library's `generate` gives, with scores and logits, from `SEED`."""
    torch.manual_seed(SEED)
    return model.generate(**EVERYTHING, **call)


def assert_equal_tensors(ours: tuple, theirs: tuple, what: str) -> None:
    assert len(ours) == len(theirs), f"{len(ours)} steps of {what}, `generate` took {len(theirs)}"
    for step, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert one.dtype == other.dtype == torch.float32, f"{what} of step {step}: {one.dtype}"
        assert torch.equal(one, other), (
            f"{what} of step {step} differ by {(one - other).abs().nan_to_num(0).max():.1e}"
        )


def assert_equal_output(ours, theirs) -> None:
    assert type(ours) is type(theirs)
    assert_equal_tensors(ours.logits, theirs.logits, "logits")
    assert_equal_tensors(ours.scores, theirs.scores, "scores")
    assert torch.equal(ours.sequences, theirs.sequences)


def assert_equal_steps(steps: list, theirs, prompt: torch.Tensor) -> None:
    assert [step.index for step in steps] == list(range(len(steps)))
    assert_equal_tensors(tuple(step.logits for step in steps), theirs.logits, "logits")
    assert_equal_tensors(tuple(step.scores for step in steps), theirs.scores, "scores")
    chosen = torch.stack([step.chosen for step in steps], dim=1)
    assert torch.equal(torch.cat([prompt, chosen], dim=1), theirs.sequences)
    for step in steps:
        assert torch.equal(step.probs, step.scores.softmax(-1))


def assert_same_call(model, **call) -> list:
    """Run one call in `generate`, in the glass box and in `steps`; return the steps."""
    theirs = generate_as_the_library(model, **call)
    random_state = torch.get_rng_state()
    boxed = generate_as_the_library(model, **call, custom_generate=llmcourse.glass_box)
    assert_equal_output(boxed, theirs)
    torch.manual_seed(SEED)
    walked = list(llmcourse.steps(model, **EVERYTHING, **call))
    new_tokens = len(theirs.logits)
    assert_equal_steps(walked, theirs, theirs.sequences[:, :-new_tokens])
    assert torch.equal(torch.get_rng_state(), random_state), "the random numbers used differ"
    return walked
