"""Pitfalls in the weights: made anew at loading, left out, never loaded, or of no effect."""

import re
from collections.abc import Iterator

import torch

from llmcourse.doctor.case import Case, LoadReport
from llmcourse.doctor.finding import CERTAIN, ERROR, LIKELY, NOTE, WARNING, Finding
from llmcourse.doctor.pitfalls.registry import Needs, Subject, pitfall
from llmcourse.show import plural, printable

_SHOWN = 3  # names of weights that a finding repeats
_LONGEST = 160  # characters of these names
# Parts by which no text is made: what reads pictures and sound, what scores, what guesses ahead.
_BESIDE = re.compile(r"vision|visual|image|audio|speech|encoder\.|score|classif|v_head|mtp|nextn")
_IN_A_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
# What files hold beside weights: tables that are computed, scales of quantized weights.
_COMPUTED = re.compile(r"inv_freq|rotary|masked_bias|attn\.bias$|scale|absmax|quant|zero|g_idx|SCB")


@pitfall(
    "weights-made-anew",
    subject=Subject.MODEL,
    severities=(ERROR, WARNING),
    needs=(Needs.LOADS,),
    symptom="Noise: words of many languages, or one token over and over.",
    cause="""
        Weights that the model has and the files lack, or have in another shape, are made at random,
        and `from_pretrained` says so in a report (MISSING, MISMATCH) and goes on. It happens with
        a changed config (`tie_word_embeddings`, `vocab_size`), the class of another architecture,
        a checkpoint without a head, or names that a wrapper has changed.
    """,
    fix="""
        Load with `AutoModelForCausalLM` and the config of the files; read the report; ask for it
        with `output_loading_info=True`.
    """,
    example="""
        model, report = AutoModelForCausalLM.from_pretrained(name, output_loading_info=True)
        assert not report["missing_keys"] and not report["mismatched_keys"]
    """,
    how_sure="""
        Certain which weights were missing and have not been written to since. Likely where the
        files hold weights of the model's layers that it has no place for. A warning where it is
        only a bias or a scale, or a part beside the text model.
    """,
)
def weights_made_anew(case: Case) -> Iterator[Finding]:
    """Weights are random: they were not in the files, and nothing has trained them since."""
    for report in case.load_reports:
        if report.from_state_dict:
            continue
        if report.made_anew:
            grave = any(_is_of_the_text(case, name) for name in report.made_anew)
            yield Finding(
                code="weights-made-anew",
                severity=ERROR if grave else WARNING,
                confidence=CERTAIN,
                what=_what_was_made(case, report),
                why=(
                    "What the model computes with them is noise; the load report said MISSING or "
                    "MISMATCH."
                    if grave
                    else "They are small, or beside what makes the text; the load report said so."
                ),
                fix=f"AutoModelForCausalLM.from_pretrained(name)  # {_rather(case, report)}",
            )
        elif left_out := _left_out_of_layers(case, report):
            yield Finding(
                code="weights-made-anew",
                severity=WARNING,
                confidence=LIKELY,
                what=(
                    f"The files hold {plural(len(left_out), 'weight')} that "
                    f"{type(case.model).__name__} has no place for: {_some(left_out)}."
                ),
                why="They are left out: the model computes something else than the trained one.",
                fix="AutoModelForCausalLM.from_pretrained(name)  # with the files' own config",
            )


def _what_was_made(case: Case, report: LoadReport) -> str:
    if report.other_shapes:
        name, (there, here) = next(iter(report.other_shapes.items()))
        shapes = f"{name} is {list(there)} there and {list(here)} here"
        how = f"have another shape in the files ({printable(shapes, _LONGEST)})"
    else:
        how = f"are missing in the files ({_some(report.made_anew)})"
    return (
        f"{len(report.made_anew)} of {_parameters(case)} weights of {type(case.model).__name__} "
        f"{how}: they were initialized at random, and are untrained."
    )


def _rather(case: Case, report: LoadReport) -> str:
    """Return what to load with instead, in words."""
    if len(report.made_anew) < _parameters(case):
        return "the files' own class and config"
    return f"not {type(case.model).__name__}: the files are of another architecture"


def _parameters(case: Case) -> int:
    return sum(1 for _ in case.model.parameters())


def _is_of_the_text(case: Case, name: str) -> bool:
    """Tell whether a weight is a matrix of the text model: of its layers, embeddings or head."""
    if _BESIDE.search(name) and case.decoder_only:
        return False
    return case.model.get_parameter(name).dim() > 1


def _left_out_of_layers(case: Case, report: LoadReport) -> list[str]:
    """Return the weights in the files of layers that the model has, for which it has no place."""
    layers = getattr(case.model.config.get_text_config(), "num_hidden_layers", None)
    asked = any("num_hidden_layers" in load for load in case.loads)
    if layers is None or asked:
        return []
    found = []
    for name in report.left_out:
        at = _IN_A_LAYER.search(name)
        beside = _BESIDE.search(name) or _COMPUTED.search(name)
        if at and not beside and int(at[1]) < layers:
            found.append(name)
    return found


def _some(names) -> str:
    """Return the first few of some names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return printable(", ".join(list(names)[:_SHOWN]), _LONGEST) + more


@pitfall(
    "state-dict-not-loaded",
    subject=Subject.MODEL,
    severities=(ERROR, WARNING),
    needs=(Needs.LOADS,),
    symptom="The texts are those from before the training, or noise.",
    cause="""
        `load_state_dict(..., strict=False)` passes over every name that the model does not have,
        and only returns these names. Wrappers put a prefix before all of them: `module.` of
        DataParallel, `_orig_mod.` of torch.compile, `base_model.model.` of PEFT.
    """,
    fix="Take the prefix away, leave `strict` on, or look at what is returned.",
    example="""
        weights = {name.removeprefix("module."): value for name, value in weights.items()}
        model.load_state_dict(weights)
    """,
    how_sure="Certain: the names without a place are counted. An error where it is all of them.",
)
def state_dict_not_loaded(case: Case) -> Iterator[Finding]:
    """Weights were given to the model, and their names fit none of its own."""
    for report in case.load_reports:
        lost = len(report.left_out)
        if not report.from_state_dict or 2 * lost < report.given:
            continue
        prefix = _prefix(report.left_out)
        yield Finding(
            code="state-dict-not-loaded",
            severity=ERROR if lost == report.given else WARNING,
            confidence=CERTAIN,
            what=(
                f"load_state_dict was given {plural(report.given, 'weight')}, and {lost} of them "
                f"have names that the model lacks: {_some(report.left_out)}."
            ),
            why="With strict=False they are passed over: the model has the weights it had before.",
            fix=(
                f"weights = {{name.removeprefix({prefix!r}): value for name, value in "
                "weights.items()}"
                if prefix
                else "model.load_state_dict(weights)  # with strict, which says what does not fit"
            ),
        )


def _prefix(names: tuple[str, ...]) -> str:
    """Return what a wrapper put before all names, "" if nothing."""
    known = ("module.", "_orig_mod.", "base_model.model.", "model.module.", "_fsdp_wrapped_module.")
    return next((one for one in known if all(name.startswith(one) for name in names)), "")


@pitfall(
    "adapter-without-effect",
    subject=Subject.MODEL,
    severities=(ERROR,),
    symptom="With the adapter the model writes what it writes without.",
    cause="""
        The second matrix of a fresh LoRA adapter is zero, so that training starts at the base
        model. It stays so where the adapter was made (`get_peft_model`, `add_adapter`) and never
        trained, or where the files' names did not fit and nothing was loaded.
    """,
    fix="Load the trained adapter onto the base model.",
    example="""
        model = AutoModelForCausalLM.from_pretrained(base)
        model = PeftModel.from_pretrained(model, folder)
    """,
    how_sure="Certain: all of the active adapter's second matrices are zero.",
)
def adapter_without_effect(case: Case) -> Iterator[Finding]:
    """A LoRA adapter adds nothing: it was never trained, or never loaded."""
    if not getattr(case.model, "peft_config", None):
        return
    second = [_matrices(part.lora_B) for part in case.model.modules() if hasattr(part, "lora_B")]
    matrices = [one for some in second for one in some]
    if not matrices or any(bool(one.any()) for one in matrices):
        return
    names = ", ".join(map(str, case.model.peft_config))
    yield Finding(
        code="adapter-without-effect",
        severity=ERROR,
        confidence=CERTAIN,
        what=(
            f"The adapter ({printable(names, _LONGEST)}) is untrained: lora_B is zero in "
            f"all of its {plural(len(matrices), 'layer')}."
        ),
        why="It adds nothing: every text is the base model's.",
        fix="PeftModel.from_pretrained(model, folder)  # the trained adapter, not get_peft_model",
    )


def _matrices(lora_b) -> list[torch.Tensor]:
    """Return the second matrices of one layer's adapters."""
    each = lora_b.values() if isinstance(lora_b, torch.nn.ModuleDict) else [lora_b]
    weights = [getattr(one, "weight", None) for one in each]
    return [one for one in weights if isinstance(one, torch.Tensor)]


@pitfall(
    "layers-elsewhere",
    subject=Subject.MODEL,
    severities=(WARNING, NOTE),
    symptom="Seconds or minutes a token, and a graphics card that hardly works.",
    cause="""
        `device_map="auto"` lays what does not fit on the graphics card into the processor's memory,
        and what does not fit there onto the disk. Each token needs all layers: they are copied
        again for each.
    """,
    fix="Take fewer bits or a smaller model.",
    example="AutoModelForCausalLM.from_pretrained(name, quantization_config=config)",
    how_sure="Certain: the model's `hf_device_map` says where its layers are.",
)
def layers_elsewhere(case: Case) -> Iterator[Finding]:
    """Layers lie on the disk, or beside the graphics card, and are copied for each token."""
    places = [str(one) for one in (getattr(case.model, "hf_device_map", None) or {}).values()]
    slow = next((one for one in ("disk", "cpu") if one in places), None)
    if slow is None or len(set(places)) == 1:
        return
    yield Finding(
        code="layers-elsewhere",
        severity=WARNING if slow == "disk" else NOTE,
        confidence=CERTAIN,
        what=f"{places.count(slow)} of the model's {len(places)} parts lie on the {slow}.",
        why="They are copied again for each token, which takes most of the time.",
        fix="AutoModelForCausalLM.from_pretrained(name, quantization_config=config)  # fewer bits",
    )
