"""The official OpenAI SDK's files and batches against `rhumb up`."""

import json
import time

import httpx
import openai
import pytest

from harness import KEY, MODEL


@pytest.fixture
def client(gateway):
    with httpx.Client(timeout=60) as http:
        yield openai.OpenAI(base_url=f"{gateway}/v1", api_key=KEY, http_client=http)


def request(n, **more):
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"number {n}"}], "max_tokens": 4, **more}
    return json.dumps({"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body})


def test_a_batch_is_uploaded_worked_on_and_read(client):
    lines = "\n".join([*(request(n) for n in range(8)), "{broken", request(8, model="none")])
    file = client.files.create(file=("requests.jsonl", lines.encode()), purpose="batch")
    assert client.files.retrieve(file.id) == file and file.bytes == len(lines)
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert batch.status == "validating"
    while batch.status not in ("completed", "failed"):
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    counts = batch.request_counts
    assert (batch.status, counts.total, counts.completed, counts.failed) == ("completed", 10, 8, 2)
    answers = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [answer["custom_id"] for answer in answers] == [f"r{n}" for n in range(8)]
    assert all(answer["response"]["body"]["usage"]["completion_tokens"] == 4 for answer in answers)
    errors = [json.loads(line) for line in client.files.content(batch.error_file_id).text.splitlines()]
    assert errors[0]["error"]["code"] == "invalid_request" and errors[1]["response"]["status_code"] == 404
    assert batch.id in [listed.id for listed in client.batches.list(limit=1)]
    assert client.files.delete(file.id).deleted
    assert file.id not in [listed.id for listed in client.files.list(purpose="batch")]


def test_a_batch_without_a_file_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="input_file_id"):
        client.batches.create(input_file_id="file-0", endpoint="/v1/chat/completions", completion_window="24h")
