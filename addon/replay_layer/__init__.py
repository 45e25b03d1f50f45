"""The upstream leg: a subclass of mitmproxy's HTTP layer that retries, sends keepalives and fails closed.

Nothing outside this package touches mitmproxy's internals. Addons see three more hooks:
`upstream_failed(self, flow)`, when the last attempt has failed and nothing of its response was delivered: an addon that
calls `exchange.approve(attempt)` sends another one in the same flow;
`upstream_paused(self, flow)`, when the last response is to be gone on with: an approved attempt is sent for the rest;
`live_data(self, flow)`, when a local response without an end wants its next bytes.

The rules that it keeps:

1. Closed by default: a request goes upstream only with an approved attempt, and an approval is good for one request.
2. Secrets at the last moment: the credential is on the copy that is sent, never on `flow.request`.
3. Never silent: a streaming client gets a real status, or a 200 and keepalives; a failure after that is one event.
4. Never hang: connecting, waiting for upstream and waiting for a hook have deadlines of their own.
5. Nothing is retried once content was delivered.

Each override says which behaviour of mitmproxy 12 it is there for: those are what to check when mitmproxy is updated.
"""

from addon.replay_layer.connections import Connections
from addon.replay_layer.deadlines import Timing
from addon.replay_layer.events import UpstreamFailedHook
from addon.replay_layer.layer import Gate, ReplayLayer, ReverseLayer

__all__ = ["Connections", "Gate", "ReplayLayer", "ReverseLayer", "Timing", "UpstreamFailedHook"]
