"""The file of `-w`. mitmproxy ends at the first flow that it can't write; here only that flow is lost, and /health
reports it.
"""

from __future__ import annotations

import contextlib
import errno
from io import BytesIO, FileIO

from mitmproxy import ctx, flow
from mitmproxy.addons.save import Save
from mitmproxy.io import FilteredFlowWriter


class FlowFile:
    """Writes flows in place of mitmproxy's addon, which still opens the file, and another one when its name changes."""

    name = "flow file"

    def __init__(self, save: Save) -> None:
        self.save = save
        self.dropped = 0
        """Flows, since the start."""
        self.problem: str | None = None
        """Why the last flow could not be written."""
        save.save_flow = self.save_flow  # type: ignore[method-assign]

    def save_flow(self, flow: flow.Flow) -> None:
        # not `save.stream`: there is none when the next file could not be opened
        if not ctx.options.save_stream_file:
            return
        try:
            self.save.maybe_rotate_to_new_file()
            if self.save.stream is not None:
                append(self.save.stream, flow)
        except OSError as error:
            self.dropped += 1
            reason = error.strerror or str(error)
            flows = "1 flow" if self.dropped == 1 else f"{self.dropped} flows"
            self.problem = f"{self.name}: {flows} could not be written: {reason}."
        else:
            self.problem = None
        self.save.active_flows.discard(flow)


def append(stream: FilteredFlowWriter, flow: flow.Flow) -> None:
    """Write all of it or nothing, except to a pipe: whoever reads the file stops at half a flow. Raises OSError."""
    whole = BytesIO()
    FilteredFlowWriter(whole, stream.flt).add(flow)
    # past the buffer: what a failure leaves in there would be written behind the next flow
    file, left = FileIO(stream.fo.fileno(), "wb", closefd=False), whole.getbuffer()
    start = file.tell() if file.seekable() else None  # a pipe has no position
    try:
        while left:
            written = file.write(left)
            if written is None:
                raise BlockingIOError(errno.EAGAIN, "nobody reads it")
            left = left[written:]
    except OSError:
        if start is not None:
            with contextlib.suppress(OSError):  # it is a device
                file.seek(start)
                file.truncate()
        raise
