"""What is shown while packages are installed."""

from __future__ import annotations

import io

from addon.cli.bootstrap import Progress


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


PIP = ("Collecting mitmproxy<13,>=12.2.3", "  Downloading mitmproxy.whl (1.5 MB)", "Collecting httpx", "", "Installing collected packages: httpx, mitmproxy")  # fmt: skip


def shown(stream: io.StringIO) -> list[str]:
    progress = Progress(stream)
    for line in PIP:
        progress.show(line)
    progress.end()
    return stream.getvalue().split("\r\x1b[K")


def test_a_terminal_shows_one_line_that_changes() -> None:
    assert shown(Screen()) == [
        "", "  package 1: mitmproxy<13,>=12.2.3", "  package 2: httpx", "  2 packages: installing", "",
    ]  # fmt: skip


def test_a_file_holds_nothing_of_it() -> None:
    assert shown(io.StringIO()) == [""]
