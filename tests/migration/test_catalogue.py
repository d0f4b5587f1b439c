"""The catalogue of what can go wrong in a transfer: each number has tests in each dialect.

An entry is a file and the name of a test in it, as pytest would collect it. `CATALOGUE` is
about the dialect `devices`, and what is no dialect's. In `THEIRS` a number has the tests that
go through all dialects of others, or the reason why it cannot occur in them.
"""

from __future__ import annotations

import ast
import os

import pytest

from qemu_sim import catalog

TESTS = os.path.dirname(os.path.dirname(__file__))
E2E, TAP, DISK = "e2e/{}.py", "backends/test_tap_transfer.py", "vhost_user/test_hand_over.py"
FAILURES, DIALECTS, KILL = map(E2E.format, ("test_failures", "test_dialects", "test_kill"))
DESCRIPTORS, SILENCE = map(E2E.format, ("test_descriptors", "test_silence"))
CARRIED, CHANNEL = "migration/test_carried.py", "io/test_channel.py"
HAND_OVER, STREAM = "migration/test_hand_over.py", "migration/test_stream.py"
CHANNELS = "real/test_broken_channels.py"
TABLE = ("dialects/test_table.py", "test_the_readme_has_the_table_that_comes_out")
POINTS = ("dialects/test_points.py", "test_whatever_happens_at_a_point")
CHANCE = ("dialects/test_any_meeting.py", "test_at_most_one_runs")
EACH = "dialects/test_failures.py"
KILLS = "dialects/test_kills.py"

CATALOGUE = {
    (1, "a peer dies before any descriptor"): [
        (KILL, "test_the_source_is_killed"),
        (KILL, "test_the_destination_is_killed"),
        (DIALECTS, "test_a_destination_that_dies_leaves_the_source_alive"),
        (CHANNELS, "test_a_peer_that_goes_leaves_the_source_running"),
        (CHANNELS, "test_a_program_that_ends_leaves_the_source_running"),
        (CHANNELS, "test_a_descriptor_whose_other_end_is_closed"),
    ],
    (2, "the peer dies after the descriptors, before commit"): [
        (KILL, "test_the_destination_is_killed"),
        (KILL, "test_what_a_destination_did_before_it_died_is_lost"),
    ],
    (3, "the source dies after the descriptors, before commit"): [
        (KILL, "test_the_source_is_killed"),
        (KILL, "test_the_source_is_killed_at_any_moment"),
        (CHANNELS, "test_a_stream_that_ends_too_early"),
    ],
    (4, "commit is lost"): [
        (FAILURES, "test_commit_is_lost_on_the_way"),
        ("migration/test_ownership.py", "test_never_two_owners"),
        ("migration/test_any_moment.py", "test_at_most_one_serves"),
    ],
    (5, "fewer descriptors than announced"): [
        (FAILURES, "test_fewer_more_wrong_or_swapped_descriptors"),
        (DISK, "test_one_descriptor_too_few_or_too_many"),
        (DIALECTS, "test_a_wrong_number_of_descriptors"),
    ],
    (6, "more of them, or some that nothing announced"): [
        (FAILURES, "test_a_descriptor_that_nothing_announced"),
        (DIALECTS, "test_a_wrong_number_of_descriptors"),
        ("fuzz/test_any_stream.py", "test_any_change"),
    ],
    (7, "one that nobody claims"): [
        (FAILURES, "test_a_descriptor_that_nothing_announced"),
        (DIALECTS, "test_nobody_claims_what_only_the_source_sends"),
    ],
    (8, "swapped between devices or roles"): [
        (FAILURES, "test_roles_of_one_device_are_swapped"),
        (FAILURES, "test_fewer_more_wrong_or_swapped_descriptors"),
        (DISK, "test_swapped_eventfds"),
        (DIALECTS, "test_descriptors_of_the_wrong_device_are_taken"),
    ],
    (9, "of the wrong type"): [
        (TAP, "test_a_wrong_descriptor_is_refused_and_closed"),
        (DISK, "test_a_wrong_descriptor"),
        (DIALECTS, "test_what_is_no_tap_is_taken"),
    ],
    (10, "the right type, another object"): [
        (FAILURES, "test_the_right_type_but_another_tap"),
        (TAP, "test_a_tap_of_the_same_name_elsewhere_is_another_one"),
        (DISK, "test_other_ram"),
    ],
    (11, "queues or vnet_hdr differ"): [
        (FAILURES, "test_a_mismatch_names_both_values"),
        (FAILURES, "test_a_vnet_header_on_one_side_only"),
        (CARRIED, "test_too_few_queues_are_read_on_and_on"),
        (CARRIED, "test_too_many_queues"),
        TABLE,
    ],
    (12, "only one side asks"): [
        ("e2e/test_mixed_dialects.py", "test_the_offer_is_not_understood"),
        ("e2e/test_mixed_dialects.py", "test_what_comes_was_not_offered"),
        ("e2e/test_mixed_dialects.py", "test_a_real_qemu_does_not_understand_the_offer"),
        ("e2e/test_scenarios.py", "test_off_on_the_destination_alone"),
        (CARRIED, "test_only_the_source"),
        (CARRIED, "test_only_the_destination"),
        TABLE,
    ],
    (13, "the channel carries no descriptors, or a relay loses them"): [
        (FAILURES, "test_a_relay_that_loses_descriptors"),
        (FAILURES, "test_tcp_is_refused_at_the_command"),
        (CARRIED, "test_a_channel_that_carries_none"),
        TABLE,
    ],
    (14, "too many in flight"): [
        ("e2e/test_in_flight.py", "test_they_wait_until_there_is_room"),
        ("e2e/test_in_flight.py", "test_they_do_not_wait_for_ever"),
        ("e2e/test_in_flight.py", "test_a_cancel_does_not_wait"),
    ],
    (15, "more than one message carries"): [
        (DESCRIPTORS, "test_more_than_one_message_can_carry"),
        (CHANNEL, "test_a_full_message_of_descriptors_passes_and_one_more_is_refused"),
    ],
    (16, "partial reads"): [
        (STREAM, "test_any_cut_gives_each_byte_its_descriptor"),
        (FAILURES, "test_a_relay_that_passes_descriptors_on_byte_by_byte"),
    ],
    (17, "a slow or silent peer"): [
        (SILENCE, "test_a_silent_destination"),
        (SILENCE, "test_a_silent_source"),
        (SILENCE, "test_a_slow_destination_before_commit"),
        (CHANNELS, "test_a_peer_that_stalls_can_be_given_up"),
    ],
    (18, "a second migration, a second peer"): [
        (FAILURES, "test_a_second_migration_and_a_second_peer"),
    ],
    (19, "the destination refuses to start after commit"): [
        (FAILURES, "test_the_destination_fails_after_commit"),
        (HAND_OVER, "test_a_destination_that_refuses_leaves_one_owner_or_none"),
    ],
    (20, "a leak over 1,000 rounds"): [
        (TAP, "test_a_thousand_hand_overs_leak_nothing_and_lose_nothing"),
        ("e2e/test_round_trips.py", "test_twenty_processes_one_after_the_other"),
        ("e2e/test_round_trips.py", "test_failed_attempts_leave_nothing"),
    ],
    (21, "numbers that are used again"): [
        (DESCRIPTORS, "test_a_number_that_is_used_again_is_left_alone"),
    ],
    (22, "CLOEXEC is lost"): [
        (DESCRIPTORS, "test_no_child_could_inherit_one"),
        (DESCRIPTORS, "test_a_child_does_not_keep_the_interface_alive"),
    ],
    (23, "O_NONBLOCK is flipped"): [
        (DESCRIPTORS, "test_nobody_changes_the_flags_of_an_open_file"),
        (DESCRIPTORS, "test_flags_are_as_they_were_when_it_comes_to_nothing"),
        (DESCRIPTORS, "test_a_flag_that_somebody_cleared_is_set_before_the_first_read"),
    ],
    (24, "a vhost-user socket in mid-message"): [
        (FAILURES, "test_a_connection_in_the_middle_of_a_message"),
        (DISK, "test_mid_message"),
    ],
    (25, "traffic in transit"): [
        (TAP, "test_another_process_takes_over_in_mid_ping_and_outlives_the_first"),
        (DISK, "test_to_another_process_under_load"),
        ("e2e/test_round_trips.py", "test_twenty_processes_one_after_the_other"),
    ],
    (26, "a stored copy hides the end"): [
        (FAILURES, "test_the_server_sees_the_end_of_the_destination"),
    ],
    (27, "a stale socket, a path too long"): [
        ("e2e/test_paths.py", "test_a_source_that_reaches_nobody_goes_on"),
        ("e2e/test_paths.py", "test_the_longest_path_and_a_stale_one_will_do"),
        ("e2e/test_paths.py", "test_a_destination_says_that_a_path_is_too_long"),
        ("e2e/test_paths.py", "test_a_destination_started_at_a_path_that_is_too_long_ends"),
    ],
    (28, "misuse of getfd"): [
        ("real/test_getfd_against_qemu.py", "test_a_name_that_begins_with_a_digit"),
        ("real/test_getfd_against_qemu.py", "test_a_name_is_given_again"),
        ("real/test_getfd_against_qemu.py", "test_what_has_no_name_is_not_closed"),
        ("real/test_getfd_against_qemu.py", "test_more_than_one_with_a_command"),
        (
            "real/test_getfd_against_qemu.py",
            "test_one_that_is_not_taken_waits_for_the_next_command",
        ),
        (
            "real/test_getfd_against_qemu.py",
            "test_a_client_that_leaves_takes_along_what_has_no_name",
        ),
    ],
}


THEIRS: dict[int, list[tuple[str, str]] | str] = {
    1: [POINTS, (KILLS, "test_the_source_is_killed"), (KILLS, "test_the_destination_is_killed")],
    2: [POINTS, (KILLS, "test_the_destination_is_killed")],
    3: [POINTS, (KILLS, "test_the_source_is_killed")],
    4: "nothing is committed; the last word on a return path is lost among the POINTS",
    5: [(EACH, "test_one_too_few")],
    6: [(EACH, "test_one_too_many")],
    7: [(EACH, "test_one_too_many"), TABLE],
    8: [(EACH, "test_the_tap_of_another_device")],
    9: [(EACH, "test_no_tap_at_all")],
    10: [(EACH, "test_the_tap_of_another_device")],
    11: [TABLE],
    12: [TABLE, ("e2e/test_mixed_dialects.py", "test_the_offer_is_not_understood"), CHANCE],
    13: [TABLE, (EACH, "test_a_relay_that_loses_descriptors")],
    14: [("e2e/test_in_flight.py", "test_they_wait_in_each_dialect")],
    15: [(EACH, "test_more_than_one_message_can_carry")],
    16: [(EACH, "test_a_relay_that_passes_all_on_byte_by_byte")],
    17: [(EACH, "test_a_destination_that_falls_silent")],
    18: [(EACH, "test_a_second_migration_and_a_second_peer")],
    19: "nothing is committed; a destination that refuses at its last point is among the POINTS",
    20: [POINTS, CHANCE],
    21: [(EACH, "test_numbers_that_are_used_again_are_left_alone")],
    22: [(EACH, "test_no_flag_of_an_open_file_changes")],
    23: [(EACH, "test_no_flag_of_an_open_file_changes")],
    24: "only TAPs travel",
    25: [(EACH, "test_nothing_in_transit_is_lost_or_doubled")],
    26: [(EACH, "test_the_source_keeps_the_interfaces_when_the_destination_ends")],
    27: [(EACH, "test_paths_that_lead_nowhere")],
    28: "getfd is the monitor's; descriptors come in the stream in each of them",
}
OTHERS = sorted(set(catalog.names("qemu_sim.migration.dialects", "")) - {"devices"})


def source_of(path):
    with open(os.path.join(TESTS, path)) as file:
        return file.read()


def names_in(path):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse(source_of(path)).body
    return {node.name for node in body if isinstance(node, kinds) and node.name[:5] == "test_"}


@pytest.mark.parametrize(("number", "what"), CATALOGUE)
def test_each_entry_has_its_tests(number, what):
    for path, name in CATALOGUE[number, what]:
        assert name in names_in(path), (number, what)


@pytest.mark.parametrize("number", [each for each in THEIRS if isinstance(THEIRS[each], list)])
def test_each_number_that_can_occur_has_its_tests_in_each_dialect(number):
    for path, name in THEIRS[number]:
        assert name in names_in(path)
        source = source_of(path)
        goes_through_all = (
            "SPEAKERS" in source or "migration.dialects" in source or (path, name) == TABLE
        )
        assert goes_through_all or all(f'"{dialect}"' in source for dialect in OTHERS), path


def test_no_number_is_missing():
    assert [number for number, _ in CATALOGUE] == [*THEIRS] == list(range(1, 29))
