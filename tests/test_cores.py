"""A process takes no more cores and memory than it was given."""

import os

import pytest

from siamese_nima.cores import (
    EIGHT_BITS_VARIABLE,
    fast_in_bytes,
    usable_cores,
    usable_memory,
)
from siamese_nima.errors import ConfigError


@pytest.fixture
def machine(tmp_path):
    """A machine with 4 GiB free, whose groups allow anything until a test says otherwise."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(
        "MemTotal:       8388608 kB\nMemAvailable:   4194304 kB\n"
    )
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    write.root = tmp_path
    return write


@pytest.fixture
def cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone binds processes")
def test_cores_that_a_process_may_not_use_do_not_count():
    allowed, before = os.sched_getaffinity(0), usable_cores()
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert usable_cores() == before


@pytest.mark.parametrize(
    ("quota", "expected"), [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1)]
)
def test_a_quota_of_cgroup_2_counts(machine, cores, quota, expected):
    root = machine(**{"sys/fs/cgroup/cpu.max": f"{quota}\n"})
    assert usable_cores(root) == expected


def test_no_quota_leaves_the_cores(machine, cores):
    assert usable_cores(machine(**{"sys/fs/cgroup/cpu.max": "max 100000\n"})) == 64
    assert usable_cores(machine.root / "nothing") == 64


def test_the_quota_of_a_group_around_the_own_one_counts(machine, cores):
    root = machine(
        **{
            "proc/self/cgroup": "0::/pod/box\n",
            "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
            "sys/fs/cgroup/pod/cpu.max": "300000 100000\n",
        }
    )
    assert usable_cores(root) == 3


@pytest.mark.parametrize("folder", ["cpu", "cpu/docker/1a2b", "cpu,cpuacct/docker/1a2b"])
def test_a_quota_of_cgroup_1_counts(machine, cores, folder):
    controllers = "cpu,cpuacct" if "," in folder else "cpu"
    root = machine(
        **{
            "proc/self/cgroup": f"4:memory:/\n3:{controllers}:/docker/1a2b\n",
            f"sys/fs/cgroup/{folder}/cpu.cfs_quota_us": "400000\n",
            f"sys/fs/cgroup/{folder}/cpu.cfs_period_us": "100000\n",
        }
    )
    assert usable_cores(root) == 4


def test_a_quota_of_minus_one_is_none(machine, cores):
    quota, period = (f"sys/fs/cgroup/cpu/cpu.cfs_{name}_us" for name in ("quota", "period"))
    assert usable_cores(machine(**{quota: "-1\n", period: "100000\n"})) == 64


def test_memory_is_what_is_free_within_the_limit(machine):
    assert usable_memory(machine()) == 4 << 30
    assert usable_memory(machine(**{"sys/fs/cgroup/memory.max": "max\n"})) == 4 << 30
    assert usable_memory(machine(**{"sys/fs/cgroup/memory.max": f"{512 << 20}\n"})) == 512 << 20


def test_the_limit_of_cgroup_1_counts(machine):
    limit = "sys/fs/cgroup/memory/docker/1a/memory.limit_in_bytes"
    root = machine(**{"proc/self/cgroup": "2:memory:/docker/1a\n", limit: f"{1 << 30}\n"})
    assert usable_memory(root) == 1 << 30
    # What cgroup 1 calls no limit.
    root = machine(**{limit: "9223372036854771712\n"})
    assert usable_memory(root) == 4 << 30


def test_memory_that_nobody_tells_is_unknown(tmp_path):
    assert usable_memory(tmp_path) is None


@pytest.mark.parametrize(
    ("cpuinfo", "fast"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx_vnni\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\n", False),
        ("", False),
    ],
)
def test_bytes_are_fast_where_that_was_measured(machine, monkeypatch, cpuinfo, fast):
    monkeypatch.delenv(EIGHT_BITS_VARIABLE, raising=False)
    assert fast_in_bytes(machine(**{"proc/cpuinfo": cpuinfo})) is fast


def test_of_an_unknown_processor_nothing_is_assumed(machine, monkeypatch):
    monkeypatch.delenv(EIGHT_BITS_VARIABLE, raising=False)
    assert not fast_in_bytes(machine.root)


def test_the_variable_decides_before_the_processor(machine, monkeypatch):
    root = machine(**{"proc/cpuinfo": "flags\t: avx512_vnni\n"})
    monkeypatch.setenv(EIGHT_BITS_VARIABLE, "0")
    assert not fast_in_bytes(root)
    monkeypatch.setenv(EIGHT_BITS_VARIABLE, "1")
    assert fast_in_bytes(machine.root / "nowhere")
    monkeypatch.setenv(EIGHT_BITS_VARIABLE, "yes")
    with pytest.raises(ConfigError, match=f"{EIGHT_BITS_VARIABLE} must be 1, 0 or unset"):
        fast_in_bytes(root)
