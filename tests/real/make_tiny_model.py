#!/usr/bin/env python3
"""Writes a tiny random llama model: make_tiny_model.py OUT.gguf

A real engine has to load it, tokenize, batch and stream; nobody reads what it says. Nothing is downloaded: the
weights come from a seeded generator, so the same versions of numpy and gguf write the same bytes.
"""
import sys

import gguf
import numpy as np

from tiny_vocabulary import BOS, CHAT_TEMPLATE, CONTROL_TOKENS, END_OF_TURN, SPACE, WORDS, text_tokens_and_merges

SEED = 20_260_704
HIDDEN, LAYERS, HEADS, KV_HEADS, FEED_FORWARD = 128, 2, 4, 2, 256
# Long enough that a stream runs for seconds on one core; cancellation tests need something left to cancel.
CONTEXT_TOKENS = 65_536


def main(path):
    text_tokens, merges = text_tokens_and_merges()
    tokens = text_tokens + CONTROL_TOKENS
    kinds = [gguf.TokenType.NORMAL] * len(text_tokens) + [gguf.TokenType.CONTROL] * len(CONTROL_TOKENS)
    ids = {token: i for i, token in enumerate(tokens)}

    out = gguf.GGUFWriter(path, "llama")
    out.add_name("tiny")
    out.add_vocab_size(len(tokens))
    out.add_context_length(CONTEXT_TOKENS)
    out.add_embedding_length(HIDDEN)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FEED_FORWARD)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_rope_dimension_count(HIDDEN // HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types(kinds)
    out.add_token_merges([" ".join(pair) for pair in merges])
    out.add_bos_token_id(ids[BOS])
    out.add_eos_token_id(ids[END_OF_TURN])
    out.add_add_bos_token(False)
    out.add_chat_template(CHAT_TEMPLATE)

    rng = np.random.default_rng(SEED)

    def matrix(rows, columns, scale=1.0):
        return (rng.standard_normal((rows, columns)) * scale / np.sqrt(columns)).astype(np.float32)

    ones = np.ones(HIDDEN, dtype=np.float32)
    kv_width = HIDDEN // HEADS * KV_HEADS
    # Only whole words get a voice. A row of zeros is a logit of 0, far below the best of the spread-out others, so
    # stray bytes (broken UTF-8) and the end token stay silent: an answer runs to its limit and is always text.
    output = matrix(len(tokens), HIDDEN, scale=6.0)
    speakable = {SPACE + word for word in WORDS}
    output[[i for i, token in enumerate(tokens) if token not in speakable]] = 0.0
    out.add_tensor("token_embd.weight", matrix(len(tokens), HIDDEN, scale=HIDDEN**0.5))
    out.add_tensor("output_norm.weight", ones)
    out.add_tensor("output.weight", output)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        out.add_tensor(f"{block}.attn_norm.weight", ones)
        out.add_tensor(f"{block}.attn_q.weight", matrix(HIDDEN, HIDDEN))
        out.add_tensor(f"{block}.attn_k.weight", matrix(kv_width, HIDDEN))
        out.add_tensor(f"{block}.attn_v.weight", matrix(kv_width, HIDDEN))
        out.add_tensor(f"{block}.attn_output.weight", matrix(HIDDEN, HIDDEN))
        out.add_tensor(f"{block}.ffn_norm.weight", ones)
        out.add_tensor(f"{block}.ffn_gate.weight", matrix(FEED_FORWARD, HIDDEN))
        out.add_tensor(f"{block}.ffn_up.weight", matrix(FEED_FORWARD, HIDDEN))
        out.add_tensor(f"{block}.ffn_down.weight", matrix(HIDDEN, FEED_FORWARD))

    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    print(f"{path}: {len(tokens)} tokens, {LAYERS} layers", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_tiny_model.py OUT.gguf")
    main(sys.argv[1])
