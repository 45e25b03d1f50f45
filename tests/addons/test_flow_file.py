"""The file of `-w`, on disks that refuse."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mitmproxy import flow
from mitmproxy.addons.save import Save
from mitmproxy.io import FilteredFlowWriter, FlowReader, read_flows_from_paths
from mitmproxy.test import tflow

from addon.addons.flow_file import FlowFile, append
from tests.masters import addon_context


@contextmanager
def saving_to(path: Path | str) -> Iterator[tuple[Save, FlowFile]]:
    save = Save()
    with addon_context(save) as context:
        file = FlowFile(save)
        context.options.update(save_stream_file=str(path))
        try:
            yield save, file
        finally:
            save.active_flows.clear()
            context.options.update(save_stream_file=None)


@contextmanager
def room_up_to(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def pass_by(save: Save) -> flow.Flow:
    seen = tflow.tflow(resp=True)
    save.request(seen)
    save.response(seen)
    return seen


def test_flows_are_saved_as_mitmproxy_does(tmp_path: Path) -> None:
    with saving_to(tmp_path / "flows") as (save, file):
        ids = [pass_by(save).id for _ in range(3)]
        assert not save.active_flows and file.problem is None
    assert [f.id for f in read_flows_from_paths([tmp_path / "flows"])] == ids


def test_half_a_flow_is_taken_back_and_what_comes_after_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "flows"
    with saving_to(path) as (save, file):
        first = pass_by(save)
        with room_up_to(path.stat().st_size + 100):
            pass_by(save)
            pass_by(save)
        assert file.dropped == 2
        assert file.problem == "flow file: 2 flows could not be written: File too large."
        last = pass_by(save)
        assert file.problem is None and file.dropped == 2
    assert [f.id for f in read_flows_from_paths([path])] == [first.id, last.id]


def test_a_full_device_ends_nothing(tmp_path: Path) -> None:
    with saving_to("/dev/full") as (save, file):
        pass_by(save)
    assert file.problem == "flow file: 1 flow could not be written: No space left on device."


def test_a_pipe_gets_its_flows(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # O_RDWR: opening does not wait for the other end
    reader = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    with saving_to(tmp_path / "pipe") as (save, file):
        seen = pass_by(save)
        assert file.problem is None
    with os.fdopen(reader, "rb") as pipe:
        assert next(FlowReader(pipe).stream()).id == seen.id


def test_a_pipe_that_nobody_empties_costs_the_flow_and_does_not_spin() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(reader, "rb"), os.fdopen(writer, "wb") as full:
        full.raw.write(bytes(2**20))
        file = FilteredFlowWriter(full, None)
        with pytest.raises(BlockingIOError):
            append(file, tflow.tflow(resp=True))


def test_the_next_days_file_that_can_not_be_opened_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with saving_to(tmp_path / "flows") as (save, file):
        pass_by(save)
        save.current_path = "yesterday's"
        (tmp_path / "flows").replace(tmp_path / "before")
        (tmp_path / "flows").mkdir()
        pass_by(save)
        pass_by(save)
        assert file.dropped == 2 and "Is a directory" in (file.problem or "")
        (tmp_path / "flows").rmdir()
        last = pass_by(save)
    assert [f.id for f in read_flows_from_paths([tmp_path / "flows"])] == [last.id]


def test_without_the_option_nothing_is_written(tmp_path: Path) -> None:
    with saving_to(tmp_path / "flows") as (save, file):
        pass
    with addon_context(save):
        pass_by(save)
    assert file.dropped == 0 and file.problem is None
