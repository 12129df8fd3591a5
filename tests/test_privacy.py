"""Nothing leaves the machine, and nothing is written outside our own folders.

Commands and library run under strace in a fresh home folder and live for 20 seconds, as telemetry
may begin late. That they would be caught is shown with ONNX Runtime's own telemetry, which is
switched on for that in a network name space without a way out.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from training_runs import write_photos, write_start

LIVE_S = 20

# ONNX Runtime sends nothing where one of these says that a build service runs it: with them the
# tests below would pass whatever the program does.
BUILD_SERVICES = {
    "CI",
    "TF_BUILD",
    "GITHUB_ACTIONS",
    "CIRCLECI",
    "TRAVIS",
    "JENKINS_URL",
    "CODEBUILD_BUILD_ID",
    "TEAMCITY_VERSION",
    "APPVEYOR",
    "GITLAB_CI",
    "BUILDKITE",
    "BITBUCKET_BUILD_NUMBER",
    "DOTNET_RUNNING_IN_CONTAINER",
}

# A program that runs a command, or none, after another, then lives on.
PROGRAM = """
import sys, time
begun = time.monotonic()
{body}
time.sleep(max(0, {live_s} - (time.monotonic() - begun)))
"""
COMMANDS = """
from siamese_nima.cli import main
for arguments in {commands!r}:
    sys.argv = ["nima", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code not in (0, None):
            sys.exit(f"{{arguments}} ended with {{end.code}}")
"""
LIBRARY = """
import siamese_nima
from siamese_nima import Scorer, rank_photos
scorer = Scorer(cache=siamese_nima.cache_path())
ranked = rank_photos(scorer.score({folder!r}))
list(scorer.features({folder!r}))
ranked._repr_html_()
siamese_nima.explain_photo(scorer, ranked[0].path)
"""

# Tries to reach somebody, or to make a file.
_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_PORT = re.compile(r"htons\((\d+)\)")
_ADDRESS = re.compile(r'inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"')
_MADE = re.compile(r'"((?:[^"\\]|\\.)*)"')


def _strace() -> str:
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-f", "true"], capture_output=True).returncode:
        pytest.skip("strace is not installed, or may not trace")
    return found


def watched(program: str, tmp_path: Path, *, before: tuple[str, ...] = (), **environment: str):
    """What a program tried to reach, and what it left outside our own folders.

    Returns:
        Addresses and ports other than of this machine, and of name servers; files in the fresh home
        and elsewhere, but for its temporary folder.
    """
    home, temporary, log = tmp_path / "home", tmp_path / "temporary", tmp_path / "trace"
    for folder in (home, temporary):
        folder.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "ORT_", "SIAMESE_NIMA_", "HF_", "MPL", "TORCH"))
        and name not in BUILD_SERVICES
    }
    kept |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    calls = "trace=connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat"
    tracing = [_strace(), "-f", "-qq", "-s", "4096", "-e", calls, "-o", str(log)]
    done = subprocess.run(
        [*before, *tracing, sys.executable, "-c", program],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=temporary,
    )
    assert done.returncode == 0, done.stderr
    reached, made = set(), set()
    for line in log.read_text(errors="replace").splitlines():
        call = _CALL.match(line)
        if call is None:
            continue
        name, arguments = call.groups()
        port, address = _PORT.search(arguments), _ADDRESS.search(arguments)
        if port and address:
            here = address[1].startswith("127.") or address[1] == "::1"
            # A look-up may go to a name server on this machine; port 0 is how addresses are sorted.
            if port[1] == "53" or not (here or port[1] == "0"):
                reached.add((address[1], int(port[1])))
        elif (name.startswith("mkdir") or "O_CREAT" in arguments) and (path := _MADE.search(line)):
            made.add(path[1])
    ours = (f"{home}/.cache/siamese-nima", f"{home}/.local/share/siamese-nima", str(temporary))
    above = {str(home), f"{home}/.cache", f"{home}/.local", f"{home}/.local/share"}
    others = {
        path
        for path in made
        if path.startswith("/")
        and not path.startswith((*ours, "/dev/", "/proc/"))
        and path not in above
    }
    others |= {
        str(path) for path in home.rglob("*") if path.is_file() and not str(path).startswith(ours)
    }
    return reached, others


def commands(*every: list[str]) -> str:
    return PROGRAM.format(body=COMMANDS.format(commands=[*every]), live_s=LIVE_S)


@pytest.fixture
def few(photo_folder):
    """The folder of photos, with three of them."""
    for path in photo_folder.glob("photo[0-9]*.png"):
        if path.name not in ("photo1.png", "photo2.png", "photo3.png"):
            path.unlink()
    return str(photo_folder)


def test_commands_about_photos_reach_nobody(few, tmp_path):
    photo = str(Path(few) / "photo1.png")
    program = commands(
        ["score", few],
        ["score", few, "--out", "t.csv"],
        ["rank", few],
        ["bursts", few],
        ["stars", few, "--dry-run"],
        ["report", few, "--out", "page.html"],
        ["explain", photo, "--out", "why.png"],
        ["crop", photo],
        ["models"],
        ["models", "show", "quality"],
        ["cache"],
        ["cache", "clear"],
    )
    assert watched(program, tmp_path) == (set(), set())


def test_the_library_reaches_nobody(few, tmp_path):
    program = PROGRAM.format(body=LIBRARY.format(folder=few), live_s=LIVE_S)
    assert watched(program, tmp_path) == (set(), set())


def test_commands_that_train_and_judge_reach_nobody(tmp_path):
    pytest.importorskip("torch")
    table = write_photos(tmp_path / "photos")
    start = write_start(tmp_path / "start.safetensors")
    data = ["--data", str(table), "--scale", "1..5"]
    program = commands(
        ["data", "check", str(table), "--scale", "1..5"],
        ["evaluate", str(start), *data, "--repeats", "10"],
    )
    assert watched(program, tmp_path) == (set(), set())


def test_a_model_computed_by_openvino_reaches_nobody(few, tmp_path):
    pytest.importorskip("openvino")
    reached, others = watched(commands(["score", few, "--device", "openvino"]), tmp_path)
    assert (reached, others) == (set(), set())


def test_a_program_that_reaches_somebody_is_caught(tmp_path):
    """ONNX Runtime's telemetry, where the user has switched it on."""
    apart = ("unshare", "-rn")
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"]).returncode:
        pytest.skip("no network name space can be made here")
    program = PROGRAM.format(
        body="import siamese_nima\nprint(siamese_nima.Scorer(workers=1))", live_s=LIVE_S
    )
    reached, others = watched(program, tmp_path, before=apart, ORT_DISABLE_TELEMETRY="0")
    assert any(".onnxruntime" in path for path in others)
    assert any(port in (53, 443) for _, port in reached)


def test_a_look_up_and_a_file_are_caught(tmp_path):
    body = (
        "import socket, pathlib\n"
        "pathlib.Path.home().joinpath('.somebody').write_text('x')\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.connect(('127.0.0.53', 53))"
    )
    reached, others = watched(PROGRAM.format(body=body, live_s=0), tmp_path)
    assert reached == {("127.0.0.53", 53)}
    assert others == {str(tmp_path / "home" / ".somebody")}
