"""Makes the tables of fields in docs/COMPATIBILITY.md from the table of decisions.

`pytest tests/test_compatibility.py --update-golden` writes them anew; `python -m tests.compatibility` prints how many names
of each API have which decision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from addon.translation.decisions import DECISIONS, FIELDS, Decision
from tests.sdk_names import APIS, Name, names

BEGIN, END = "<!-- made by tests/compatibility.py: {} -->", "<!-- end -->"

NOTES: dict[str, str] = {
    "model": "See [the guide](GUIDE.md#model-names). The response carries the name that was asked for",
    "messages": "[Messages](#messages). If empty, `input` is read",
    "input": "Items of the [Responses API](#responses-api), or a string; also at the chat address",
    "instructions system": "Put before the leading system messages",
    "max_tokens max_completion_tokens max_output_tokens": "The first of `max_completion_tokens`, `max_tokens`,"
    " `max_output_tokens`; at most the model's limit; without any: 64,000. Raised to 64,000 for thinking by budget"
    " (4.5 models), and to 2,048 where a model can't stop thinking",
    "temperature top_p top_k": "Only for models that take them (4.5, 4.6) and without thinking; clamped to 0 to 1;"
    " `temperature` takes precedence over `top_p`",
    "stop stop_sequences": "Blank ones and doubles left out",
    "stream stream_options": "`include_usage` gives OpenAI's last chunk with `usage`",
    "tools functions": "[Tools](#tools). `tools` wins",
    "tool_choice function_call parallel_tool_calls": "`required` → `any`; a named tool; `allowed_tools` cuts the tools"
    " down. Where a model or its thinking refuses a forced tool, it is asked for in words",
    "response_format text": "A JSON schema that Anthropic can compile becomes a structured output; any other, and"
    " `json_object`, an instruction at the end of the system prompt. One code fence around the response is then taken"
    " off. If the schema was `strict`, the instruction alone counts as ignored: `format.json_schema.strict`",
    "reasoning_effort reasoning thinking output_config": "What the model accepts: an effort, or a budget. `thinking` takes"
    " precedence over `reasoning`, that over `reasoning_effort`, that over the model's name, that over"
    " `DEFAULT_EFFORT`. `reasoning.exclude` hides thinking",
    "user safety_identifier": "`metadata.user_id`, as a SHA-256: Anthropic wants it opaque",
    "service_tier speed": "`default`, `flex` → `standard_only`; `fast`, `priority` only with `FAST_MODE=true`",
    "cache_control": "Anthropic's mark, on the body or on parts; at most four are sent",
    "prompt_cache_options prompt_cache_retention": "Longer than five minutes asked for (`24h`, `12h`) → marks of an"
    ' hour, also with `CACHE_TTL=auto`; left out for a login that is refused them. `"mode": "explicit"`: no marks but'
    " the client's own",
    "prompt_cache_key": "Names the conversation here",
    "context_management": "Anthropic's object; OpenAI's list of that name is ignored",
    "n": "1",
    "modalities": '`["text"]`',
    "background": "`false`",
    "generate": "`true`; `false` only by [WebSocket](#responses-api)",
    "inference_geo mcp_servers": "As they are, `mcp_servers` with the beta that it needs",
    "metadata": "`metadata.user_id` is read like `user`",
    "store": "At `/v1/responses` [it counts](#responses-api)",
    "audio": 'Beside `"modalities": ["text"]`, else refused',
    "previous_response_id": "At the chat address, where the whole input is there. At `/v1/responses`"
    " [it counts](#responses-api)",
    "conversation prompt": "At `/v1/responses`; ignored at the chat address",
}
"""What the table of `request` says beside the decision."""
SHOWN: dict[Decision, str] = {"sometimes": "translated or ignored"}
COLUMNS: tuple[tuple[str, tuple[Decision, ...]], ...] = (
    ("Reaches Claude", ("translated", "passed")),
    ("Says nothing to Claude", ("label",)),
    ("Ignored", ("ignored",)),
    ("Harmless", ("harmless",)),
    ("Refused", ("refused",)),
)
OF_RESPONSES = ("chat.", "responses.", "anthropic.")


def made() -> dict[str, str]:
    """The tables, by the word that stands in their first mark."""
    return {"fields": _fields(), "within": _within(), "counts": _counts()}


def with_tables(document: str) -> str:
    """The document with its tables made anew."""
    for word, table in made().items():
        begin = BEGIN.format(word)
        head, found, rest = document.partition(begin)
        assert found, begin
        document = f"{head}{begin}\n{table}\n{END}{rest.partition(END)[2]}"
    return document


def counted(api: str) -> Counter[Decision]:
    """How many names of an API have which decision."""
    return Counter(decision for name in names(api) if (decision := decision_of(name)) is not None)


def decision_of(name: Name) -> Decision | None:
    section, field = name
    return FIELDS.get(section, {}).get(field)


def _fields() -> str:
    table = FIELDS["request"]
    noted = {name for group in NOTES for name in group.split()}
    rest = [
        (
            " ".join(
                name for name, decision in table.items() if decision == wanted and name not in noted
            ),
            "",
        )
        for wanted in DECISIONS
    ]
    rows = [
        (_code(group.split()), SHOWN.get(table[group.split()[0]], table[group.split()[0]]), note)
        for group, note in [*NOTES.items(), *rest]
        if group
    ]
    order = [SHOWN.get(decision, decision) for decision in DECISIONS]
    rows.sort(key=lambda row: order.index(row[1]))
    return _table(
        ("Field", "Status", "What becomes of it"), [*rows, ("anything else", "ignored", "")]
    )


def _within() -> str:
    rows = [
        (f"`{section}`", *(_code(_with(section, decisions)) for _, decisions in COLUMNS))
        for section, table in FIELDS.items()
        if table and section != "request" and not section.startswith(OF_RESPONSES)
    ]
    return _table(("In", *(title for title, _ in COLUMNS)), rows)


def _counts() -> str:
    used = [decision for decision in DECISIONS if any(counted(api)[decision] for api in APIS)]
    rows = [
        (api, str(counted(api).total()), *(str(counted(api)[decision]) for decision in used))
        for api in APIS
    ]
    return _table(("", "Names", *used), rows)


def _with(section: str, decisions: Iterable[Decision]) -> list[str]:
    return [name for name, decision in FIELDS[section].items() if decision in decisions]


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return (
        "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        .replace("|  |", "| |")
        .replace("|  |", "| |")
    )


if __name__ == "__main__":
    print(made()["counts"])
