"""The table of decisions: what becomes of each name in OpenAI's and Anthropic's APIs.

`FIELDS` maps a section to its names, and each name to one `Decision`. A section is `request`, an object in it
(`reasoning`), or a kind of message, part, item or tool (`content.image_url`). The sections `content`, `input`, `tools`
and the like decide about kinds as a whole. A decision covers everything inside, unless there is a section for that.

`name@Vendor` is in neither SDK's types: that vendor sends it or documents it.

docs/COMPATIBILITY.md is made from it. A field that stands nowhere counts as `ignored`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from addon.core.types import JsonObject

type Decision = Literal[
    "translated",  # reaches Claude in its own form, or decides how it is asked or how the response is written
    "passed",  # reaches Anthropic as it is
    "sometimes",  # as `translated` where the model and the settings allow it, else `ignored`
    "label",  # says nothing to Claude: ids, states, repetitions of what stands elsewhere
    "harmless",  # named in `x-ccproxy-ignored`; the response is the same without it
    "ignored",  # the same, and rejected with STRICT
    "refused",  # rejected with a 400 that names it
    "sent",  # of responses: what clients get
    "unsent",  # of responses: what clients of OpenAI's APIs don't get
]

DECISIONS: tuple[Decision, ...] = get_args(Decision.__value__)
_TABLE: dict[str, dict[str, str]] = {
    # ---- requests
    "request": {
        "translated": "model messages input instructions system max_tokens max_completion_tokens max_output_tokens stop"
        " stop_sequences stream stream_options tools functions tool_choice function_call parallel_tool_calls text"
        " response_format reasoning_effort reasoning thinking output_config user safety_identifier prompt_cache_options"
        " prompt_cache_retention prompt_cache_key n modalities background generate@OpenAI",
        "passed": "inference_geo mcp_servers",
        "sometimes": "temperature top_p top_k@Anthropic service_tier speed cache_control context_management",
        "harmless": "metadata store include truncation audio betas background_options client_metadata@Codex",
        "ignored": "seed logit_bias logprobs top_logprobs frequency_penalty presence_penalty verbosity prediction"
        " web_search_options previous_response_id max_tool_calls access_programs image container compaction"
        " diagnostics fallbacks fallback_credit_token billing_policy thread user_profile_id workspace_id"
        " moderation",
        "refused": "conversation prompt",
    },
    "reasoning": {
        "translated": "effort summary generate_summary max_tokens@OpenRouter enabled@OpenRouter exclude@OpenRouter",
        "ignored": "mode context",
    },
    "text": {"translated": "format", "ignored": "verbosity"},
    "output_config": {"translated": "effort format", "ignored": "task_budget"},
    "stream_options": {"translated": "include_usage", "harmless": "include_obfuscation"},
    "prompt_cache_options": {
        "translated": "mode ttl",
        "harmless": "comparison_response_id",
        "refused": "prewarm",
    },
    "moderation": {"harmless": "model", "ignored": "policy"},
    "format": {"translated": "text json_object"},
    "format.json_schema": {
        "translated": "type json_schema name description schema strict",
    },
    # ---- messages and items
    "messages": {},
    "messages.system": {
        "translated": "role content cache_control@LiteLLM",
        "label": "type id@OpenAI status",
        "harmless": "phase",
        "ignored": "name clear_at output_config",
    },
    "messages.developer": {
        "translated": "role content cache_control@LiteLLM",
        "label": "type id@OpenAI status",
        "harmless": "phase",
        "ignored": "name",
    },
    "messages.user": {
        "translated": "role content name cache_control@LiteLLM",
        "label": "type id@OpenAI status",
        "harmless": "phase",
    },
    "messages.assistant": {
        "translated": "role content refusal tool_calls function_call thinking_blocks@LiteLLM"
        " reasoning_details@OpenRouter cache_control@LiteLLM",
        "label": "type id status annotations@OpenAI reasoning_content@DeepSeek reasoning@OpenRouter",
        "harmless": "phase",
        "ignored": "name audio",
    },
    "messages.tool": {
        "translated": "role content tool_call_id cache_control@LiteLLM",
        "label": "name@OpenAI",
    },
    "messages.function": {"translated": "role content cache_control@LiteLLM", "label": "name"},
    "tool_calls": {},
    "tool_calls.function": {
        "translated": "id type function name arguments",
        "label": "index@OpenAI",
    },
    "tool_calls.custom": {"translated": "id type custom name input", "label": "index@OpenAI"},
    "input": {
        "translated": "apply_patch_call apply_patch_call_output code_interpreter_call computer_call"
        " computer_call_output file_search_call image_generation_call local_shell_call"
        " local_shell_call_output mcp_approval_request mcp_approval_response mcp_call mcp_list_tools"
        " program program_output shell_call shell_call_output tool_search_call tool_search_output"
        " web_search_call",
        "refused": "compaction_trigger",
    },
    "input.reasoning": {
        "translated": "type encrypted_content",
        "label": "id status summary content",
    },
    "input.compaction": {"translated": "type encrypted_content", "label": "id"},
    "input.item_reference": {"translated": "type id"},
    "input.configuration_update": {"translated": "type reasoning text", "label": "id"},
    "input.additional_tools": {"translated": "type tools", "label": "id role"},
    # all the items that are told as text, whatever they hold
    "hosted": {
        "translated": "action actions approval_request_id approve arguments attributes background button call_id"
        " categories code command commands container_id content description diff env error execution exit_code filename"
        " image_url input_tokens keys logs message model moderation_details moderation_stage name operation"
        " outcome output output_format output_tokens outputs param path pattern quality queries query reason"
        " reasoning_tokens result results revised_prompt scroll_x scroll_y server_label size skills sources"
        " status stderr stdout text tools total_tokens type url user working_directory x y",
        "label": "acknowledged_safety_checks caller caller_id created_by@OpenAI environment file_id fingerprint id"
        " max_output_length pending_safety_checks score svg_usage timeout_ms",
    },
    "input.function_call": {
        "translated": "type call_id name arguments namespace",
        "label": "id status created_by@OpenAI",
        "ignored": "async caller",
    },
    "input.function_call_output": {
        "translated": "type call_id output",
        "label": "id status created_by@OpenAI",
        "harmless": "name namespace",
        "ignored": "caller",
    },
    "input.custom_tool_call": {
        "translated": "type call_id name input namespace",
        "label": "id status@OpenAI created_by@OpenAI",
        "ignored": "async caller",
    },
    "input.custom_tool_call_output": {
        "translated": "type call_id output",
        "label": "id status@OpenAI created_by@OpenAI",
        "ignored": "caller",
    },
    # ---- parts and blocks
    "content": {
        "passed": "server_tool_use web_search_tool_result web_fetch_tool_result code_execution_tool_result"
        " bash_code_execution_tool_result text_editor_code_execution_tool_result tool_search_tool_result mcp_tool_use"
        " mcp_tool_result advisor_tool_result thinking redacted_thinking",
        "label": "reasoning_text",
        "refused": "input_audio audio@OpenAI tool_reference browser_state container_upload"
        " compaction tool_addition tool_removal mcp_tool_listing fallback",
    },
    "content.text": {
        "translated": "type text cache_control prompt_cache_breakpoint",
        "ignored": "citations",
    },
    "content.input_text": {"translated": "type text cache_control@Cursor prompt_cache_breakpoint"},
    "content.output_text": {
        "translated": "type text cache_control@Cursor",
        "label": "annotations logprobs",
    },
    "content.refusal": {"translated": "type refusal"},
    "content.image_url": {
        "translated": "type image_url url cache_control@Cursor prompt_cache_breakpoint",
        "ignored": "detail",
    },
    "content.input_image": {
        "translated": "type image_url url@Cursor cache_control@Cursor prompt_cache_breakpoint",
        "ignored": "detail",
        "refused": "file_id",
    },
    "content.file": {
        "translated": "type file file_data filename file_url@Cursor cache_control@Cursor prompt_cache_breakpoint",
        "refused": "file_id",
    },
    "content.input_file": {
        "translated": "type file_data file_url filename cache_control@Cursor prompt_cache_breakpoint",
        "ignored": "detail",
        "refused": "file_id",
    },
    "content.image": {"passed": "type source transformations", "translated": "cache_control"},
    "content.document": {
        "passed": "type source title context citations",
        "translated": "cache_control",
    },
    "content.search_result": {
        "passed": "type source title content citations",
        "translated": "cache_control",
    },
    "content.tool_use": {
        "translated": "type id name input cache_control",
        "passed": "caller toolset_name",
    },
    "content.tool_result": {
        "translated": "type tool_use_id content is_error cache_control",
        "passed": "toolset_name",
    },
    # ---- tools
    "tools": {
        "passed": "bash_20241022 bash_20250124 browser_toolset_20260801 code_execution_20250522"
        " code_execution_20250825 code_execution_20260120 code_execution_20260521 computer_20241022 computer_20250124"
        " computer_20251124 computer_toolset_20260801 mcp_toolset memory_20250818 text_editor_20241022"
        " text_editor_20250124 text_editor_20250429 text_editor_20250728 tool_search_tool_bm25_20251119"
        " tool_search_tool_regex_20251119 web_fetch_20250910 web_fetch_20260209 web_fetch_20260309"
        " web_fetch_20260318 web_search_20250305 web_search_20260209 web_search_20260318 advisor_20260301"
        " tool_search_tool_bm25 tool_search_tool_regex",
        "ignored": "apply_patch code_interpreter computer computer_use_preview file_search image_generation"
        " local_shell mcp programmatic_tool_calling shell tool_search web_search web_search_2025_08_26"
        " web_search_preview web_search_preview_2025_03_11",
    },
    "tools.function": {
        "translated": "type function name description parameters input_schema strict cache_control",
        "passed": "eager_input_streaming input_examples",
        "ignored": "async allowed_callers defer_loading output_schema",
    },
    "tools.custom": {
        "translated": "type custom name description format cache_control@Anthropic",
        "ignored": "async allowed_callers defer_loading",
    },
    "tools.namespace": {"translated": "type name tools", "ignored": "description"},
    "tool_choice": {
        "refused": "apply_patch code_interpreter computer computer_use computer_use_preview file_search"
        " image_generation mcp programmatic_tool_calling shell web_search_preview web_search_preview_2025_03_11",
    },
    "tool_choice.function": {"translated": "type function name"},
    "tool_choice.custom": {"translated": "type custom name"},
    "tool_choice.allowed_tools": {"translated": "type allowed_tools mode tools"},
    "tool_choice.auto": {"translated": "type disable_parallel_tool_use"},
    "tool_choice.any": {"translated": "type disable_parallel_tool_use"},
    "tool_choice.none": {"translated": "type"},
    "tool_choice.tool": {"translated": "type name disable_parallel_tool_use"},
    # ---- responses
    "chat.completion": {
        "sent": "id object created model choices usage service_tier",
        "unsent": "metadata moderation system_fingerprint",
    },
    "chat.choice": {"sent": "index message logprobs finish_reason"},
    "chat.message": {
        "sent": "role content refusal annotations function_call tool_calls reasoning_content@DeepSeek"
        " reasoning@OpenRouter",
        "unsent": "audio",
    },
    "chat.chunk": {
        "sent": "id object created model choices usage service_tier",
        "unsent": "moderation obfuscation system_fingerprint",
    },
    "chat.delta": {
        "sent": "role content refusal function_call tool_calls reasoning_content@DeepSeek annotations@OpenAI"
        " reasoning@OpenRouter",
        "unsent": "audio",
    },
    "responses.response": {
        "sent": "id object created_at completed_at status error incomplete_details model output usage service_tier"
        " background instructions max_output_tokens max_tool_calls metadata parallel_tool_calls previous_response_id"
        " prompt_cache_key reasoning safety_identifier store@OpenResponses temperature text tool_choice tools"
        " top_logprobs top_p truncation user frequency_penalty@OpenResponses presence_penalty@OpenResponses",
        "unsent": "access_programs conversation image input_transformations moderation prompt"
        " prompt_cache_diagnostics prompt_cache_options prompt_cache_retention tool_usage",
    },
    "responses.output": {
        "sent": "message function_call custom_tool_call reasoning compaction",
        "unsent": "additional_tools apply_patch_call apply_patch_call_output code_interpreter_call computer_call"
        " computer_call_output custom_tool_call_output file_search_call function_call_output image_generation_call"
        " local_shell_call local_shell_call_output mcp_approval_request mcp_approval_response mcp_call"
        " mcp_list_tools program program_output shell_call shell_call_output tool_search_call tool_search_output"
        " web_search_call",
    },
    "responses.events": {
        "sent": "response.created response.in_progress response.completed response.incomplete response.failed"
        " response.output_item.added response.output_item.done response.content_part.added"
        " response.content_part.done response.output_text.delta response.output_text.done"
        " response.output_text.annotation.added response.refusal.delta response.refusal.done"
        " response.reasoning_summary_part.added response.reasoning_summary_part.done"
        " response.reasoning_summary_text.delta response.reasoning_summary_text.done"
        " response.function_call_arguments.delta response.function_call_arguments.done"
        " response.custom_tool_call_input.delta response.custom_tool_call_input.done error",
        "unsent": "response.audio.delta response.audio.done response.audio.transcript.delta"
        " response.audio.transcript.done response.code_interpreter_call.completed"
        " response.code_interpreter_call.in_progress response.code_interpreter_call.interpreting"
        " response.code_interpreter_call_code.delta response.code_interpreter_call_code.done"
        " response.compaction.compacting response.file_search_call.completed"
        " response.file_search_call.in_progress response.file_search_call.searching"
        " response.image_generation_call.completed response.image_generation_call.generating"
        " response.image_generation_call.in_progress response.image_generation_call.partial_image"
        " response.mcp_call.completed response.mcp_call.failed response.mcp_call.in_progress"
        " response.mcp_call_arguments.delta response.mcp_call_arguments.done response.mcp_list_tools.completed"
        " response.mcp_list_tools.failed response.mcp_list_tools.in_progress response.queued"
        " response.reasoning_text.delta response.reasoning_text.done response.shell_call_command.added"
        " response.shell_call_command.delta response.shell_call_command.done"
        " response.shell_call_output_content.delta response.shell_call_output_content.done"
        " response.web_search_call.completed response.web_search_call.in_progress"
        " response.web_search_call.searching",
    },
    "anthropic.message": {
        "translated": "id content stop_details stop_reason usage",
        "label": "type role model",
        "unsent": "container context_management diagnostics input_transformations stop_sequence",
    },
    "anthropic.events": {
        "translated": "message_start content_block_start content_block_delta content_block_stop message_delta"
        " message_stop ping@Anthropic error@Anthropic",
    },
    "anthropic.blocks": {
        "translated": "text thinking redacted_thinking tool_use",
        "unsent": "advisor_tool_result bash_code_execution_tool_result code_execution_tool_result compaction"
        " container_upload fallback mcp_tool_listing mcp_tool_result mcp_tool_use server_tool_use"
        " text_editor_code_execution_tool_result tool_search_tool_result web_fetch_tool_result"
        " web_search_tool_result",
    },
    "anthropic.deltas": {
        "translated": "text_delta thinking_delta signature_delta input_json_delta citations_delta",
        "unsent": "compaction_delta",
    },
    "anthropic.stop_reasons": {
        "translated": "end_turn max_tokens stop_sequence tool_use pause_turn refusal model_context_window_exceeded"
        " compaction",
    },
    "anthropic.errors": {
        "translated": "invalid_request_error authentication_error billing_error permission_error not_found_error"
        " conflict_error request_too_large@Anthropic rate_limit_error api_error timeout_error overloaded_error"
        " memory_path_conflict_error memory_precondition_failed_error",
    },
}

FIELDS: Mapping[str, Mapping[str, Decision]] = {
    section: {
        name.partition("@")[0]: decision
        for decision in DECISIONS
        for name in table.get(decision, "").split()
    }
    for section, table in _TABLE.items()
}
EXTRAS: Mapping[tuple[str, str], str] = {
    (section, name): source
    for section, table in _TABLE.items()
    for names in table.values()
    for name, at, source in (word.partition("@") for word in names.split())
    if at
}
"""Names that are in neither SDK's types, and who sends them or documents them."""
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (0,),
    "image": ({}, {"context_compression": "auto"}),
    "include": ([], ["reasoning.encrypted_content"]),
    "logit_bias": ({},),
    "logprobs": (False,),
    "presence_penalty": (0,),
    "reasoning.context": ("auto",),
    "reasoning.mode": ("standard",),
    "prompt_cache_options.prewarm": (False,),
    "service_tier": ("auto",),
    "speed": ("standard",),
    "store": (False,),
    "temperature": (1,),
    "text.verbosity": ("medium",),
    "top_logprobs": (0,),
    "top_p": (1,),
    "truncation": ("disabled",),
    "verbosity": ("medium",),
    # Claude sees an image as it is.
    "content.image_url.detail": ("auto", "high", "original"),
    "content.input_image.detail": ("auto", "high", "original"),
    "content.input_file.detail": ("auto", "high"),
    "content.text.citations": ([],),
    "messages.system.clear_at": ("never",),
    "tools.function.async": (False,),
    "tools.function.allowed_callers": (["direct"],),
    "tools.function.defer_loading": (False,),
    "tools.custom.async": (False,),
    "tools.custom.allowed_callers": (["direct"],),
    "tools.custom.defer_loading": (False,),
    **{
        f"input.{kind}{end}.caller": ({"type": "direct"},)
        for kind in ("function_call", "custom_tool_call")
        for end in ("", "_output")
    },
    "input.function_call.async": (False,),
    "input.custom_tool_call.async": (False,),
}
"""Values that mean the same as leaving the field out."""

_LISTS = {
    "messages": "messages",
    "input": "input",
    "tools": "tools",
    "tool_choice": "tool_choice",
    "tool_calls": "tool_calls",
    "content": "content",
    "output": "content",
    "system": "content",
    "format": "format",
    "response_format": "format",
}
"""Fields that hold objects of several kinds, and the section that decides about those kinds."""
_TOLD = ("ignored", "harmless", "refused")
"""What is named if it is there. A refused field that gets so far stands beside one that made it superfluous."""


def place_of(section: str, field: str) -> str:
    """The section that decides about the kinds of object in a field; "" if it holds only one."""
    return "" if section in ("tools.custom", "hosted") else _LISTS.get(field, "")


def section_within(section: str, field: str) -> str:
    """The section of the object in a field. Chat puts a function's fields into one more object: `{type: function,
    function: {…}}`."""
    if section == "request":
        return field
    if section == "hosted" and field != "tools":
        return section
    return section if section.rpartition(".")[2] == field else f"{section}.{field}"


def ignored_names(section: str, value: JsonObject) -> Iterator[str]:
    """The names of the fields in `value` that are dropped, with their section (`messages.assistant.audio`)."""
    known = FIELDS[section]
    for field, inner in value.items():
        decision = known.get(field, "ignored")
        if inner is None or decision == "passed":
            continue
        within = section_within(section, field)
        if isinstance(inner, dict) and within in FIELDS and not place_of(section, field):
            yield from ignored_names(within, inner)
        elif decision in _TOLD:
            name = field if section == "request" else f"{section}.{field}"
            if inner not in NEUTRAL.get(name, ()):
                yield name
        elif isinstance(inner, dict | list) and (place := place_of(section, field)):
            for item in inner if isinstance(inner, list) else (inner,):
                yield from ignored_in(place, item)


def ignored_in(place: str, item: Any) -> Iterator[str]:
    """The same for one object of several kinds: a message, a tool."""
    if not isinstance(item, dict):
        return
    section = _section_of(place, item)
    if section in FIELDS:
        yield from ignored_names(section, item)
    elif FIELDS[place].get(str(item.get("type"))) in _TOLD:
        yield section


def is_harmless(name: str) -> bool:
    """Whether the response is the same without the field that `ignored_names` names."""
    section, _, field = name.rpartition(".")
    return FIELDS.get(section or "request", {}).get(field) == "harmless"


def _section_of(place: str, item: JsonObject) -> str:
    kind = item.get("type")
    if place in ("messages", "input") and "role" in item and kind in (None, "message"):
        return f"messages.{item['role']}"
    if place == "tools" and (kind is None or "input_schema" in item):
        return "tools.function"
    return f"{place}.{kind}"
