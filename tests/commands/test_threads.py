"""CPUs and iothreads have threads of this process, each its own."""

import os


def test_each_cpu_has_a_thread(make_machine):
    machine = make_machine("-machine", "q35", "-smp", "3", "-object", "iothread,id=io0")
    before = threads()
    ids = [cpu["thread-id"] for cpu in machine.execute("query-cpus-fast")]
    assert len(threads() - before) == 3  # none until somebody asks
    ids += [each["thread-id"] for each in machine.execute("query-iothreads")]
    assert len(set(ids)) == 4
    assert os.getpid() not in ids
    assert set(ids) <= threads()
    assert [cpu["thread-id"] for cpu in machine.execute("query-cpus-fast")] == ids[:3]
    machine.close()
    assert not set(ids) & threads()


def test_threads_can_have_names(make_machine):
    machine = make_machine("-machine", "q35", "-name", "guest=x,debug-threads=on")
    ((cpu),) = machine.execute("query-cpus-fast")
    with open(f"/proc/self/task/{cpu['thread-id']}/comm") as comm:
        assert comm.read().strip() == "CPU 0/TCG"


def threads():
    return {int(name) for name in os.listdir("/proc/self/task")}
