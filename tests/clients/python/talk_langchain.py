"""LangChain: `talk_langchain.py <way> <base URL> <model>`; prints what `test_frameworks` reads."""

from __future__ import annotations

import json
import sys
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

WAY, BASE, MODEL = sys.argv[1:]
asked: list[str] = []


class Town(BaseModel):
    town: str


@tool
def weather(town: str) -> str:
    """The weather of a town."""
    asked.append(town)
    return f"Rain in {town}"


def model() -> Any:
    if WAY == "messages":
        base = BASE.removesuffix("/v1")
        return ChatAnthropic(model=MODEL, base_url=base, api_key="any", max_retries=0)
    options = {"use_responses_api": WAY != "chat", "stream_usage": True}
    if WAY == "responses by id":
        options["use_previous_response_id"] = True
    return ChatOpenAI(model=MODEL, base_url=BASE, api_key="any", max_retries=0, **options)


def answer(runnable: Any, messages: list[BaseMessage], *, streamed: bool) -> AIMessage:
    if not streamed:
        return runnable.invoke(messages)
    whole, *chunks = runnable.stream(messages)
    for chunk in chunks:
        whole += chunk
    return whole


def turn(runnable: Any, messages: list[BaseMessage], question: str, *, streamed: bool) -> str:
    messages.append(HumanMessage(question))
    while True:
        message = answer(runnable, messages, streamed=streamed)
        messages.append(message)
        if not message.tool_calls:
            return message.text
        messages += [weather.invoke(call) for call in message.tool_calls]


def talk(chosen: Any, *, streamed: bool) -> dict[str, Any]:
    asked.clear()
    messages: list[BaseMessage] = []
    bound = chosen.bind_tools([weather])
    questions = ("Weather in Oslo?", "And what did I ask?")
    said = [turn(bound, messages, question, streamed=streamed) for question in questions]
    town = chosen.with_structured_output(Town, method="json_schema").invoke("Which town?")
    return {"asked": [*asked], "said": said, "town": town.town}


chosen = model()
print(json.dumps([talk(chosen, streamed=streamed) for streamed in (False, True)]))
