"""The demo ends well for root and non-root alike, tells the truth, and leaves nothing."""

import glob
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEMO = os.path.join(ROOT, "examples", "demo")
NOBODY = 65534
LIMIT = 40  # seconds, for all of it


def interpreter_for(user):
    """A Python that `user` can run, with what this one has installed."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    check = f"import sys, pydantic, qemu_sim; assert '%d.%d' % sys.version_info[:2] == '{here}'"
    for program in (sys.executable, shutil.which("python3", path=os.defpath)):
        if program is not None and succeeds([program, "-c", check], user):
            return program
    pytest.skip(f"user {user} can run no Python {here} with the packages")


def succeeds(command, user):
    try:
        done = subprocess.run(
            command,
            **as_user(user),
            capture_output=True,
            env=environment(),
            cwd=ROOT,
            check=False,
        )
    except PermissionError:  # the interpreter may lie in somebody's home
        return False
    return done.returncode == 0


def as_user(user):
    """Return subprocess's arguments for running as `user`."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def environment(**more):
    paths = [ROOT, *site.getsitepackages()]
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    # Ctrl-C may strike between a coroutine's making and its start.
    own["PYTHONWARNINGS"] = "ignore::RuntimeWarning"
    return {**os.environ, **own, **more}


@pytest.fixture(params=["as we are", "without privileges"])
def user(request):
    """A user ID for subprocess, None for our own."""
    if request.param == "as we are":
        return None
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else, and we are without privileges already")
    return NOBODY


@pytest.fixture
def place():
    """An empty directory that anybody may use for temporary files."""
    with tempfile.TemporaryDirectory(prefix="demo-") as directory:
        os.chmod(directory, 0o777)
        yield directory


@pytest.fixture
def start(user, place):
    """Start the demo in a session of its own; `only_python` hides all other programs."""
    started = []

    def run(*, only_python=False):
        program = interpreter_for(user)
        path = os.path.join(place, "nothing") if only_python else os.environ["PATH"]
        process = subprocess.Popen(
            [program, DEMO],
            **as_user(user),
            env=environment(TMPDIR=place, PATH=path),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def rows(output):
    """The table as {heading: [cell, ...]}; the devices are under the empty heading."""
    lines = output[output.index("\n\n") + 2 :].split("\n\n")[0].splitlines()
    devices, _, *rest = lines
    found = {"": re.split(r"\s{2,}", devices.strip())}
    for line in rest:
        heading, *cells = re.split(r"\s{2,}", line.strip())
        found[heading] = cells
    return found


def reason_against_a_tap(user):
    """Why `user` can make no TAP, None when it can."""
    program = [interpreter_for(user), "-c", "from qemu_sim.testing import netns"]
    program[-1] += "; print(netns.why_not() or '')"
    done = subprocess.run(
        program,
        **as_user(user),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip() or None


def number(cell):
    return int(re.match(r"[\d,]+", cell).group().replace(",", ""))


def processes_in(session):
    """Commands of the processes of a session that still run."""
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat) as file:
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(stat)
    return found


def check_nothing_left(process, place):
    assert processes_in(process.pid) == []
    assert os.listdir(place) == []


@pytest.mark.parametrize("only_python", [False, True])
def test_the_table_shows_a_hand_over_without_loss(start, user, place, only_python):
    process = start(only_python=only_python)
    output, _ = process.communicate(timeout=LIMIT)

    assert process.returncode == 0, output
    table = rows(output)
    has_tap = reason_against_a_tap(user) is None
    devices = [*(["nic0"] if has_tap else []), "disk0", "guest RAM"]
    assert table[""] == devices
    assert ("allows no TAP" in output) != has_tap
    handed = [number(cell) for cell in table["descriptors handed over"]]
    if has_tap:
        assert handed[0] == 4
    for cell, count in zip(table["same open file (kcmp)"], handed, strict=True):
        assert cell in (f"{count} of {count}", "kcmp is refused here")
    users = len(devices) - 1
    assert all(number(cell) > 0 for cell in table["blackout"][:users])
    assert all(number(cell) > 100 for cell in table["sent and answered"][:users])
    assert table["lost or wrong"][:users] == ["0"] * users
    assert table["goes on after SIGKILL of the source"][:users] == ["yes"] * users
    ours = only_python or shutil.which("qemu-storage-daemon") is None
    messages = table["messages to the server during the move"][users - 1]
    assert messages == ("0" if ours else "not counted")
    check_nothing_left(process, place)


@pytest.mark.parametrize("line", ["The source is told", "compares every byte"])
def test_ctrl_c_leaves_nothing(start, place, line):
    process = start()
    for text in process.stdout:
        if line in text:
            break
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does
    output, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert output.endswith("\nInterrupted. Nothing is left behind.\n")
    assert "Traceback" not in output
    check_nothing_left(process, place)
