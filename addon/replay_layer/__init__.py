"""The upstream leg: mitmproxy's HTTP layer, taught to try again, to stay audible and to fail closed.

Nothing outside this package touches mitmproxy's internals. Addons see one more hook,
`async def upstream_failed(self, flow)`: the attempt sent last has failed and nothing of its answer was delivered; an
addon that calls `exchange.approve(attempt)` sends another one in the same flow.

1. Closed by default: a request goes upstream only with an approved attempt, and an approval is good for one request.
2. Secrets at the last moment: the credential is on the copy that is sent, never on `flow.request`.
3. Never silent: a streaming client gets a real status, or a 200 and keepalives; a failure after that is one event.
4. Never hang: connecting and waiting for upstream have deadlines of their own.
5. Nothing is tried again once content was delivered.

Each override names the behaviour of mitmproxy 12 that it answers.
"""

from addon.replay_layer.connections import Connections
from addon.replay_layer.deadlines import Timing
from addon.replay_layer.events import UpstreamFailedHook
from addon.replay_layer.layer import Gate, ReplayLayer, ReverseLayer

__all__ = ["Connections", "Gate", "ReplayLayer", "ReverseLayer", "Timing", "UpstreamFailedHook"]
