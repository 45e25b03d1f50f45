from typing import get_args

import pytest
from anthropic.types.model_param import ModelParam

from addon.claude.catalogue import Catalogue
from addon.claude.models_file import CatalogueError
from addon.core.errors import NotFound
from tests.claude.support import CATALOGUE, MODELS_FILE

SDK_IDS = get_args(get_args(ModelParam)[0])


@pytest.mark.parametrize("model_id", SDK_IDS)
def test_every_model_of_the_sdk_is_known(model_id: str) -> None:
    assert not CATALOGUE.get(model_id).source.startswith("guessed")


@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=CATALOGUE.ids)
def test_row_makes_sense(model) -> None:
    assert model.source
    assert model.released
    assert model.max_output < model.context
    assert model.default_effort in (*model.efforts, None)
    assert bool(model.efforts) == bool(model.default_effort) or model.thinking == "manual"
    assert model.thinking_default or model.thinking_off == "omit"
    if model.thinking == "manual":
        assert model.budget_tokens
        assert model.thinking_off == "omit"


def test_dated_ids_share_the_row_of_their_base() -> None:
    assert CATALOGUE.get("claude-opus-4-5-20251101") is CATALOGUE.get("claude-opus-4-5")


@pytest.mark.parametrize(
    ("retired", "instead"),
    [
        ("claude-sonnet-4", "claude-sonnet-5-5"),
        ("claude-opus-4-1", "claude-opus-5-5"),
        ("claude-opus-4-1-20250805", "claude-opus-5-5"),
        ("claude-3-5-haiku-20241022", "claude-haiku-5-5"),
        ("claude-mythos-preview", "claude-mythos-5-2"),
        ("claude-opus-5", "claude-opus-5"),
        ("claude-opus-9", "claude-opus-9"),
    ],
)
def test_retired_models_have_a_replacement(retired: str, instead: str) -> None:
    assert CATALOGUE.resolve(retired) == instead
    assert CATALOGUE.get(retired).id == instead


def test_every_replacement_is_a_known_model_that_is_not_retired() -> None:
    for instead in CATALOGUE.retired.values():
        assert instead in CATALOGUE.models
        assert instead not in CATALOGUE.retired


@pytest.mark.parametrize(
    ("unknown", "like"),
    [
        ("claude-opus-6", "claude-opus-5-5"),
        ("claude-haiku-6-1", "claude-haiku-5-5"),
        ("claude-saga-1", "claude-fable-5-2"),
    ],
)
def test_unknown_model_is_taken_for_the_newest_of_its_family(unknown: str, like: str) -> None:
    guess, newest = CATALOGUE.get(unknown), CATALOGUE.get(like)
    assert (guess.id, guess.family, guess.prices) == (unknown, newest.family, newest.prices)
    assert guess.sure == "C"
    assert guess.thinking == "adaptive"
    assert not (guess.sampling or guess.prefill or guess.forced_tool_choice or guess.budget_tokens)


def test_name_of_another_maker_is_not_found() -> None:
    with pytest.raises(NotFound) as caught:
        CATALOGUE.get("gpt-5.5")
    assert caught.value.param == "model"


# ------------------------------------------------------------------------------------------------------- overrides


def test_override_changes_the_named_fields_only() -> None:
    ours = CATALOGUE.with_overrides(
        "[models.claude-opus-5]\nmax_output = 32000\nprices = { input = 1.5 }"
    )
    before, after = CATALOGUE.get("claude-opus-5"), ours.get("claude-opus-5")
    assert (after.max_output, after.prices.input) == (32_000, 1.5)
    assert (after.context, after.prices.output) == (before.context, before.prices.output)
    assert CATALOGUE.get("claude-opus-5").max_output == 128_000


def test_override_of_a_step_price_keeps_the_rest_of_the_step() -> None:
    ours = CATALOGUE.with_overrides("[models.claude-haiku-5-5.prices.step]\noutput = 9")
    prices = ours.get("claude-haiku-5-5").prices
    assert prices.step is not None
    assert (prices.output, prices.step.output, prices.step.input) == (0.5, 9.0, 0.5)


def test_new_row_is_based_on_the_newest_of_its_family() -> None:
    ours = CATALOGUE.with_overrides('[models.claude-sonnet-6]\ncontext = 2000000\nsure = "A"')
    row = ours.get("claude-sonnet-6")
    assert (row.context, row.family, row.sure) == (2_000_000, "sonnet", "A")
    assert "claude-sonnet-6" in ours.ids


def test_new_row_may_name_what_it_is_like() -> None:
    ours = CATALOGUE.with_overrides(
        '[models.claude-sonnet-6]\nlike = "claude-opus-4-5"\nfast = true'
    )
    assert ours.get("claude-sonnet-6").thinking == "manual"
    assert ours.get("claude-sonnet-6").fast


def test_retirement_can_be_overridden() -> None:
    ours = CATALOGUE.with_overrides('[retired]\nclaude-sonnet-4 = "claude-haiku-5-5"')
    assert ours.resolve("claude-sonnet-4-20250514") == "claude-haiku-5-5"
    assert ours.resolve("claude-opus-4-1") == "claude-opus-5-5"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[models.claude-opus-5]\ncontxt = 5",
            'claude-opus-5: "contxt" is not a field, did you mean "context"?',
        ),
        ("[models.claude-opus-5]\nid = 'x'", 'claude-opus-5: "id" is not a field'),
        (
            "[models.claude-opus-5]\ncontext = '200K'",
            "claude-opus-5: context must be a whole number above 0, not '200K'",
        ),
        (
            "[models.claude-opus-5]\ncontext = true",
            "context must be a whole number above 0, not True",
        ),
        ("[models.claude-opus-5]\ncontext = 0", "context must be a whole number above 0, not 0"),
        ("[models.claude-opus-5]\nsampling = 1", "sampling must be true or false, not 1"),
        (
            "[models.claude-opus-5]\nthinking = 'sometimes'",
            "thinking must be one of adaptive, manual, not 'sometimes'",
        ),
        ("[models.claude-opus-5]\nefforts = 'high'", "efforts must be a list of texts, not 'high'"),
        ("[models.claude-opus-5]\nfamily = 7", "family must be a text, not 7"),
        (
            "[models.claude-opus-5.prices]\ninput = -1",
            "prices.input must be a number of USD, 0 or more, not -1",
        ),
        (
            "[models.claude-opus-5.prices]\ninput = nan",
            "prices.input must be a number of USD, 0 or more, not nan",
        ),
        (
            "[models.claude-opus-5.prices]\nimput = 1",
            'claude-opus-5: prices: "imput" is not a field',
        ),
        (
            "[models.claude-opus-5.prices]\nstep_tokens = 1.5",
            "prices.step_tokens must be a whole number above 0",
        ),
        (
            "[models.claude-opus-5.prices.step]\ninput = 1",
            "claude-opus-5: prices.step: prices: lacks cache_read",
        ),
        ("[models]\nclaude-opus-5 = 3", "claude-opus-5: must be a table of fields"),
        ("[models.claude-opus-5]\nprices = 3", "claude-opus-5: prices must be a table"),
        ("[models.claude-x-1]\nlike = 'gpt-5'", 'claude-x-1: like = "gpt-5" is not a known model'),
        ("[retired]\nclaude-x = 3", "retired: claude-x must name the model to use instead"),
        ("retired = 3", "[retired] must be a table"),
        ("[models", "not valid TOML"),
    ],
)
def test_bad_override_names_row_and_field(text: str, says: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        CATALOGUE.with_overrides(text)
    assert says in str(caught.value)


def test_complete_file_needs_every_field() -> None:
    with pytest.raises(CatalogueError, match=r"claude-x-1: lacks .*context, .*tokenizer"):
        Catalogue.load(
            "[models.claude-x-1]\nprices = { input = 1, output = 1, cache_write_5m = 1, cache_write_1h = 1, cache_read = 1 }"
        )
    with pytest.raises(CatalogueError, match="has no"):
        Catalogue.load("")


def test_file_is_dated() -> None:
    assert "checked = 2026-" in MODELS_FILE.read_text()


# --------------------------------------------------------------------------------------------------------- upstream


def supported(**names: bool) -> dict[str, object]:
    return {name: {"supported": value} for name, value in names.items()}


def upstream(model_id: str, **fields: object) -> dict[str, object]:
    return {
        "data": [{"id": model_id, "type": "model", "created_at": "2027-01-02T00:00:00Z", **fields}]
    }


def test_upstream_gives_limits_of_models_that_no_file_knows() -> None:
    listed = upstream("claude-opus-6", max_input_tokens=2_000_000, max_tokens=256_000)
    row = CATALOGUE.with_upstream(listed).get("claude-opus-6")
    assert (row.context, row.max_output, row.released) == (2_000_000, 256_000, "2027-01-02")
    assert row.prices == CATALOGUE.get("claude-opus-5-5").prices


def test_upstream_does_not_touch_rows_of_the_files() -> None:
    listed = upstream("claude-opus-4-5-20251101", max_input_tokens=1, max_tokens=1)
    assert CATALOGUE.with_upstream(listed).models == CATALOGUE.models


@pytest.mark.parametrize(
    ("types", "thinking", "off"),
    [
        (
            {"adaptive": True, "enabled": False, "disabled": False, "between_tools": False},
            "adaptive",
            "never",
        ),
        (
            {"adaptive": True, "enabled": False, "disabled": True, "between_tools": False},
            "adaptive",
            "disabled",
        ),
        (
            {"adaptive": True, "enabled": False, "disabled": False, "between_tools": True},
            "adaptive",
            "between_tools",
        ),
        (
            {"adaptive": False, "enabled": True, "disabled": True, "between_tools": False},
            "manual",
            "disabled",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("family", ["opus", "sonnet", "haiku"])
def test_upstream_gives_kinds_of_thinking(
    family: str, types: dict[str, bool], thinking: str, off: str
) -> None:
    capabilities = {
        "thinking": {"supported": True, "types": supported(**types)},
        "effort": {
            "supported": True,
            **supported(low=True, medium=True, high=True, xhigh=False, max=True),
        },
        "structured_outputs": {"supported": False},
    }
    row = CATALOGUE.with_upstream(upstream(f"claude-{family}-6", capabilities=capabilities)).get(
        f"claude-{family}-6"
    )
    assert (row.thinking, row.thinking_off) == (thinking, off)
    assert row.efforts == ("low", "medium", "high", "max")
    assert not row.structured_outputs


@pytest.mark.parametrize(
    "listed",
    [{}, {"data": None}, {"data": [None, {}, {"id": 3}]}, {"data": [{"id": "claude-opus-5"}]}],
)
def test_odd_upstream_answers_change_nothing(listed: dict[str, object]) -> None:
    assert CATALOGUE.with_upstream(listed).models == CATALOGUE.models


def test_a_model_is_retired_on_its_day_and_the_newest_of_its_family_replaces_it() -> None:
    old, dated = "claude-sonnet-4-5", "claude-sonnet-4-5-20250929"
    for name in (old, dated):
        assert CATALOGUE.on("2026-11-29").resolve(name) == name
        assert CATALOGUE.on("2026-11-30").resolve(name) == "claude-sonnet-5-5"
    on_the_day = CATALOGUE.on("2026-11-30")
    assert old in CATALOGUE.ids and old not in on_the_day.ids
    assert on_the_day.get(old).id == "claude-sonnet-5-5"
    assert CATALOGUE.on("2027-01-22").resolve("claude-opus-4-5-20251101") == "claude-opus-5-5"
    assert CATALOGUE.on("2026-11-01") is CATALOGUE


def test_the_successor_of_a_retired_model_may_retire_too() -> None:
    over = CATALOGUE.with_overrides(
        '[retired]\nclaude-ancient = "claude-sonnet-4-5"\n[models.claude-sonnet-5-5]\nretires = 2026-11-30'
    )
    assert over.on("2026-11-30").resolve("claude-ancient") == "claude-sonnet-5"
    assert over.on("2026-11-30").resolve("claude-sonnet-4-5") == "claude-sonnet-5"


def test_fast_mode_ends_on_its_day() -> None:
    assert CATALOGUE.on("2026-11-29").get("claude-opus-4-8").fast
    assert not CATALOGUE.on("2026-11-30").get("claude-opus-4-8").fast
    assert CATALOGUE.on("2026-11-30").get("claude-opus-5").fast


def test_an_hour_in_the_cache_is_written_at_twice_the_input_price() -> None:
    for model in CATALOGUE.models.values():
        assert model.prices.cache_write_1h == pytest.approx(2 * model.prices.input), model.id
