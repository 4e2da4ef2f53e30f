"""Runs every block of docs/guide/clients.md against `rhumb up` in front of a real llama-server, and the loops of
Claude Code and of Codex with a tool."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import harness
from harness import KEY, MODEL

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "clients.md"
BLOCKS = {name: (kind, text) for kind, name, text in re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)}
CLIENTS, NODE = harness.CACHE / "clients", harness.CACHE / "node-clients"

CONFIG = """
gateway: {listen: "@LISTEN@", admin_listen: "@ADMIN@", data_dir: data, kept_max_age_days: 1}
operators: [{name: lab}]
sites: [{name: here, operator: lab, country: DE, latitude: 52.5, longitude: 13.4}]
models: [{name: tiny, tools: true}, {name: agent, tools: true}, {name: ranks, rerank: true}]
endpoints:
  - {name: llama, site: here, url: "@LLAMA@", engine: llama-cpp, max_concurrency: 4, models: [{model: tiny, context_tokens: 65536}]}
  - {name: agent, site: here, url: "@AGENT@", models: [{model: agent, context_tokens: 200000}, {model: ranks, context_tokens: 8192}]}
tenants: [{name: tests, keys: [{name: clients, key: @KEY@}]}]
"""

RESULT = "from-2-sites"


class AgentUpstream(harness.Upstream):
    """A model that has a command run, and says so once it has the result. It ranks documents as they come."""

    def __init__(self):
        super().__init__()
        self.results = []

    def chat(self, connection, stream):
        body = json.loads(self.body)
        if documents := body.get("documents"):
            results = [{"index": n, "relevance_score": 1 / (n + 1)} for n in range(len(documents))]
            harness.answer(connection, "200 OK", json.dumps({"results": results}), "content-type: application/json\r\n")
            return
        messages, tools = body["messages"], [tool["function"]["name"] for tool in body.get("tools", [])]
        results = [m["content"] for m in messages if m["role"] == "tool"]
        self.results += results
        if results:
            deltas = [{"content": "the command "}, {"content": "has run"}]
        else:
            command = "echo from-$((1+1))-sites"
            own = {"Bash": {"command": command, "description": "counts"}, "exec_command": {"cmd": command}}
            name = next(name for name in own if name in tools)
            function = {"name": name, "arguments": json.dumps(own[name])}
            deltas = [{"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]}]
        chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        chunks.append({"index": 0, "delta": {}, "finish_reason": "stop" if results else "tool_calls"})
        lines = [json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "agent", "choices": [c]}) for c in chunks]
        page = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
        harness.answer(connection, "200 OK", page, "content-type: text/event-stream\r\n")


@pytest.fixture(scope="session")
def agent():
    with AgentUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def gateway(agent, tmp_path_factory):
    # Answers are short: an agent asks for 32,000 tokens, and the tiny model never stops by itself.
    with harness.llama_server(context_tokens=4 * 65_536, more=["-n", 32]) as llama:
        config = CONFIG.replace("@LLAMA@", llama).replace("@AGENT@", agent.url).replace("@KEY@", KEY)
        with harness.rhumb_up(os.environ["RHUMB_BIN"], config, tmp_path_factory.mktemp("rhumb")) as base:
            yield base


@pytest.fixture
def run(gateway, tmp_path):
    """Runs a block as a user would, with the gateway's address, the key and the model filled in; gives what it printed."""

    def run(kind, text, model=MODEL):
        text = text.replace("http://127.0.0.1:8080", gateway).replace("MY-KEY", KEY).replace("MY-MODEL", model)
        if kind == "javascript":
            if not (NODE / "node_modules").is_dir():
                pytest.skip("node or npm was missing when tests/real/install.sh ran")
            # Modules are looked for beside the script.
            script = NODE / "block.mjs"
            command = ["node", script]
        elif kind == "python":
            script = tmp_path / "block.py"
            command = [CLIENTS / "bin" / "python", script]
        else:
            script = tmp_path / "block.sh"
            command = ["bash", "-e", script]
        script.write_text(text)
        own = {"HOME": str(tmp_path), "PATH": f"{NODE / 'node_modules' / '.bin'}:{os.environ['PATH']}"}
        quiet = {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LANGSMITH_TRACING": "false",
        }
        options = {"env": os.environ | own | quiet, "cwd": tmp_path, "stdin": subprocess.DEVNULL}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


# A CPU reads the prompts of agents for minutes: their blocks run in the tests below, with a model that is scripted.
@pytest.mark.parametrize("name", [name for name in BLOCKS if name not in ("claude-code", "codex", "codex-config")])
def test_a_block_of_the_guide(run, name):
    kind, text = BLOCKS[name]
    assert run(kind, text).strip(), "the model has said something"


def is_installed(program):
    if not shutil.which(program, path=NODE / "node_modules" / ".bin"):
        pytest.skip("node or npm was missing when tests/real/install.sh ran")


def test_claude_code_has_a_tool_run(run, agent):
    is_installed("claude")
    kind, text = BLOCKS["claude-code"]
    said = run(kind, text.rstrip() + " --allowedTools Bash\n", model="agent")
    assert "the command has run" in said, said
    assert any(RESULT in result for result in agent.results), agent.results


def test_codex_has_a_tool_run(run, agent):
    is_installed("codex")
    agent.results.clear()
    (kind, text), (_, config) = BLOCKS["codex"], BLOCKS["codex-config"]
    # Its sandbox needs more than a container has.
    text = text.replace("codex exec", "codex exec --dangerously-bypass-approvals-and-sandbox")
    write = f"mkdir -p ~/.codex\ncat >~/.codex/config.toml <<'CONFIG'\n{config}CONFIG\n"
    said = run(kind, write + text, model="agent")
    assert "the command has run" in said, said
    assert any(RESULT in result for result in agent.results), agent.results
