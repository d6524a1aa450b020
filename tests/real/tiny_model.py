# mypy: disable-error-code="import-not-found"
"""Makes two tiny models without training, in the folder that is given: what they write means nothing.

It runs with the packages of transformers, not with the project's.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

# Without digits: one alone would be JSON.
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,:;!?'-\n"
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}{{ 'assistant: ' }}"
)


def main(folder: Path) -> None:
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", "<unk>", *LETTERS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    fast.chat_template = TEMPLATE
    torch.manual_seed(1)
    size = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(vocabulary), max_position_embeddings=4096, **size))
    # Any token ends the answers of one, and none those of the other.
    for name, ends in (("brief", list(vocabulary.values())), ("endless", None)):
        model.config.eos_token_id = model.generation_config.eos_token_id = ends
        model.generation_config.pad_token_id = 1
        model.save_pretrained(folder / name)
        fast.save_pretrained(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
