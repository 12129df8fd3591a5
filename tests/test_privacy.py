"""Nothing leaves the machine, and nothing is written outside our own folders.

Commands and library run under strace in a fresh home folder and live for 20 seconds, as telemetry
may begin late. That they would be caught is shown with ONNX Runtime's own telemetry, which is
switched on for that in a network name space without a way out. All live at the same time, as they
mostly wait.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

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
        if end.code not in {codes!r}:
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
# A command that answers over HTTP: it is asked, lives on, and is told to end.
ANSWERING = """
import pathlib, re, signal, subprocess, urllib.request
server = subprocess.Popen(
    [sys.executable, "-m", "siamese_nima", *{arguments!r}],
    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
)
said = ""
for line in server.stdout:
    said += line
    if found := re.search(r"http://127[^ ]+/", line):
        break
else:
    sys.exit(said)
for path, body in {requests!r}:
    data = pathlib.Path(body).read_bytes() if body else None
    kind = {{"Content-Type": "image/png"}}
    request = urllib.request.Request(found[0] + path, data, kind)
    urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(request).read()
time.sleep({live_s})
server.send_signal({signal})
server.communicate()
assert server.returncode == 0, server.returncode
"""

# Tries to reach somebody, to be reached, or to make a file.
_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_PORT = re.compile(r"htons\((\d+)\)")
_ADDRESS = re.compile(r'inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"')
_MADE = re.compile(r'"((?:[^"\\]|\\.)*)"')


def _strace() -> str:
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-f", "true"], capture_output=True).returncode:
        pytest.skip("strace is not installed, or may not trace")
    return found


def watched(program: str, folder: Path, *, before: tuple[str, ...] = (), **environment: str):
    """What a program tried to reach, and what it left outside our own folders.

    Returns:
        Addresses and ports other than of this machine, of name servers, and those at which it
        listened for other machines; files in the fresh home and elsewhere, but for its temporary
        folder.
    """
    home, log = folder / "home", folder / "trace"
    home.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "ORT_", "SIAMESE_NIMA_", "HF_", "MPL", "TORCH", "RAY_"))
        and name not in BUILD_SERVICES
    }
    calls = "trace=connect,bind,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat"
    tracing = [_strace(), "-f", "-qq", "--seccomp-bpf", "-s", "4096", "-e", calls, "-o", str(log)]
    # With a short name, as sockets of Ray lie in it.
    with tempfile.TemporaryDirectory(prefix="n-") as temporary:
        kept |= {"HOME": str(home), "TMPDIR": temporary, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [*before, *tracing, sys.executable, "-c", program],
            env=kept | environment,
            capture_output=True,
            text=True,
            timeout=900,
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
            # A look-up may go to a name server on this machine; port 0 is how addresses are sorted,
            # and how any free port is asked for.
            here = _is_loopback(address[1]) or (name != "bind" and _is_ours(address[1]))
            unnamed = port[1] == "0" and name != "bind"
            if port[1] == "53" or not (here or unnamed):
                reached.add((address[1], int(port[1])))
        elif (name.startswith("mkdir") or "O_CREAT" in arguments) and (path := _MADE.search(line)):
            made.add(path[1])
    ours = (f"{home}/.cache/siamese-nima", f"{home}/.local/share/siamese-nima", temporary)
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


def _is_loopback(address: str) -> bool:
    return address.removeprefix("::ffff:").startswith("127.") or address == "::1"


def _is_ours(address: str) -> bool:
    """Whether it is an address of this machine: nothing else can be bound to."""
    plain = address.removeprefix("::ffff:")
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((plain, 0))
        except OSError:
            return False
    return True


def commands(*every: list[str], codes: tuple[int | None, ...] = (0, None), more: str = "") -> str:
    body = COMMANDS.format(commands=[*every], codes=codes) + more
    return PROGRAM.format(body=body, live_s=LIVE_S)


def answering(*arguments: str, requests: list[tuple[str, str]], by: str = "SIGTERM") -> str:
    values = {"arguments": [*arguments, "--port", "0"], "requests": requests}
    body = ANSWERING.format(**values, signal=f"signal.{by}", live_s=LIVE_S)
    return PROGRAM.format(body=body, live_s=0)


def few(folder: Path) -> Path:
    """A folder with three photos."""
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (60 + number, 40), (60 * number + 50,) * 3).save(folder / f"{number}.png")
    return folder


def scoring(folder: Path) -> str:
    photos = few(folder / "photos")
    shoot, photo = str(photos), str(photos / "1.png")
    return commands(
        ["score", shoot],
        ["score", shoot, "--out", "t.csv"],
        ["rank", shoot],
        *([["features", shoot, "--out", "f.parquet"]] if find_spec("pyarrow") else []),
        ["bursts", shoot],
        ["rank", shoot, "--detail", "--copy-to", "best"],
        ["stars", shoot, "--dry-run"],
        ["stars", "best", "--log", "stars.jsonl"],
        ["stars", "--undo", "stars.jsonl"],
        ["report", shoot, "--out", "page.html"],
        ["explain", photo, "--out", "why.png"],
        ["crop", photo],
        ["models"],
        ["models", "show", "quality"],
        ["cache"],
        ["cache", "clear"],
        more=LIBRARY.format(folder=shoot),
    )


def train(folder: Path) -> str:
    from training_runs import STAGE, write_photos, write_start

    table = str(write_photos(folder / "photos"))
    start = str(write_start(folder / "start.safetensors"))
    data = ["--data", table, "--scale", "1..5"]
    config = folder / "run.toml"
    config.write_text(f'start = "{start}"\nout = "{folder / "run"}"\ndevice = "cpu"\n')
    with config.open("a") as file:
        file.write(f'[data]\nsource = "{table}"\nscale = "1..5"\nvariants = 2\n[[stage]]\n')
        file.writelines(f"{name} = {json.dumps(value)}\n" for name, value in STAGE.items())
    return commands(
        ["data", "check", table, "--scale", "1..5"],
        ["data", "split", table, "--scale", "1..5", "--out", "split.csv"],
        ["evaluate", start, *data, "--repeats", "10"],
        ["train", str(config)],
        codes=(0, 1, None),  # 1: so short a training need not gain anything
    )


def models(folder: Path) -> str:
    from training_runs import write_start

    photos = few(folder / "photos")
    for number in range(3, 8):
        Image.new("RGB", (60, 40), (20 * number,) * 3).save(photos / f"{number}.png")
    start = str(write_start(folder / "start.safetensors"))
    return commands(
        ["models", "export", start, "--out", "tiny.onnx"],
        ["models", "export", start, "--format", "keras-h5", "--out", "tiny.h5"],
        ["models", "import", "tiny.h5", "--name", "tiny"],
        ["models", "quantise", "tiny", str(photos), "--out", "tiny8.onnx"],
        ["score", str(photos), "--model", start],
        ["explain", str(photos / "1.png"), "--model", "tiny"],
        ["models", "remove", "tiny"],
    )


def learn(folder: Path) -> str:
    photos = few(folder / "photos")
    answers = folder / "answers.csv"
    rows = [f"{left}.png,{left + 1}.png,right,Ana" for left in (0, 1)]
    answers.write_text("left,right,choice,person\n" + "\n".join(rows) + "\n")
    return commands(
        ["pick", "answers", "import", str(photos), str(answers)],
        ["pick", "answers", "show", str(photos)],
        ["learn", str(photos)],
        codes=(0, 1, None),  # 1: so few answers teach nothing
    )


def serve(folder: Path) -> str:
    photos = few(folder / "photos")
    asked = [("v1/score", str(photos / "1.png")), ("", ""), ("health/ready", "")]
    return answering("serve", "--folder", str(photos), requests=asked)


def pick(folder: Path) -> str:
    photos = str(few(folder / "photos"))
    return answering("pick", photos, "--no-browser", requests=[("state", "")], by="SIGINT")


def cull(folder: Path) -> str:
    photos = str(few(folder / "photos"))
    asked = [("", ""), ("choices", ""), ("choices.js", "")]
    return answering("cull", photos, "--no-browser", requests=asked, by="SIGINT")


def mcp(folder: Path) -> str:
    return commands(["mcp", str(few(folder / "photos"))])  # its standard input is at its end


def ray(folder: Path) -> str:
    photos, out = str(few(folder / "photos")), str(folder / "out")
    return commands(["score", "--engine", "ray", photos, "--out", out])


def openvino(folder: Path) -> str:
    return commands(["score", str(few(folder / "photos")), "--device", "openvino"])


# What each needs.
PROGRAMS = {
    scoring: (),
    train: ("torch", "lightning"),
    models: ("torch", "h5py"),
    learn: ("onnx",),
    serve: ("fastapi", "uvicorn"),
    pick: ("fastapi", "uvicorn"),
    cull: ("fastapi", "uvicorn"),
    mcp: ("mcp",),
    ray: ("ray", "pyarrow"),
    openvino: ("openvino",),
}


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    """What each program was seen to do; all are run at once."""
    _strace()
    with ThreadPoolExecutor(len(PROGRAMS)) as pool:
        begun = {}
        for program, needed in PROGRAMS.items():
            if all(find_spec(name) for name in needed):
                folder = tmp_path_factory.mktemp(program.__name__)
                begun[program] = (folder, pool.submit(watched, program(folder), folder))
        yield begun


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_programs_reach_nobody(lives, program):
    if program not in lives:
        pytest.skip(f"needs {' and '.join(PROGRAMS[program])}")
    folder, watching = lives[program]
    reached, others = watching.result()
    assert (reached, {path for path in others if not path.startswith(str(folder))}) == (
        set(),
        set(),
    )
    assert not [path for path in others if path.startswith(str(folder / "home"))]
    assert program is not scoring or not others, "nothing beside the photos"


@pytest.mark.slow
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


def test_a_look_up_a_file_and_an_open_port_are_caught(tmp_path):
    body = (
        "import socket, pathlib\n"
        "pathlib.Path.home().joinpath('.somebody').write_text('x')\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.connect(('127.0.0.53', 53))\n"
        "socket.socket().bind(('0.0.0.0', 0))"
    )
    reached, others = watched(PROGRAM.format(body=body, live_s=0), tmp_path)
    assert reached == {("127.0.0.53", 53), ("0.0.0.0", 0)}
    assert others == {str(tmp_path / "home" / ".somebody")}
