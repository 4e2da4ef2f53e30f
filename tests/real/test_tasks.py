"""The official OpenAI SDK against APIs that give no text."""

import httpx
import openai
import pytest

from harness import KEY


@pytest.fixture
def client(gateway):
    with httpx.Client(timeout=60) as http:
        yield openai.OpenAI(base_url=f"{gateway}/v1", api_key=KEY, http_client=http)


def test_an_upload_is_transcribed(client, scripted):
    sound = b"RIFF" + bytes(range(256)) * 2_000
    heard = client.audio.transcriptions.create(model="ears", file=("a.wav", sound), language="en")
    assert heard.text == "what was said"
    assert all(part in scripted["TASKS"].body for part in ('name="model"', 'name="language"', 'filename="a.wav"'))


def test_speech_comes_in_bytes(client):
    speech = client.audio.speech.create(model="voice", voice="alloy", input="hello")
    assert speech.content == b"RIFF speech"


def test_images_are_made_and_edited(client):
    assert client.images.generate(model="painter", prompt="a map").data[0].b64_json == "AAAA"
    edited = client.images.edit(model="painter", prompt="a map", image=("a.png", b"PNG", "image/png"))
    assert edited.data[0].b64_json == "BBBB"


def test_texts_are_judged(client):
    assert client.moderations.create(model="judge", input="a text").results[0].flagged


def test_a_model_that_does_something_else_says_so(client):
    with pytest.raises(openai.BadRequestError, match="speech: true"):
        client.audio.speech.create(model="judge", voice="alloy", input="hello")
