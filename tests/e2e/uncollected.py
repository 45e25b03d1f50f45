"""A mitmproxy script: from the start on, no garbage is collected. What memory comes back, comes back by itself."""

from __future__ import annotations

import asyncio
import gc


class Uncollected:
    async def running(self) -> None:
        # after the addon's own `running`, which sets the collector up
        asyncio.get_running_loop().call_soon(gc.disable)


addons = [Uncollected()]
