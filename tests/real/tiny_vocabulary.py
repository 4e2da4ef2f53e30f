"""The vocabulary of the tiny models, so that both engines count the same tokens for the same text.

Byte-level BPE in GPT-2's notation, spelt out by a word list instead of trained: nothing to download, nothing random.
"""

CONTROL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BOS, END_OF_TURN = CONTROL_TOKENS[0], CONTROL_TOKENS[2]
WORDS = """ the a of to and in is it on as with his they at be this from have or by one had not but what all were when
 we there can an your which their said if do will each about how up out them then she many some so these would other
 into has more her two like him see time could no make than first been its who now people my made over did down only
 way find use may water long little very after words called just where most know river stone market signal garden
 engine paper winter bridge candle forest letter mirror copper harbor thread system user assistant""".split()
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_alphabet():
    """GPT-2's printable stand-in for each byte, in byte order; byte-level BPE files are written in it."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(b) if b in printable else chr(next(spare)) for b in range(256)]


SPACE = byte_alphabet()[ord(" ")]


def text_tokens_and_merges():
    """Every word with its leading space becomes one token, built letter by letter from its beginning."""
    tokens, merges = byte_alphabet(), []
    for word in WORDS:
        piece = SPACE
        for letter in word:
            if piece + letter not in tokens:
                tokens.append(piece + letter)
                merges.append((piece, letter))
            piece += letter
    return tokens, merges
