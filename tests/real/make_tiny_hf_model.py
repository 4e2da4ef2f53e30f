#!/usr/bin/env python3
"""Writes the folder of a tiny llama model without weights: make_tiny_hf_model.py FOLDER

For engines that invent their weights (`--load-format dummy`): configuration and tokenizer only.
"""
import json
import sys
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from tiny_vocabulary import BOS, CHAT_TEMPLATE, CONTROL_TOKENS, END_OF_TURN, text_tokens_and_merges


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    text_tokens, merges = text_tokens_and_merges()
    ids = {token: i for i, token in enumerate(text_tokens + CONTROL_TOKENS)}

    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL_TOKENS])
    tokenizer.save(str(folder / "tokenizer.json"))

    ends = {"bos_token_id": ids[BOS], "eos_token_id": ids[END_OF_TURN]}
    files = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": BOS,
            "eos_token": END_OF_TURN,
            "chat_template": CHAT_TEMPLATE,
        },
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": len(ids),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 65_536,
            "rms_norm_eps": 1e-5,
            "torch_dtype": "bfloat16",
            **ends,
        },
        "generation_config.json": ends,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1))
    print(f"{folder}: {len(ids)} tokens", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_tiny_hf_model.py FOLDER")
    main(Path(sys.argv[1]))
