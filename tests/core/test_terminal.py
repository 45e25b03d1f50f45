"""What is written to the terminal: colours only for people, and --quiet says what needs attention."""

from __future__ import annotations

import io

import pytest

from addon.core.terminal import Terminal, cents, short_count


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_no_colours() -> None:
    out = io.StringIO()
    Terminal(out).line("refused", "bad")
    assert out.getvalue() == "refused\n"


def test_a_terminal_gets_colours() -> None:
    out = Screen()
    Terminal(out).line("refused", "bad")
    assert out.getvalue() == "\x1b[31mrefused\x1b[0m\n"


def test_a_terminal_with_no_color_gets_none() -> None:
    out = Screen()
    Terminal(out, no_color=True).line("refused", "bad")
    assert out.getvalue() == "refused\n"


def test_a_usual_line_has_no_colour() -> None:
    out = Screen()
    Terminal(out).line("served")
    assert out.getvalue() == "served\n"


def test_quiet_says_only_what_needs_attention() -> None:
    out = io.StringIO()
    terminal = Terminal(out, quiet=True)
    for tone in ("plain", "faint", "odd", "bad"):
        terminal.line(tone, tone)
    assert out.getvalue() == "odd\nbad\n"


def test_what_comes_from_outside_cannot_command_the_terminal() -> None:
    out = Screen()
    Terminal(out).line("model \x1b]0;owned\x07 📊 → 2\nnext")
    assert out.getvalue() == "model ?]0;owned? 📊 → 2?next\n"


def test_only_a_terminal_is_private() -> None:
    assert (Terminal(Screen()).private, Terminal(io.StringIO()).private) == (True, False)


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    out = io.StringIO()
    out.close()
    terminal = Terminal(out)
    terminal.line("served")
    assert not terminal.private


def test_an_encoding_that_lacks_a_character_still_gets_the_line() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1252")
    Terminal(stream).line("429 → 200")
    assert raw.getvalue().split() == [b"429", b"?", b"200"]


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [(0, "0"), (999, "999"), (12_345, "12.3K"), (200_000, "200K"), (1_234_567, "1.23M")],
)
def test_counts_are_short(tokens: int, shown: str) -> None:
    assert short_count(tokens) == shown


@pytest.mark.parametrize(
    ("usd", "shown"), [(0.0042, "$0.0042"), (0.0421, "$0.04"), (12.3, "$12.30")]
)
def test_money_has_the_digits_that_matter(usd: float, shown: str) -> None:
    assert cents(usd) == shown
