"""What the tests with real components share: `rhumb up` in front of a real llama-server, a site that is dead and upstreams that
break, or any OpenAI server.

RHUMB_BIN=PROGRAM   the gateway in front of all that
BASE_URL=URL        that server (ending in /v1); BASE_URL=direct: the llama-server itself, without a gateway.
                    Only what every OpenAI server promises is checked then; the rest is skipped.
"""

import contextlib
import os
from types import SimpleNamespace

import pytest

import harness
from harness import KEY

CONFIG = """
gateway:
  listen: @LISTEN@
  admin_listen: @ADMIN@
  data_dir: data
  kept_max_age_days: 1
  scrape_interval_ms: 200
  probe_interval_ms: 200
  location: {latitude: 52.5, longitude: 13.4}
operators:
  - name: lab
sites:
  # The dead site is the nearer one on paper, so a gateway that trusts paper tries it first.
  - {name: dead-site, operator: lab, country: DE, latitude: 52.5, longitude: 13.4, rtt_ms: 0.1}
  - {name: live-site, operator: lab, country: FR, latitude: 48.9, longitude: 2.4, rtt_ms: 20}
models:
  - {name: tiny}
  - {name: broken-cut}
  - {name: broken-close}
  - {name: broken-slowly-read}
  - {name: busy}
  - {name: deadly}
  - {name: silent}
  - {name: tools}
  - {name: ears, transcription: true}
  - {name: voice, speech: true}
  - {name: painter, images: true}
  - {name: judge, classify: true}
endpoints:
  - {name: dead, site: dead-site, url: "@DEAD@", engine: llama-cpp, max_concurrency: 4, models: [{model: tiny, context_tokens: 16384}]}
  - {name: live, site: live-site, url: "@LIVE@", engine: llama-cpp, max_concurrency: 4, models: [{model: tiny, context_tokens: 16384}]}
  - {name: cut, site: live-site, url: "@CUT@", models: [{model: broken-cut}]}
  - {name: close, site: live-site, url: "@CLOSE@", models: [{model: broken-close}]}
  - {name: slowly, site: live-site, url: "@SLOWLY@", models: [{model: broken-slowly-read}]}
  - {name: busy, site: live-site, url: "@BUSY@", models: [{model: busy}]}
  - {name: silent, site: live-site, url: "@SILENT@", models: [{model: silent}]}
  - {name: tools, site: live-site, url: "@TOOLS@", models: [{model: tools}]}
  - {name: tasks, site: live-site, url: "@TASKS@", models: [{model: ears}, {model: voice}, {model: painter}, {model: judge}]}
  - {name: deadly-1, site: live-site, url: "@DEADLY-1@", models: [{model: deadly}]}
  - {name: deadly-2, site: live-site, url: "@DEADLY-2@", models: [{model: deadly}]}
  - {name: deadly-3, site: live-site, url: "@DEADLY-3@", models: [{model: deadly}]}
  - {name: deadly-4, site: live-site, url: "@DEADLY-4@", models: [{model: deadly}]}
tenants:
  - {name: tests, keys: [{name: sdk, key: @KEY@}]}
"""


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """What the tests talk to: `url` of the API, base URLs of `gateway` and `engine` or None, `scripted` upstreams."""
    binary, url = os.environ.get("RHUMB_BIN"), os.environ.get("BASE_URL")
    if not binary and not url:
        pytest.exit("set RHUMB_BIN to the rhumb program, or BASE_URL to an OpenAI server or `direct`", returncode=2)
    with contextlib.ExitStack() as running:
        if binary:
            engine = running.enter_context(harness.llama_server())
            scripted = {
                "CUT": harness.BrokenUpstream(chunked=True),
                "CLOSE": harness.BrokenUpstream(chunked=False),
                "SLOWLY": harness.BrokenUpstream(chunked=True, words=harness.WORDS),
                "BUSY": harness.BusyUpstream(),
                "SILENT": harness.SilentUpstream(),
                "TOOLS": harness.ToolUpstream(),
                "TASKS": harness.TaskUpstream(),
                **{f"DEADLY-{i}": harness.DeadlyUpstream() for i in range(1, 5)},
            }
            dead = f"http://127.0.0.1:{running.enter_context(harness.dead_port())}"
            config = CONFIG.replace("@DEAD@", dead).replace("@LIVE@", engine).replace("@KEY@", KEY)
            for name, upstream in scripted.items():
                config = config.replace(f"@{name}@", running.enter_context(upstream).url)
            gateway = running.enter_context(harness.rhumb_up(binary, config, tmp_path_factory.mktemp("rhumb")))
            yield SimpleNamespace(url=f"{gateway}/v1", gateway=gateway, engine=engine, scripted=scripted)
        elif url == "direct":
            engine = running.enter_context(harness.llama_server())
            yield SimpleNamespace(url=f"{engine}/v1", gateway=None, engine=engine, scripted=None)
        else:
            yield SimpleNamespace(url=url, gateway=None, engine=None, scripted=None)


@pytest.fixture
def gateway(server):
    if not server.gateway:
        pytest.skip("needs the gateway: set RHUMB_BIN")
    return server.gateway


@pytest.fixture
def engine(server):
    if not server.engine:
        pytest.skip("needs the engine's own metrics")
    return server.engine


@pytest.fixture
def scripted(server, gateway):
    return server.scripted
