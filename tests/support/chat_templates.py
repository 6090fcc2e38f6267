"""The course's chat templates by name, and a tiny tokenizer that knows their tokens."""

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from llmcourse.chat import templates

TEMPLATES = {name: template.text for name, template in templates().items() if "tools" not in name}
CHATML = TEMPLATES["chatml"]
CHATML_WITH_DEFAULT = TEMPLATES["chatml with a default"]
LLAMA_2 = TEMPLATES["llama 2"]
LLAMA_3 = TEMPLATES["llama 3"]
MISTRAL = TEMPLATES["mistral"]
ZEPHYR = TEMPLATES["zephyr"]
GEMMA = TEMPLATES["gemma"]

_SPECIAL = """<s> </s> <|im_start|> <|im_end|> <|start_header_id|> <|end_header_id|> <|eot_id|>
[INST] [/INST] <start_of_turn> <end_of_turn> <|user|> <|assistant|> <|system|>""".split()  # noqa: SIM905


def letters(template: str, adds_bos: bool = False) -> PreTrainedTokenizerFast:
    """Return a tokenizer with a token for each byte, `template`'s special tokens and no others.

    adds_bos: whether it puts `<s>` before a text, as Llama's and Gemma's do.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({letter: n for n, letter in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    special = [name for name in _SPECIAL if name in template or name in ("<s>", "</s>")]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        extra_special_tokens=special[2:],
    )
    if adds_bos:
        first = ("<s>", tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[first]
        )
    tokenizer.chat_template = template
    return tokenizer
