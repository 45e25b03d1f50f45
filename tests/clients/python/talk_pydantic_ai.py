"""pydantic-ai: `talk_pydantic_ai.py <way> <base URL> <model>`; prints what `test_frameworks` reads."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

WAY, BASE, MODEL = sys.argv[1:]
asked: list[str] = []


class Town(BaseModel):
    town: str


def weather(town: str) -> str:
    """The weather of a town."""
    asked.append(town)
    return f"Rain in {town}"


def model() -> Any:
    if WAY == "messages":
        client = AsyncAnthropic(base_url=BASE.removesuffix("/v1"), api_key="any", max_retries=0)
        return AnthropicModel(MODEL, provider=AnthropicProvider(anthropic_client=client))
    openai = AsyncOpenAI(base_url=BASE, api_key="any", max_retries=0)
    kind = OpenAIChatModel if WAY == "chat" else OpenAIResponsesModel
    return kind(MODEL, provider=OpenAIProvider(openai_client=openai))


async def run(
    agent: Agent[None, Any], question: str, *, streamed: bool, earlier: Any = None
) -> tuple[Any, Any]:
    if not streamed:
        done = await agent.run(question, message_history=earlier)
        return done.output, done.all_messages()
    async with agent.run_stream(question, message_history=earlier) as stream:
        return await stream.get_output(), stream.all_messages()


async def talk(chosen: Any, *, streamed: bool) -> dict[str, Any]:
    asked.clear()
    agent = Agent(chosen, tools=[weather])
    first, messages = await run(agent, "Weather in Oslo?", streamed=streamed)
    second, _ = await run(agent, "And what did I ask?", streamed=streamed, earlier=messages)
    judge = Agent(chosen, output_type=NativeOutput(Town))
    town, _ = await run(judge, "Which town?", streamed=streamed)
    return {"asked": [*asked], "said": [first, second], "town": town.town}


async def main() -> None:
    chosen = model()
    print(json.dumps([await talk(chosen, streamed=streamed) for streamed in (False, True)]))


asyncio.run(main())
