"""The same conversation asked of a llama-server directly, through `rhumb up` in the client's own dialect, and through it translated:
everything but identifiers, the model's name and timings is the same."""

import json
import urllib.request

import anthropic
import openai
import pytest

import harness
from harness import KEY, MODEL

CONFIG = """
gateway: {listen: "@LISTEN@", admin_listen: "@ADMIN@", data_dir: data}
operators: [{name: lab}]
sites: [{name: here, operator: lab, country: DE, latitude: 52.5, longitude: 13.4}]
models: [{name: own}, {name: translated}]
endpoints:
  - name: own
    site: here
    url: "@LIVE@"
    engine: llama-cpp
    dialects: [chat, messages, responses]
    models: [{model: own, served_as: tiny, context_tokens: 16384}]
  - name: translated
    site: here
    url: "@LIVE-AGAIN@"
    engine: llama-cpp
    models: [{model: translated, served_as: tiny, context_tokens: 16384}]
"""

LOOK = {"name": "look", "description": "looks", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
FUNCTION = {"type": "function", "name": "look", "description": "looks", "parameters": LOOK["input_schema"]}
TURNS = [
    {"role": "user", "content": "the river"},
    {"role": "assistant", "content": "runs south"},
    {"role": "user", "content": "and the bridge"},
]
CALLED = [
    {"role": "user", "content": "look at the bridge"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "bridge"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "stone"}]},
]
MESSAGES = {
    "text": {"messages": TURNS[:1]},
    "turns": {"system": "be brief", "messages": TURNS},
    "tools": {"tools": [LOOK], "messages": CALLED},
}
INPUTS = {
    "text": {"input": "the river"},
    "turns": {
        "instructions": "be brief",
        # In full: llama-server does not know an assistant's turn in short.
        "input": [
            TURNS[0],
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "runs south"}]},
            TURNS[2],
        ],
    },
    "tools": {
        "tools": [FUNCTION],
        "input": [
            TURNS[0],
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":"bridge"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "stone"},
        ],
    },
}
# What differs from request to request, or says who served it.
DIFFERS = {"id", "item_id", "call_id", "model", "created_at", "completed_at", "timings", "x-rhumb"}
# How much of a prompt was in the cache is the engine's affair; llama.cpp counts it apart from the rest in Messages.
COUNTED = {"cache_read_input_tokens", "cached_tokens", "input_tokens"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Where the three are asked: base URL and name of the model."""
    if not harness.os.environ.get("RHUMB_BIN"):
        pytest.skip("this asks a gateway")
    with harness.llama_server() as live:
        # One server under two names: as one endpoint it would have one list of dialects.
        config = CONFIG.replace("@LIVE@", live).replace("@LIVE-AGAIN@", live.replace("127.0.0.1", "localhost"))
        with harness.rhumb_up(harness.os.environ["RHUMB_BIN"], config, tmp_path_factory.mktemp("native")) as gateway:
            yield {"direct": (live, MODEL), "own": (gateway, "own"), "translated": (gateway, "translated")}


def post(base, path, body):
    """What comes back, as text."""
    headers = {"content-type": "application/json", "x-api-key": KEY, "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(f"{base}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def same(value):
    """A value without what differs."""
    if isinstance(value, dict):
        return {k: same(v) for k, v in value.items() if k not in DIFFERS and k not in COUNTED}
    return [same(v) for v in value] if isinstance(value, list) else value


def events(text):
    return [same(json.loads(line[6:])) for line in text.splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize("path,name,request_", [
    *[("/v1/messages", name, {"max_tokens": 12, "temperature": 0, **asked}) for name, asked in MESSAGES.items()],
    *[("/v1/responses", name, {"max_output_tokens": 12, "temperature": 0, **asked}) for name, asked in INPUTS.items()],
])
def test_what_is_passed_on_is_what_the_engine_says(bases, path, name, request_):
    ask = lambda who, **more: post(bases[who][0], path, {"model": bases[who][1], **request_, **more})  # noqa: E731
    direct, own = same(json.loads(ask("direct"))), same(json.loads(ask("own")))
    assert direct == own and direct.get("content", direct.get("output")), name
    assert events(ask("direct", stream=True)) == events(ask("own", stream=True)) != []


@pytest.mark.parametrize("name", MESSAGES)
def test_a_translated_message_says_the_same(bases, name):
    say = {}
    for who, (base, model) in bases.items():
        client = anthropic.Anthropic(base_url=base, api_key=KEY)
        extra = {"temperature": 0}
        message = client.messages.create(model=model, max_tokens=12, extra_body=extra, **MESSAGES[name])
        with client.messages.stream(model=model, max_tokens=12, extra_body=extra, **MESSAGES[name]) as stream:
            streamed = stream.get_final_message()
        for m in (message, streamed):
            usage = m.usage
            prompt = usage.input_tokens + (usage.cache_read_input_tokens or 0)
            text = "".join(block.text for block in m.content)
            say.setdefault(who, []).append((text, m.stop_reason, usage.output_tokens, prompt))
    assert say["direct"] == say["own"] == say["translated"]


@pytest.mark.parametrize("name", INPUTS)
def test_a_translated_response_says_the_same(bases, name):
    say = {}
    for who, (base, model) in bases.items():
        client = openai.OpenAI(base_url=f"{base}/v1", api_key=KEY)
        r = client.responses.create(model=model, max_output_tokens=12, temperature=0, store=False, **INPUTS[name])
        say[who] = (r.output_text, r.usage.output_tokens, r.usage.input_tokens)
    assert say["direct"] == say["own"] == say["translated"]
