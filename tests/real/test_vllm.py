"""The official OpenAI SDK against `rhumb up` in front of a real vLLM on the CPU; vllm.sh starts it.

RHUMB_BIN=PROGRAM   the gateway in front of vLLM          BASE_URL=direct   vLLM itself, without a gateway
"""

import contextlib
import os
from types import SimpleNamespace

import openai
import pytest

import harness
from harness import CACHE, KEY, MODEL

PROMPT = [{"role": "user", "content": "the river and the stone bridge"}]
TOKENS = 32
# Invented weights end an answer whenever chance says so; the tests count tokens.
NEVER_ENDING = {"ignore_eos": True}

CONFIG = """
gateway:
  listen: @LISTEN@
  admin_listen: @ADMIN@
  data_dir: data
  scrape_interval_ms: 200
operators:
  - name: lab
sites:
  - {name: here, operator: lab, country: FR, latitude: 48.9, longitude: 2.4}
models:
  - {name: tiny}
endpoints:
  - {name: vllm, site: here, url: "@LIVE@", engine: vllm, max_concurrency: 8, models: [{model: tiny}]}
tenants:
  - {name: tests, keys: [{name: sdk, key: @KEY@}]}
"""


@contextlib.contextmanager
def vllm_server():
    """One real vLLM with invented weights; yields its base URL."""
    port = harness.free_port()
    # The module, not the `vllm` program: that one looks for a package of its own name, which this build lacks.
    command = [CACHE / "vllm" / "bin" / "python", "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", CACHE / "tiny-hf", "--load-format", "dummy", "--dtype", "bfloat16", "--enforce-eager"]
    command += ["--max-model-len", 16_384, "--max-num-seqs", 8, "--served-model-name", MODEL]
    command += ["--host", "127.0.0.1", "--port", port]
    settings = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
    }
    base = f"http://127.0.0.1:{port}"
    with harness.process(command, f"{base}/health", 600, env=os.environ | settings):
        yield base


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    binary = os.environ.get("RHUMB_BIN")
    if not binary and os.environ.get("BASE_URL") != "direct":
        pytest.exit("set RHUMB_BIN to the rhumb program, or BASE_URL to `direct`", returncode=2)
    with contextlib.ExitStack() as running:
        engine = running.enter_context(vllm_server())
        gateway = None
        if binary:
            config = CONFIG.replace("@LIVE@", engine).replace("@KEY@", KEY)
            gateway = running.enter_context(harness.rhumb_up(binary, config, tmp_path_factory.mktemp("rhumb")))
        yield SimpleNamespace(engine=engine, gateway=gateway)


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=f"{server.gateway or server.engine}/v1", api_key=KEY, timeout=120) as client:
        yield client


def stream(client, max_tokens, **more):
    return client.chat.completions.create(
        model=MODEL, messages=PROMPT, max_tokens=max_tokens, stream=True, extra_body=NEVER_ENDING, **more
    )


def running(server):
    return harness.sample(server.engine, "vllm:num_requests_running")


def test_streamed_chat_with_usage(client):
    with stream(client, TOKENS, stream_options={"include_usage": True}) as answer:
        *chunks, last = list(answer)
    assert len({chunk.id for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert [choice.delta.role for choice in choices if choice.delta.role] == ["assistant"]
    assert [choice.delta.content for choice in choices if choice.delta.content]
    # vLLM sends the finish reason with the last piece of text, not after it.
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["length"]
    assert last.choices == [] and last.usage.completion_tokens == TOKENS
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_is_not_streamed_unless_asked_for(client):
    with stream(client, TOKENS) as answer:
        assert all(chunk.choices and chunk.usage is None for chunk in answer)


def test_a_stream_that_is_closed_frees_the_engine(client, server):
    asked = 16_000
    written = lambda: harness.sample(server.engine, "vllm:generation_tokens_total")  # noqa: E731
    before = written()
    with stream(client, asked) as answer:
        next(chunk for chunk in answer if chunk.choices[0].delta.content)
        harness.poll(lambda: running(server) == 1, 60, "vLLM shows the request")
    # vLLM never counts such an end as finished_reason="abort"; what it has written tells.
    harness.poll(lambda: running(server) == 0, 60, "vLLM is idle")
    assert written() - before < asked * 3 / 4


def test_metrics_show_the_engines_own_signals(client, server):
    if not server.gateway:
        pytest.skip("needs the gateway: set RHUMB_BIN")
    seen = lambda: harness.sample(server.gateway, harness.METRIC_RUNNING, endpoint="vllm")  # noqa: E731
    with stream(client, 16_000) as answer:
        next(iter(answer))
        harness.poll(lambda: seen() == 1, 60, "the gateway shows vLLM's running request")
        age = harness.sample(server.gateway, harness.METRIC_SIGNAL_AGE, endpoint="vllm", signal="engine")
        assert age is not None and age >= 0
    harness.poll(lambda: seen() == 0, 60, "the gateway shows vLLM idle")
