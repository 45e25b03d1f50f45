"""`POST /v1/responses/compact`: a conversation as one summary, which the client sends back in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from mitmproxy import http

from addon.api.endpoints import LocalEndpoints, json_response, posted
from addon.claude.model import Model
from addon.claude.names import parse
from addon.context.summarizer import TIMEOUT_SECONDS, SummaryResponse
from addon.context.transcript import summary_request
from addon.core.errors import BadGateway, BadRequest, Forbidden, GatewayTimeout, NotFound
from addon.core.json_codec import dumps
from addon.core.settings import Settings
from addon.core.types import JsonObject
from addon.exchange.state import Exchange, Exchanges
from addon.exchange.stored_responses import StoredResponses
from addon.translation.from_anthropic.usage import responses_usage
from addon.translation.sealed_thinking import encode_summary
from addon.translation.to_anthropic.request import translate_responses
from addon.translation.types import RequestOptions

_READ = ("model", "input")
_BYTES_PER_TOKEN = 4


class CompactApi(LocalEndpoints):
    def __init__(
        self,
        settings: Settings,
        exchanges: Exchanges,
        stored: StoredResponses,
        summarizer: Model,
        summarize: Callable[[JsonObject], Awaitable[SummaryResponse]] | None,
    ) -> None:
        """`summarize`: the paid call; None where no API key may be used."""
        super().__init__(exchanges)
        self.aliases = dict(settings.model_aliases)
        self.stored = stored
        self.summarizer = summarizer
        self.summarize = summarize
        self.endpoints = {"compact": self.compact}

    async def compact(self, flow: http.HTTPFlow, exchange: Exchange) -> http.Response:
        if self.summarize is None:
            raise Forbidden(
                "Compacting is a paid call: it needs ANTHROPIC_API_KEY and does not work with FALLBACK=off."
            )
        body = self.stored.resolve(exchange.principal, posted(flow, exchange)).body
        self.check_model(body.get("model"))
        request = self.request_for(body)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                summary = await self.summarize(request)
        except TimeoutError:
            raise GatewayTimeout("The summary took too long.") from None
        if not summary.text.strip():
            raise BadGateway("Claude wrote no summary.")
        return json_response(_compaction(exchange, summary))

    def check_model(self, name: object) -> None:
        if not isinstance(name, str) or not name:
            raise BadRequest("model: the name of a model is required", param="model")
        if parse(self.aliases.get(name.lower(), name)) is None:
            raise NotFound(
                f"model: {name[:100]} is not a Claude model", param="model", code="model_not_found"
            )

    def request_for(self, body: JsonObject) -> JsonObject:
        """The request for a summary of `body`'s conversation, system messages included."""
        given = {name: body[name] for name in _READ if name in body}
        translated = translate_responses(given, self.summarizer, RequestOptions()).request
        system = translated.get("system")
        messages = [{"role": "system", "content": system}] if system else []
        messages += translated["messages"]
        return summary_request(messages, len(dumps(messages)) // _BYTES_PER_TOKEN, self.summarizer)


def _compaction(exchange: Exchange, summary: SummaryResponse) -> JsonObject:
    """As `openai.types.responses.CompactedResponse` has it; the summary stands for the user's messages, too."""
    item = {
        "type": "compaction",
        "id": f"cmp_{exchange.id}",
        "encrypted_content": encode_summary(summary.text.strip()),
    }
    return {
        "id": f"resp_{exchange.id}",
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [item],
        "usage": responses_usage(summary.usage),
    }
