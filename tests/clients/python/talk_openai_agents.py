"""OpenAI's Agents SDK: `talk_openai_agents.py <way> <base URL> <model>`; prints what `test_frameworks` reads."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from agents.models.openai_responses import OpenAIResponsesWSModel
from openai import AsyncOpenAI
from pydantic import BaseModel

WAY, BASE, MODEL = sys.argv[1:]
BY_ID = ("responses by id", "websocket by id")
KINDS: Any = {
    "chat": OpenAIChatCompletionsModel,
    "responses": OpenAIResponsesModel,
    "websocket": OpenAIResponsesWSModel,
}
asked: list[str] = []


class Town(BaseModel):
    town: str


@function_tool
def weather(town: str) -> str:
    """The weather of a town."""
    asked.append(town)
    return f"Rain in {town}"


async def run(agent: Agent[Any], given: Any, *, streamed: bool, earlier: str | None = None) -> Any:
    stateful: dict[str, Any] = {}
    if WAY in BY_ID:
        stateful = {"previous_response_id": earlier, "auto_previous_response_id": True}
    if not streamed:
        return await Runner.run(agent, given, **stateful)
    result = Runner.run_streamed(agent, given, **stateful)
    async for _ in result.stream_events():
        pass
    return result


async def talk(model: Any, *, streamed: bool) -> dict[str, Any]:
    asked.clear()
    agent = Agent(name="A", tools=[weather], model=model)
    first = await run(agent, "Weather in Oslo?", streamed=streamed)
    question = {"role": "user", "content": "And what did I ask?"}
    given = [question] if WAY in BY_ID else [*first.to_input_list(), question]
    second = await run(agent, given, streamed=streamed, earlier=first.last_response_id)
    judge = Agent(name="B", model=model, output_type=Town)
    third = await run(judge, "Which town?", streamed=streamed)
    said = [first.final_output, second.final_output]
    return {"asked": [*asked], "said": said, "town": third.final_output.town}


async def main() -> None:
    set_tracing_disabled(True)
    async with AsyncOpenAI(base_url=BASE, api_key="any", max_retries=0) as client:
        model = KINDS[WAY.partition(" ")[0]](model=MODEL, openai_client=client)
        print(json.dumps([await talk(model, streamed=streamed) for streamed in (False, True)]))


asyncio.run(main())
