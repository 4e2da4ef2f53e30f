"""Every event and every answer that the gateway writes itself, held against the types of the official SDKs, which their makers generate
from the published specifications. The SDKs read answers leniently; here each field has to be there and of its type."""

import json
import urllib.request

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from harness import KEY, MODEL

LOOK = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
FUNCTION = {"type": "function", "name": "look", "parameters": LOOK, "strict": False}
MESSAGES = {
    "text": {"model": MODEL, "max_tokens": 12, "messages": [{"role": "user", "content": "the river"}]},
    "calls and thinking": {
        "model": "tools",
        "max_tokens": 2048,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [{"name": "look", "input_schema": LOOK}],
        "messages": [{"role": "user", "content": "look"}],
    },
}
RESPONSES = {
    "text": {"model": MODEL, "max_output_tokens": 12, "input": "the river"},
    "calls and thinking": {"model": "tools", "tools": [FUNCTION], "input": "look"},
    "a stream that breaks off": {"model": "broken-cut", "input": "x"},
}


def post(gateway, path, body):
    headers = {"content-type": "application/json", "x-api-key": KEY, "anthropic-version": "2023-06-01"}
    request = urllib.request.Request(f"{gateway}{path}", json.dumps(body).encode(), headers)
    text = b""
    with urllib.request.urlopen(request, timeout=60) as answer:
        try:
            while piece := answer.read1():
                text += piece
        except OSError:
            pass  # It breaks off, as it is meant to.
        except Exception as error:  # noqa: BLE001
            assert "IncompleteRead" in type(error).__name__, error
    return text.decode()


def events(text):
    return [line[6:] for line in text.splitlines() if line.startswith("data: ")]


def held(types, texts):
    """Each text is of the types, with nothing missing and nothing of another type."""
    adapter, kinds = TypeAdapter(types), []
    for text in texts:
        adapter.validate_json(text, strict=False)
        kinds.append(json.loads(text).get("type"))
    return kinds


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_are_of_the_published_types(gateway, name):
    kinds = held(RawMessageStreamEvent, [e for e in events(post(gateway, "/v1/messages", MESSAGES[name] | {"stream": True})) if '"ping"' not in e])
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    # The model with tools answers in streams alone.
    if name == "text":
        held(Message, [post(gateway, "/v1/messages", MESSAGES[name])])


@pytest.mark.parametrize("name", RESPONSES)
def test_responses_are_of_the_published_types(gateway, name):
    kinds = held(ResponseStreamEvent, events(post(gateway, "/v1/responses", RESPONSES[name] | {"stream": True})))
    ends = {"text": "response.incomplete", "a stream that breaks off": "response.failed"}
    assert (kinds[0], kinds[-1]) == ("response.created", ends.get(name, "response.completed"))
    if name == "text":
        held(Response, [post(gateway, "/v1/responses", RESPONSES[name])])
