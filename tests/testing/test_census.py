"""What counts as left behind."""

from __future__ import annotations

import asyncio
import os
import socket

from qemu_sim.testing.census import Census


def test_each_kind_that_machines_deal_in_is_seen():
    before = Census.take()
    made = [os.memfd_create("ram"), os.eventfd(0), socket.socket().detach()]
    complaints = before.complaints()
    for number in made:
        os.close(number)
    assert [text.split()[3] for text in complaints] == [str(number) for number in sorted(made)]
    assert before.complaints() == []


def test_files_and_pipes_are_other_peoples(tmp_path):
    before = Census.take()
    with open(tmp_path / "file", "w"):
        pipe = os.pipe()
        assert before.complaints() == []
    for number in pipe:
        os.close(number)


def test_a_number_that_was_used_again_is_new():
    number = os.eventfd(0)
    before = Census.take()
    os.close(number)
    with socket.socket() as again:
        assert again.fileno() == number
        assert len(before.complaints()) == 1


def test_an_open_event_loop_is_no_leak():
    before = Census.take()
    loop = asyncio.new_event_loop()
    assert before.complaints() == []
    loop.close()
