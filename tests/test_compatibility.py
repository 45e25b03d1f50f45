"""The table of decisions against the installed SDKs, and docs/COMPATIBILITY.md against the table."""

from __future__ import annotations

import pytest

from addon.translation.decisions import EXTRAS, FIELDS, NEUTRAL
from tests.compatibility import decision_of, with_tables
from tests.documents import ROOT
from tests.sdk_names import APIS, names

DOCUMENT = ROOT / "docs" / "COMPATIBILITY.md"


@pytest.mark.parametrize("api", APIS)
def test_every_name_of_the_sdks_has_a_decision(api: str) -> None:
    """A new version of an SDK has a new name: decide in addon/translation/decisions.py."""
    assert sorted(name for name in names(api) if decision_of(name) is None) == []


def test_every_decision_is_about_a_name_that_exists() -> None:
    known = {name for api in APIS for name in names(api)}
    decided = {(section, name) for section, table in FIELDS.items() for name in table}
    assert decided - known == EXTRAS.keys()


def test_neutral_values_are_of_names_that_exist() -> None:
    fields = set(FIELDS["request"])
    fields |= {f"{section}.{name}" for section, table in FIELDS.items() for name in table}
    assert NEUTRAL.keys() <= fields


def test_the_document_says_what_the_table_says(update_golden: bool) -> None:
    """Written anew by `pytest tests/test_compatibility.py --update-golden`."""
    made = with_tables(DOCUMENT.read_text(encoding="utf-8"))
    if update_golden:
        DOCUMENT.write_text(made, encoding="utf-8", newline="\n")
    assert DOCUMENT.read_text(encoding="utf-8") == made
