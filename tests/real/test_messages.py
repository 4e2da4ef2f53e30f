"""The official Anthropic SDKs against `rhumb up` in front of endpoints that speak chat completions: a real llama-server, and
scripted ones for what a tiny model does not do."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import anthropic
import httpx2
import pytest

import harness
from harness import KEY, MODEL, WORDS

PROMPT = [{"role": "user", "content": "the river and the stone bridge"}]
TOKENS = 12
LOOK = {
    "name": "look",
    "description": "looks somewhere",
    "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}


@pytest.fixture
def sent():
    """Every request the SDK puts on the wire, retries included."""
    return []


@pytest.fixture
def client(gateway, sent):
    """The SDK as users have it: its own default of two retries stays on."""
    with httpx2.Client(event_hooks={"request": [sent.append]}, timeout=60) as http:
        yield anthropic.Anthropic(base_url=gateway, api_key=KEY, http_client=http)


def test_a_message_is_answered_with_usage(client):
    message = client.messages.create(model=MODEL, max_tokens=TOKENS, messages=PROMPT, system="be brief")
    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert message.content[0].type == "text" and message.content[0].text
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == TOKENS
    assert message.usage.input_tokens + message.usage.cache_read_input_tokens > 0
    assert message._request_id, "the SDK finds the request's id"


def test_a_streamed_message_is_put_together_by_the_sdk(client):
    with client.messages.stream(model=MODEL, max_tokens=TOKENS, messages=PROMPT) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text and message.content[0].text == text
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", TOKENS)


def test_stop_sequences_and_sampling_go_through(client):
    message = client.messages.create(
        model=MODEL,
        max_tokens=200,
        messages=PROMPT,
        stop_sequences=["e"],
        # The SDK has no arguments for these any more; the API has.
        extra_body={"temperature": 0.0, "top_k": 1},
    )
    text = "".join(block.text for block in message.content)
    assert "e" not in text and message.stop_reason in ("end_turn", "stop_sequence")


def test_tokens_are_counted(client):
    short = client.messages.count_tokens(model=MODEL, messages=PROMPT)
    long = client.messages.count_tokens(model=MODEL, messages=PROMPT * 50, system="be brief")
    assert 0 < short.input_tokens < long.input_tokens


def test_models_are_listed(client):
    models = list(client.models.list())
    assert MODEL in [model.id for model in models] and models[0].type == "model"
    assert client.models.retrieve(MODEL).display_name == MODEL


@pytest.mark.parametrize("thinking", [None, {"type": "enabled", "budget_tokens": 1024}])
def test_an_agents_loop_with_parallel_tools(client, thinking):
    ask = {"model": "tools", "max_tokens": 2048, "tools": [LOOK]} | ({"thinking": thinking} if thinking else {})
    messages = [{"role": "user", "content": "look at the sea and at the sky"}]
    with client.messages.stream(messages=messages, **ask) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [("look", {"at": "sea"}), ("look", {"at": "sky"})]
    assert first.stop_reason == "tool_use"
    assert [b.thinking for b in first.content if b.type == "thinking"] == (["hm"] if thinking else [])
    assert (first.usage.input_tokens, first.usage.cache_read_input_tokens, first.usage.output_tokens) == (20, 10, 9)
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "seen"} for call in calls]
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    with client.messages.stream(messages=messages, **ask) as stream:
        last = stream.get_final_message()
    assert (last.content[-1].text, last.stop_reason) == ("both done", "end_turn")


def test_what_is_dropped_is_said(client):
    marked = [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]
    answer = client.messages.with_raw_response.create(model=MODEL, max_tokens=2, messages=PROMPT, system=marked)
    assert answer.headers["x-rhumb-dropped"] == "cache_control"
    assert answer.headers[harness.HEADER_ENDPOINT] == "live"
    assert answer.parse().content


@pytest.mark.parametrize("streamed", [True, False])
def test_a_prompt_that_is_too_long_is_told_as_anthropic_tells_it(client, sent, streamed):
    too_long = [{"role": "user", "content": PROMPT[0]["content"] * 20_000}]
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(model=MODEL, max_tokens=TOKENS, messages=too_long, stream=streamed)
    error = raised.value.body["error"]
    assert error["type"] == "invalid_request_error" and error["message"].startswith("prompt is too long: ")
    assert len(sent) == 1, "the SDK retries a request that cannot succeed"


def test_wrong_keys_and_models_are_refused_once(client, sent):
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="sk-wrong").messages.create(model=MODEL, max_tokens=1, messages=PROMPT)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="no-such-model", max_tokens=1, messages=PROMPT)
    assert len(sent) == 2


def test_an_overload_is_retried_when_it_says(client, scripted, sent):
    scripted["BUSY"].refusals = 1
    message = client.messages.create(model="busy", max_tokens=5, messages=PROMPT)
    assert message.content[0].text == "at last" and len(sent) == 2
    scripted["BUSY"].refusals = 100
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(model="busy", max_tokens=5, messages=PROMPT)
    scripted["BUSY"].refusals = 0
    assert raised.value.status_code == 529 and raised.value.body["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize("model", ["broken-cut", "broken-close", "broken-slowly-read"])
def test_a_broken_stream_is_an_error_and_what_came_before_it_is_read(client, model):
    text = ""
    with pytest.raises(anthropic.APIStatusError, match="stopped answering in the middle"):
        with client.messages.create(model=model, max_tokens=50, messages=PROMPT, stream=True) as events:
            for event in events:
                if event.type == "content_block_delta":
                    text += event.delta.text
                    if model == "broken-slowly-read":
                        time.sleep(0.03)
    assert text == ("".join(WORDS) if model == "broken-slowly-read" else " one two")


def test_a_stream_that_is_closed_frees_the_engine(client, engine):
    with client.messages.create(model=MODEL, max_tokens=16_000, messages=PROMPT, stream=True) as events:
        next(event for event in events if event.type == "content_block_delta")
        assert harness.sample(engine, "llamacpp:requests_processing") == 1
    harness.poll(lambda: harness.sample(engine, "llamacpp:requests_processing") == 0, 30, "the engine is idle")


def test_the_node_sdk_runs_the_same_loop(gateway):
    modules, program = harness.CACHE / "node" / "node_modules", shutil.which("node")
    if not program or not (modules / "@anthropic-ai" / "sdk").is_dir():
        pytest.skip("the Node SDK is not installed: node and npm were missing when tests/real/install.sh ran")
    script = harness.CACHE / "node" / "node_anthropic.mjs"
    # Modules are looked for beside the script, so it is copied to where they are.
    shutil.copyfile(Path(__file__).with_name("node_anthropic.mjs"), script)
    done = subprocess.run([program, script, gateway, KEY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["text"] and seen["counted"] > 0 and MODEL in seen["models"]
    assert seen["calls"] == [{"at": "sea"}, {"at": "sky"}] and seen["last"] == "both done"
    assert seen["too_long"].startswith("BadRequestError") and "prompt is too long" in seen["too_long"]
    assert seen["broken"].startswith("APIError"), seen["broken"]
