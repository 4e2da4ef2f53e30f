"""Starts the real programs of these tests and asks them questions; the tests themselves are beside it."""

import contextlib
import json
import os
import re
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

CACHE = Path(os.environ.get("RHUMB_CACHE") or Path.home() / ".cache" / "rhumb")
KEY = "sk-real-test"
MODEL = "tiny"
# What an upstream says that breaks. More than one read takes, so that a client has some of them ahead of it then.
WORDS = [f" w{i}" for i in range(1, 18)]

# Names on the gateway's side that the tests rely on; a rename there is a change here and nowhere else.
METRIC_RUNNING = "rhumb_endpoint_running"
METRIC_SIGNAL_AGE = "rhumb_signal_age_seconds"
HEADER_SITE = "x-rhumb-site"
HEADER_ENDPOINT = "x-rhumb-endpoint"
HEADER_MODEL = "x-rhumb-model"
HEADER_DECISION = "x-rhumb-decision"
READY_PATH = "/health/ready"


def free_port():
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def dead_port():
    """A port that refuses connections for as long as the block runs: bound, so nobody else gets it, never listening."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def get(url, key=KEY):
    """Status and text of a GET; 0 when nobody answers."""
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@contextlib.contextmanager
def abandoned_post(base, body):
    """Sends a chat whose client hangs up when the block ends, without having read a byte."""
    host, _, port = base.removeprefix("http://").partition(":")
    payload = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + payload)
        yield


def poll(question, limit_s, what):
    """Asks until the answer is truthy and returns it. The limit only bounds a failure; nothing is timed."""
    end = time.monotonic() + limit_s
    while True:
        if answer := question():
            return answer
        assert time.monotonic() < end, f"{what}: not within {limit_s} s"
        time.sleep(0.02)


@contextlib.contextmanager
def process(command, ready_url, limit_s, **options):
    """Runs a server until the block ends. Fails with the end of its output when it dies or does not become ready."""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        child = subprocess.Popen([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT, **options)

        def complain(problem):
            log.seek(0)
            return f"{command[0]} {problem}; the end of its output:\n{log.read()[-3000:]}"

        def ready():
            assert child.poll() is None, complain(f"ended with code {child.returncode} before it was ready")
            return get(ready_url)[0] == 200

        try:
            try:
                poll(ready, limit_s, ready_url)
            except AssertionError as error:
                if child.poll() is not None:
                    raise
                raise AssertionError(complain(f"is not ready ({error})")) from None
            yield child
            assert child.poll() is None, complain(f"died during the tests with code {child.returncode}")
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@contextlib.contextmanager
def llama_server(context_tokens=65_536, more=()):
    """One real llama-server with the tiny model; yields its base URL. A long context leaves a stream something to cut:
    the model writes some 2,000 tokens a second."""
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = [CACHE / "bin" / "llama-server", "-m", CACHE / "tiny.gguf", "--host", "127.0.0.1", "--port", port]
    command += ["-c", context_tokens, "-np", 4, "-t", 1, "--metrics", "--slots", "--alias", MODEL, "--jinja", *more]
    with process(command, f"{base}/health", 60):
        yield base


@contextlib.contextmanager
def rhumb_up(binary, config, folder):
    """One gateway with that configuration, `@LISTEN@` and `@ADMIN@` filled in; yields its base URL."""
    listen, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    file = folder / "rhumb.yaml"
    file.write_text(config.replace("@LISTEN@", listen).replace("@ADMIN@", admin))
    with process([binary, "up", "-c", file], f"http://{listen}{READY_PATH}", 60, cwd=folder):
        METRICS_AT[f"http://{listen}"] = f"http://{admin}"
        yield f"http://{listen}"


# A gateway shows its metrics on another address than it serves on.
METRICS_AT = {}


def samples(text, name):
    """The samples of one metric in a Prometheus page: pairs of a label dictionary and a value."""
    found = []
    for line in text.splitlines():
        if match := re.fullmatch(re.escape(name) + r"(?:\{(.*)\})? (\S+)(?: \d+)?", line):
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[1] or ""))
            found.append((labels, float(match[2])))
    return found


def sample(base, name, **labels):
    """The value of the one sample of a server's metrics page with at least these labels, or None."""
    base = METRICS_AT.get(base, base)
    status, text = get(f"{base}/metrics")
    assert status == 200, f"{base}/metrics answers {status}"
    values = [value for has, value in samples(text, name) if labels.items() <= has.items()]
    assert len(values) <= 1, f"{name}{labels} is ambiguous: {values}"
    return values[0] if values else None


class Upstream:
    """An OpenAI-like server that counts its chats; what it does with one is its subclass's."""

    def __init__(self):
        self.chats = 0

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        # shutdown() wakes the accept that close() alone would leave waiting.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
            request = stream.readline().decode()
            headers = {}
            while (line := stream.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            # Closing with unread bytes would reset the connection and might drop the answer.
            self.body = stream.read(int(headers.get("content-length", 0))).decode(errors="replace")
            if not request.startswith("POST"):
                # Probes of health and models: alive, and nothing to tell.
                answer(connection, "200 OK", '{"object":"list","data":[]}')
                return
            self.chats += 1
            self.path = request.split()[1]
            self.chat(connection, stream)

    def chat(self, connection, stream):
        raise NotImplementedError


def answer(connection, status, page, headers=""):
    """Sends a whole answer that ends with its connection."""
    head = f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {len(page)}\r\n{headers}\r\n"
    connection.sendall((head + page).encode())


class TaskUpstream(Upstream):
    """It hears, speaks, paints and judges: each API that gives no text has one answer."""

    ANSWERS = {
        "/v1/audio/transcriptions": ("application/json", '{"text":"what was said"}'),
        "/v1/audio/speech": ("audio/wav", "RIFF speech"),
        "/v1/images/generations": ("application/json", '{"created":1,"data":[{"b64_json":"AAAA"}]}'),
        "/v1/images/edits": ("application/json", '{"created":1,"data":[{"b64_json":"BBBB"}]}'),
        "/v1/moderations": ("application/json", '{"id":"m","model":"judge","results":[{"flagged":true,"categories":{}}]}'),
    }

    def chat(self, connection, stream):
        kind, page = self.ANSWERS[self.path]
        answer(connection, "200 OK", page, f"content-type: {kind}\r\n")


class BrokenUpstream(Upstream):
    """It answers every chat with some words, then closes the connection without `[DONE]`.

    Chunked, the body is cut short, which HTTP itself shows as an error; otherwise it promised no length, and only the
    missing `[DONE]` gives the break away.
    """

    def __init__(self, chunked, words=(" one", " two")):
        super().__init__()
        self.chunked = chunked
        said = ("{" + f'"content":"{word}"' + "}" for word in words)
        self.deltas = ('{"role":"assistant","content":""}', *said)

    def chat(self, connection, stream):
        framing = "transfer-encoding: chunked" if self.chunked else "connection: close"
        connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{framing}\r\n\r\n".encode())
        for delta in self.deltas:
            event = (
                'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"broken",'
                f'"choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}\n\n'
            )
            connection.sendall((f"{len(event):x}\r\n{event}\r\n" if self.chunked else event).encode())


class BusyUpstream(Upstream):
    """It is busy for the next `refusals` chats, and says when to come back; then it answers."""

    RETRY_AFTER_MS = 40
    CHAT = (
        '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"busy","choices":[{"index":0,"message":'
        '{"role":"assistant","content":"at last"},"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}'
    )

    refusals = 0

    def chat(self, connection, stream):
        if self.refusals > 0:
            self.refusals -= 1
            answer(connection, "429 Too Many Requests", "{}", f"retry-after-ms: {self.RETRY_AFTER_MS}\r\n")
        else:
            answer(connection, "200 OK", self.CHAT, "content-type: application/json\r\n")


class DeadlyUpstream(Upstream):
    """It dies of every chat: the connection closes, and nothing was said."""

    def chat(self, connection, stream):
        pass


class SilentUpstream(Upstream):
    """It takes every chat and says nothing for as long as the other side waits."""

    def chat(self, connection, stream):
        stream.read(1)


class ToolUpstream(Upstream):
    """A model that thinks, calls two tools at the same time, and says what they came to once it has their results."""

    def chat(self, connection, stream):
        done = '{"role":"tool"' in self.body.replace(": ", ":")
        events = [{"role": "assistant", "content": ""}, {"reasoning_content": "hm"}]
        if done:
            events += [{"content": "both "}, {"content": "done"}]
        else:
            call = lambda index, **function: {"tool_calls": [{"index": index, "function": function}]}  # noqa: E731
            for index in (0, 1):
                first = call(index, name="look", arguments="")
                first["tool_calls"][0] |= {"id": f"call_{index}", "type": "function"}
                events.append(first)
            events += [call(0, arguments='{"at":'), call(1, arguments='{"at":"sky"}'), call(0, arguments='"sea"}')]
        usage = '"usage":{"prompt_tokens":30,"completion_tokens":9,"prompt_tokens_details":{"cached_tokens":10}}'
        chunk = '{"id":"c","object":"chat.completion.chunk","created":1,"model":"tools","choices":[%s]%s}'
        lines = [chunk % (json.dumps({"index": 0, "delta": delta, "finish_reason": None}), "") for delta in events]
        lines.append(chunk % ('{"index":0,"delta":{},"finish_reason":"stop"}', ""))
        lines += [chunk % ("", f",{usage}"), "[DONE]"]
        page = "".join(f"data: {line}\n\n" for line in lines)
        answer(connection, "200 OK", page, "content-type: text/event-stream\r\n")
