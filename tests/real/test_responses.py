"""The official OpenAI SDKs' Responses against `rhumb up` in front of endpoints that speak chat completions."""

import json
import shutil
import subprocess
from pathlib import Path

import httpx
import openai
import pytest

import harness
from harness import KEY, MODEL

INPUT = "the river and the stone bridge"
TOKENS = 16
LOOK = {
    "type": "function",
    "name": "look",
    "description": "looks somewhere",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"], "additionalProperties": False},
    "strict": True,
}


@pytest.fixture
def client(gateway):
    with httpx.Client(timeout=60) as http:
        yield openai.OpenAI(base_url=f"{gateway}/v1", api_key=KEY, http_client=http)


def test_a_response_is_answered_with_usage(client):
    response = client.responses.create(model=MODEL, input=INPUT, instructions="be brief", max_output_tokens=TOKENS)
    assert (response.object, response.model, response.status) == ("response", MODEL, "incomplete")
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text and response.output[0].role == "assistant"
    assert response.usage.output_tokens == TOKENS and response.usage.total_tokens > TOKENS
    assert response.instructions == "be brief" and response.tools == []


def test_a_streamed_response_is_put_together_by_the_sdk(client):
    with client.responses.stream(model="tools", input=INPUT, tools=[LOOK]) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed"
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("look", {"at": "sea"}), ("look", {"at": "sky"})]
    assert [item.content[0].text for item in response.output if item.type == "reasoning"] == ["hm"]
    assert (response.usage.input_tokens, response.usage.input_tokens_details.cached_tokens) == (30, 10)
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "seen"} for call in calls]
    said = [item.to_dict() for item in response.output]
    with client.responses.stream(model="tools", input=[{"role": "user", "content": INPUT}, *said, *results], tools=[LOOK]) as stream:
        assert stream.until_done().get_final_response().output_text == "both done"


def test_what_is_not_kept_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as raised:
        client.responses.create(model=MODEL, input=INPUT, previous_response_id="resp_1")
    assert raised.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_1")


def test_what_is_dropped_is_said(client):
    answer = client.responses.with_raw_response.create(
        model=MODEL, input=INPUT, max_output_tokens=TOKENS, reasoning={"effort": "none"}, store=False
    )
    assert answer.headers["x-rhumb-dropped"] == "reasoning.effort"
    assert answer.parse().store is False


def test_turns_go_on_with_the_response_before(client):
    first = client.responses.create(model=MODEL, input=INPUT, max_output_tokens=TOKENS)
    assert first.store and client.responses.retrieve(first.id) == first
    [item] = client.responses.input_items.list(first.id).data
    assert item.content[0].text == INPUT
    second = client.responses.create(model=MODEL, input="and then", previous_response_id=first.id, max_output_tokens=TOKENS)
    assert second.previous_response_id == first.id
    assert second.usage.input_tokens > first.usage.input_tokens + TOKENS
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=MODEL, input="and then", previous_response_id=second.id)


def test_a_tools_results_are_all_that_the_next_turn_sends(client):
    with client.responses.stream(model="tools", input=INPUT, tools=[LOOK]) as stream:
        first = stream.until_done().get_final_response()
    results = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "seen"}
        for item in first.output if item.type == "function_call"
    ]
    with client.responses.stream(model="tools", input=results, tools=[LOOK], previous_response_id=first.id) as stream:
        assert len(results) == 2 and stream.until_done().get_final_response().output_text == "both done"


def test_a_response_is_made_in_the_background_and_polled(client):
    response = client.responses.create(model=MODEL, input=INPUT, background=True, max_output_tokens=TOKENS)
    assert response.status == "queued" and response.background
    while response.status in ("queued", "in_progress"):
        response = client.responses.retrieve(response.id)
    assert response.status == "incomplete" and response.usage.output_tokens == TOKENS
    assert client.responses.cancel(response.id) == response


def test_a_background_stream_is_followed_from_any_event_on_another_connection(client, gateway):
    seen = []
    for event in client.responses.create(model=MODEL, input=INPUT, background=True, stream=True, max_output_tokens=TOKENS):
        seen.append(event)
        if len(seen) == 4:
            break
    response_id, at = seen[0].response.id, seen[-1].sequence_number
    with openai.OpenAI(base_url=f"{gateway}/v1", api_key=KEY) as other:
        rest = list(other.responses.retrieve(response_id, stream=True, starting_after=at))
        assert [event.sequence_number for event in rest] == list(range(at + 1, at + 1 + len(rest)))
        assert rest[-1].type == "response.incomplete"
        assert rest[-1].response == other.responses.retrieve(response_id)


def test_a_conversation_is_kept_between_responses(client):
    conversation = client.conversations.create(
        metadata={"topic": "maps"}, items=[{"type": "message", "role": "user", "content": "the sea is near"}]
    )
    response = client.responses.create(model=MODEL, input=INPUT, conversation=conversation.id, max_output_tokens=TOKENS)
    assert response.conversation.id == conversation.id
    items = list(client.conversations.items.list(conversation.id, order="asc", limit=1))
    assert [item.role for item in items] == ["user", "user", "assistant"]
    assert client.conversations.items.retrieve(items[0].id, conversation_id=conversation.id) == items[0]
    client.conversations.items.create(conversation.id, items=[{"type": "message", "role": "user", "content": "more"}])
    client.conversations.items.delete(items[0].id, conversation_id=conversation.id)
    assert len(list(client.conversations.items.list(conversation.id))) == 3
    assert client.conversations.update(conversation.id, metadata={"topic": "charts"}).metadata == {"topic": "charts"}
    assert client.conversations.delete(conversation.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(conversation.id)


def test_a_prompt_that_is_too_long_is_told_as_openai_tells_it(client):
    with pytest.raises(openai.BadRequestError) as raised:
        client.responses.create(model=MODEL, input=INPUT * 20_000, stream=True)
    assert raised.value.code == "context_length_exceeded"


@pytest.mark.parametrize("model", ["broken-cut", "broken-close"])
def test_a_broken_stream_fails_and_keeps_what_came(client, model):
    failed, text = None, ""
    with pytest.raises(httpx.RemoteProtocolError):
        for event in client.responses.create(model=model, input=INPUT, stream=True):
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.failed":
                failed = event.response
    assert failed.error.code == "server_error" and text == failed.output_text == " one two"


def test_tokens_are_counted(client):
    short, long = (client.responses.input_tokens.count(model=MODEL, input=INPUT * n) for n in (1, 50))
    assert 0 < short.input_tokens < long.input_tokens


def test_the_node_sdk_streams_a_response(gateway):
    modules, program = harness.CACHE / "node" / "node_modules", shutil.which("node")
    if not program or not (modules / "openai").is_dir():
        pytest.skip("the Node SDK is not installed: node and npm were missing when tests/real/install.sh ran")
    script = harness.CACHE / "node" / "node_responses.mjs"
    # Modules are looked for beside the script, so it is copied to where they are.
    shutil.copyfile(Path(__file__).with_name("node_responses.mjs"), script)
    done = subprocess.run([program, script, f"{gateway}/v1", KEY], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["text"] and seen["status"] == "incomplete"
    assert seen["calls"] == [{"at": "sea"}, {"at": "sky"}] and seen["last"] == "both done"
    assert seen["previous"] and seen["resumed"] == seen["expected"]


def test_a_socket_carries_a_conversation(client):
    with client.responses.connect() as socket:
        previous, texts = None, []
        for word in ("one", "two"):
            socket.response.create(
                model=MODEL, input=word, max_output_tokens=TOKENS, store=False, previous_response_id=previous
            )
            for event in socket:
                if event.type == "response.incomplete":
                    previous = event.response.id
                    texts.append(event.response.output_text)
                    break
        assert all(texts)
        socket.response.create(model="nope", input="x")
        error = next(iter(socket))
        assert (error.type, error.error["code"]) == ("error", "model_not_found")
