"""What OpenAI's own client for Python is told by a front door, as one line of JSON for each question.

  python openai_python.py BASE_URL CLOSING_BASE_URL KEY

It reads a line of JSON with the questions, and another line before it goes on after `gone`. The second address is of a door that is to be
closed when the line `reading` is there.
"""
import json
import sys
from typing import Any

from openai import APIError, OpenAI
from pydantic import BaseModel, ValidationError

base_url, closing_url, key = sys.argv[1:]
asked: dict[str, Any] = json.loads(sys.stdin.readline())


def client(url: str, api_key: str = key) -> OpenAI:
    return OpenAI(base_url=url, api_key=api_key, max_retries=0, timeout=60)


def tell(what: str, **told: Any) -> None:
    print(json.dumps({"what": what, **told}), flush=True)


def failure(error: APIError) -> dict[str, Any]:
    """What a program can tell of an error, with the names of its classes."""
    fields = {name: getattr(error, name, None) for name in ("status_code", "code", "param", "type", "request_id")}
    return {"classes": [each.__name__ for each in type(error).__mro__], "message": error.message, **fields}


def lacks(told: BaseModel) -> list[str]:
    """Where something is not as OpenAI describes its API. The client itself takes it as it comes."""
    try:
        type(told).model_validate(told.model_dump(exclude_unset=True, warnings=False))
        return []
    except ValidationError as error:
        return [f"{type(told).__name__} {'.'.join(str(each) for each in issue['loc'])}" for issue in error.errors()]


openai = client(base_url)

# Chats and completions, whole and streamed.
chat = openai.chat.completions.create(**asked["chat"])
tell("chat", choices=[each.message.content for each in chat.choices], usage=chat.usage.model_dump(), id=chat._request_id)
with openai.chat.completions.stream(**asked["chat"], stream_options={"include_usage": True}) as events:
    events.until_done()
final = events.current_completion_snapshot
tell("chat streamed", choices=[each.message.content for each in final.choices], usage=final.usage.model_dump())
whole = openai.completions.create(**asked["completion"]).choices[0]
tell("completion", text=whole.text, tokens=whole.logprobs.tokens, finish=whole.finish_reason)
stream = openai.completions.create(**asked["completion"], stream=True)
parts = [each.choices[0].text for each in stream]
tell("completion streamed", text="".join(parts), parts=len(parts), id=stream.response.headers.get("x-request-id"))

# Functions that are called, and what the model says to their results.
with openai.chat.completions.stream(**asked["tools"]) as events:
    message = events.get_final_completion().choices[0].message
calls = [each.function for each in message.tool_calls]
told = openai.chat.completions.create(
    model=asked["tools"]["model"],
    messages=[
        *asked["tools"]["messages"],
        message.model_dump(exclude_none=True, exclude={"parsed"}),
        *({"role": "tool", "tool_call_id": each.id, "content": "fine"} for each in message.tool_calls),
    ],
)
tell("tools", calls=[[each.name, each.arguments] for each in calls], text=told.choices[0].message.content)
tell("response", text=openai.responses.create(**asked["response"]).output_text)
with openai.responses.stream(**asked["response streamed"]) as events:
    tell("response streamed", text=events.get_final_response().output_text)

# Vectors, which the client asks for in base64, and models.
tell("vectors", vectors=[each.embedding for each in openai.embeddings.create(**asked["vectors"]).data])
tell("models", models=[each.id for each in openai.models.list()], one=openai.models.retrieve("storychat").id)

# All kinds of answers and events, by the description that the client's classes are made of.
short: dict[str, Any] = {**asked["chat"], "max_completion_tokens": 4, "logprobs": True, "top_logprobs": 2}
usage: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
answers: list[BaseModel] = [
    openai.chat.completions.create(**short),
    openai.chat.completions.create(**asked["tools"]),
    openai.completions.create(**asked["completion"]),
    openai.responses.create(**asked["response"]),
    openai.responses.create(**asked["response tools"]),
    openai.embeddings.create(**asked["vectors"]),
    *openai.models.list(),
    *openai.chat.completions.create(**short, **usage),
    *openai.chat.completions.create(**asked["tools"], **usage),
    *openai.completions.create(**asked["completion"], **usage),
    *openai.responses.create(**asked["response"], stream=True),
    *openai.responses.create(**asked["response tools"], stream=True),
]
tell("described", answers=len(answers), lacking=sorted({lack for each in answers for lack in lacks(each)}))

# What is refused, and what ends in the middle.
for name, fields in asked["wrong"].items():
    try:
        openai.chat.completions.create(**{**asked["chat"], **fields})
    except APIError as error:
        tell("wrong", name=name, **failure(error))
stream = openai.completions.create(**asked["long"], stream=True)
for _ in range(5):
    next(stream)
stream.close()
tell("gone")
sys.stdin.readline()
closing = client(closing_url)
streams: dict[str, Any] = {}
for name, events in (
    ("completion", closing.completions.create(**asked["long"], stream=True)),
    ("response", closing.responses.create(**asked["long response"], stream=True)),
):
    # Both have begun when the door closes.
    streams[name] = events
    next(events)
tell("reading")
for name, events in streams.items():
    try:
        for _ in events:
            pass
        tell("ended", name=f"ended {name}")
    except APIError as error:
        tell("ended", name=f"ended {name}", **failure(error))
