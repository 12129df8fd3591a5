"""Write the page about speed from the recorded results.

python benchmarks/speed/write_page.py > docs/speed.md
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from machine import commit_of

HERE = Path(__file__).parent
INT8 = HERE.parent / "quality" / "int8.json"
INT8_SEARCH = INT8.with_name("int8_search.json")
NETWORKS = {"inception_resnet_v2": "InceptionResNetV2", "mobilenet": "MobileNet v1"}

INTRODUCTION = """\
# Speed

<!-- Made by benchmarks/speed/write_page.py from the JSON files beside it. -->

Photos per second from disk: reading, decoding, views and network, on all cores. Every table names
the command that measured it; the scripts say how."""

PEERS = """\
## Beside others

Networks have equal random weights in all contenders, each is loaded and warm before it is timed,
and they take turns on the same photos. Ours are `Scorer` with its defaults; `int8` is a model made
by `nima models quantise`, `--exact` decodes in full. The origin is ryanfwy/image-quality by its own
code, one photo at a time; "idealo's way" is full decoding, `load_img` to 224 x 224, batches of 64;
pyiqa's `nima` is shown the centre 299 x 299, and so are ours beside it. The last column says how
many rating points the score of a photo is from ours in fp32 under the contender's own view: they
compute the same (decoders of other versions differ a little). Random weights exaggerate what 8 bits
cost; what they cost the trained model is further down. Photos are those of a phone, which the
others read neither upright nor in sRGB.

Large photos gain most, since decoding at a reduced scale is much of what we save; the float
network itself runs about as fast as the cores multiply (below), so with a large network only 8 bits
leave much to gain."""

NATIVE = """\
The origin's default is to show the network every photo at its own size. Beside ours at 224 that is
another job, the one its users get if they choose nothing; "ours, fp32, native" is the same job."""

EIGHT_BITS = """\
`quality` is embedded in both forms. The name means the one in 8 bits on processors where it was
measured to be faster, those with VNNI (`avx512_vnni` or `avx_vnni` in /proc/cpuinfo), and the one
in float on all others, on other devices than `cpu`, with `--exact`, with a view policy of one's
own, for `nima explain`, `crop` and `features` and for all that is learnt. The environment variable
`SIAMESE_NIMA_8BIT`, 1 or 0, decides before the processor does. `nima models show quality` says what
this machine does, tables and the cache name the form that scored, and weights of 7 bits keep sums
of products within what processors without VNNI can add: two example photos
score the same on an emulated processor that has AVX2 alone:

    SIAMESE_NIMA_8BIT=1 qemu-x86_64 -cpu Haswell python -m siamese_nima score --no-cache \\
        examples/photos/chelsea.jpg examples/photos/astronaut.jpg"""

BOUND = """\
The bound is what the seconds of views alone and of the network alone, each on all cores, would
allow if neither ever waited for the other."""

MEMORY = """\
## Memory

Peak resident memory of `nima score`, the released model with its own views, over real photos
(BIQ2021, {photos} of {width} x {height} pixels), and its processor time, in one run:"""

MEMORY_SETTINGS = """\
So a worker takes one photo at a time on a processor: more together are hardly faster and take more.
Workers are threads around one network, whose weights they share. By default there are as many as
cores that the process may use (its affinity, and the quota of its container), fewer where less
than 100 MB of free memory are there for each beyond the first 200.

{native}

Peak resident memory over folders of many small photos with small views ({view}), in MB, since it is
their number that matters here:"""

MEMORY_GROWS = """\
What grows with the number of photos is the list of their names, 100 bytes and more for each; a
ranking holds its results too."""

REAL = """\
## Real photos, by kind of file

Processor time of a photo on one core, in milliseconds: the decoder alone, at the scale that scoring
reads (libjpeg-turbo, libheif or zlib through Pillow); reading and views, which is all before the
network; the network, `{model}`; and what a photo adds to `nima score`. {different} photos
of a phone, rotated by EXIF and with a Display P3 profile; files of other kinds are made of three of
them, and the HEIC of phones are as they came from seven."""

REAL_FOLDER = """\
A folder of {photos} photos of a phone, by `nima score` on {cores} cores: {fp32} photos a second,
{share:.2f} of what the two parts allow; {int8} with the network in 8 bits."""

REAL_STEPS = """\
Where the milliseconds of such a photo go. Views are cut from the pixels as they are stored, and
only the views get their colours and are turned, so that the last line is spared. Opening is
reading, looking for damage, EXIF and the decoder:"""

REAL_LIMIT = """\
Half is the decoder, and most of that are Huffman codes, which take as long at an eighth of the
scale. Next is the resizing of the whole photo to a view. Averages of blocks before the
bicubic filter, as `reducing_gap` has them, would make it cheaper, but move scores (rating points;
ms are of both views; {photos} photos of many cameras, {turned}):

{blocks}

So the filter sees every pixel. The first line is what is done: its movement is that of cutting
views before colours are converted.

{measured}"""

REAL_GUARD = """\
Developers compare the two ratios with recorded ones, in two minutes on an idle machine:

    python benchmarks/speed/real_photos.py FOLDER --photos 12 \\
        --against benchmarks/speed/real_photos.json"""

START_UP = """\
## From cold

Processor time, user and system, of whole processes; byte code is compiled before, as an
installation does. A command imports what it needs and nothing of the other commands, options that
are text are not read with pydantic, and what was loaded is not searched for garbage. A photo that
the cache knows is not opened; its time is what each of {known:,} such photos adds to `nima score`
with a table as its output."""

DEVICES = """\
## Devices

| `--device` | computes with | needs |
|---|---|---|
| `cpu` | ONNX Runtime | nothing more |
| `openvino` | OpenVINO, in float32 on the processor | extra `openvino` |
| `cuda` | ONNX Runtime on an NVIDIA card | extra `gpu`, CUDA and cuDNN |
| `coreml` | ONNX Runtime on an Apple machine | ONNX Runtime of macOS, which has it |

A device that cannot be used is an error that says what is missing; nothing falls back to the
processor. `cuda` and `coreml` have not been tried: there was no such machine.

`onnxruntime-gpu` puts its files where `onnxruntime` has them, so only one of them may be installed:

    pip install '.[gpu]'
    pip uninstall --yes onnxruntime onnxruntime-gpu
    pip install onnxruntime-gpu"""


def main() -> None:
    """Print the page."""
    peers, parts = _read(HERE / "peers.json"), _read(HERE / "parts.json")
    memory, large = _read(HERE / "memory.json"), _read(HERE / "large_photo.json")
    big = _read(HERE / "big_photo.json")
    int8 = _read(INT8)
    sections = [INTRODUCTION, PEERS, _measured(peers)]
    for photos in peers["sets"]:
        sections += [_contenders(photos), _ratios(photos)]
    sections.append(NATIVE)
    if peers["left_out"]:
        sections.append(f"Not installed, so left out: {', '.join(peers['left_out'])}.")
    sections += ["## What it consists of", _measured(parts), _decoding(parts), _networks(parts)]
    sections += [_pipelines(parts), BOUND, "## In 8 bits", EIGHT_BITS, _measured(int8), _int8(int8)]
    sections.append(_search(_read(INT8_SEARCH)))
    workers = _read(HERE / "memory_of_workers.json")
    width, height = workers["size_px"]
    sections += [MEMORY.format(photos=workers["photos"], width=width, height=height)]
    sections += [_workers(workers), _measured(workers), _settings(workers, memory)]
    sections += [_memory(memory), _measured(memory), MEMORY_GROWS, _large(large)]
    sections += [_formats(big), _measured(big)]
    real, cold = _read(HERE / "real_photos.json"), _read(HERE / "start_up.json")
    different = min(real["photos"], real["different_of_the_phone"])
    sections += [
        REAL.format(different=different, model=real["model"]),
        _real(real),
        _measured(real),
    ]
    eight, folder = _read(HERE / "real_photos_int8.json"), real["folder"]
    sections += [
        REAL_FOLDER.format(
            photos=folder["photos"],
            cores=folder["cores"],
            fp32=folder["photos_per_second"],
            share=folder["share_of_the_bound"],
            int8=eight["folder"]["photos_per_second"],
        )
    ]
    steps = _read(HERE / "where_it_goes.json")
    sections += [_measured(eight), REAL_STEPS, _steps(steps), _measured(steps)]
    sections += [_views_first(_read(HERE / "views_first.json")), REAL_GUARD]
    sections += [START_UP.format(known=cold["known_photos"]), _start_up(cold), _measured(cold)]
    sections.append(DEVICES)
    print("\n\n".join(sections))


def _read(path: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def _measured(result: dict[str, Any]) -> str:
    machine = result["machine"]
    of = f", {commit_of(result)}" if result["commit"].endswith("-dirty") else ""
    return (
        f"{result['date']}, {machine['cores']} cores of an {machine['cpu']}, "
        f"Python {result['python']}{of}:\n\n    {result['command']}"
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _range(figures: dict[str, float], digits: int) -> str:
    low, middle, high = (f"{figures[name]:.{digits}f}" for name in ("min", "median", "max"))
    return f"{middle} [{low}, {high}]"


def _contenders(photos: dict[str, Any]) -> str:
    rows = []
    for contender in photos["contenders"]:
        rates = sorted(contender["photos_per_second"])
        middle = (rates[(len(rates) - 1) // 2] + rates[len(rates) // 2]) / 2
        shown = f"{middle:.3g} [{rates[0]:.3g}, {rates[-1]:.3g}]" if rates[1:] else f"{middle:.3g}"
        rows.append(
            [
                contender["group"],
                contender["name"],
                shown,
                str(contender["photos"]),
                f"{contender['first_score_off_by']:.3f}",
            ]
        )
    return (
        f"JPEG files of {photos['megapixels']} megapixels, "
        f"{photos['mean_file_mb']} MB each; "
        "median of the rounds, in brackets the slowest and the fastest:\n\n"
        + _table(["network and view", "contender", "photos/s", "photos", "score off by"], rows)
    )


def _ratios(photos: dict[str, Any]) -> str:
    rows = [
        [
            ratio["group"],
            ratio["ours"],
            ratio["peer"],
            _range(ratio, 1 if ratio["median"] < 100 else 0),
        ]
        for ratio in photos["ratios"]
    ]
    return "How many times as fast, round by round:\n\n" + _table(
        ["network and view", "ours", "beside", "times"], rows
    )


def _decoding(parts: dict[str, Any]) -> str:
    decoding = parts["decoding"]
    shares = decoding["share_of_libjpeg_turbo"]
    rows = [
        [way, _range(figures, 1), _range(shares[way], 2) if way in shares else ""]
        for way, figures in decoding["milliseconds"].items()
    ]
    return (
        f"Decoding {decoding['photos']} photos of 12 megapixels on one core, reduced as for views "
        f"of 224 (short side at least {decoding['short_side_kept_px']}):\n\n"
        + _table(["decoding", "ms per photo", "rate, as a share of libjpeg-turbo's"], rows)
    )


def _networks(parts: dict[str, Any]) -> str:
    rows = [
        [
            NETWORKS[name],
            f"{figures['gflop']:.2f}",
            *(_range(milliseconds, 1) for milliseconds in figures["milliseconds"].values()),
            _range(figures["share_of_matrix_product_rate"], 2),
            _range(figures["int8_over_fp32"], 2),
        ]
        for name, figures in parts["networks"].items()
    ]
    kinds = list(next(iter(parts["networks"].values()))["milliseconds"])
    rate = _range(parts["matrix_product_gflop_per_second"], 0)
    return (
        "Networks on one core, one view of 224 x 224, beside float32 matrix products, which do "
        f"{rate} GFLOP/s:\n\n"
        + _table(
            [
                "network",
                "GFLOP",
                *(f"ms, {kind}" for kind in kinds),
                "fp32 rate as a share of matrix products'",
                "int8 times as fast",
            ],
            rows,
        )
    )


def _pipelines(parts: dict[str, Any]) -> str:
    rows = [
        [
            f"`{run['model']}`",
            *(_range(run["photos_per_second"][part], 1) for part in ("whole", "views", "network")),
            _range(run["share_of_bound"], 2),
        ]
        for run in parts["pipelines"]
    ]
    view = parts["pipelines"][0]["view"]
    return (
        f"The whole of `Scorer` over {parts['photos']} photos of 12 megapixels, views `{view}`, "
        "photos per second:\n\n"
        + _table(["model", "whole", "views alone", "network alone", "share of the bound"], rows)
    )


def _int8(int8: dict[str, Any]) -> str:
    names = {name: name.replace("_", " ") for name in int8["srcc"]["fp32"]}
    rows = [
        [
            kind,
            f"{int8['file_mb'][kind]} MB",
            *(f"{int8['srcc'][kind][name]:.4f}" for name in names),
        ]
        for kind, figures in int8["srcc"].items()
    ]
    moved = int8["difference"]
    return (
        f"`{int8['model']}` and what `nima models quantise` makes of it with "
        f"{int8['quantised_with']} photos of the train split of BIQ2021; SRCC with people on "
        f"{int8['photos']:,} photos of its test split, and the share of pairs of one scene in the "
        "order that people give:\n\n"
        + _table(["", "file", *names.values()], rows)
        + f"\n\nScores move by {moved['mean_absolute']:.3f} rating points on average, 99 of 100 by "
        f"less than {moved['99 of 100 below']:.2f}, none by more than {moved['largest']:.2f}; the "
        f"rank correlation of both is {int8['rank_correlation_of_both']:.4f}. Every 8-bit model "
        "carries such figures of its own in its card, and a self-test of its own."
    )


def _search(search: dict[str, Any]) -> str:
    rows = [
        [
            name,
            *(f"{way['difference'][moved]:.3f}" for moved in ("mean_absolute", "largest")),
            *(f"{way['srcc'][name]:.4f}" for name in ("all", "same_scene_pairs")),
        ]
        for name, way in search["ways"].items()
    ]
    head = ["way", "moved, mean", "moved, most", "SRCC", "same scene pairs"]
    return (
        f"The way was chosen by {search['photos']} photos of the val split. All ways but the first "
        "leave in float what is done before the second depthwise convolution, and with averages "
        "over the picture; ranges reach from the least to the most that was seen, unless the way "
        f"says otherwise:\n\n{_table(head, rows)}\n\n{_measured(search)}"
    )


def _real(real: dict[str, Any]) -> str:
    parts = ("decoder", "views", "network", "command")
    rows = [
        [
            kind,
            f"{found['mean_file_mb']:.1f}",
            *(f"{found['ms'][part]:.0f}" for part in parts),
            f"{found['views_by_decoder']:.2f}",
            f"{found['command_by_parts']:.2f}",
        ]
        for kind, found in real["kinds"].items()
    ]
    head = ["kind", "MB", "decoder alone", "reading and views", "network", "command"]
    return _table([*head, "views to decoder", "command to its parts"], rows)


def _steps(real: dict[str, Any]) -> str:
    names = {"the network": f"the network, `{real['model']}`"}
    rows = [[names.get(step, step), f"{ms:.1f}"] for step, ms in real["steps_ms"].items()]
    return _table(["step", "ms"], rows)


def _views_first(found: dict[str, Any]) -> str:
    every = found["all"]
    tried = {"views as they are cut": (every["moved"], every["median ms"]["views first"])}
    for gap, figures in every["blocks first, by reducing_gap"].items():
        tried[f"blocks first, gap {gap}"] = (figures["moved"], figures["median ms"])
    rows = [
        [name, f"{moved['mean']:.4f}", f"{moved['most']:.3f}", f"{ms:.1f}"]
        for name, (moved, ms) in tried.items()
    ]
    turned = sum(k["photos"] for kind, k in found["kinds"].items() if "turned" in kind)
    other = sum(k["photos"] for kind, k in found["kinds"].items() if "colours" in kind)
    return REAL_LIMIT.format(
        photos=every["photos"],
        turned=f"{turned} of them turned, {other} of other colours than sRGB",
        blocks=_table(["", "mean movement", "largest", "ms"], rows),
        measured=_measured(found),
    )


def _start_up(cold: dict[str, Any]) -> str:
    rows = [
        [f"`{name}`", f"{1000 * figures['median']:.0f} ms", _least_most(figures, 1000)]
        for name, figures in cold["processor_s"].items()
    ]
    known = cold["known_photo_us"]
    rows.append(["a photo that the cache knows", f"{known['median']:.0f} µs", _least_most(known)])
    return _table(["", "median", f"least to most of {cold['runs']}"], rows)


def _least_most(figures: dict[str, float], times: float = 1) -> str:
    return f"{times * figures['low']:.0f} to {times * figures['high']:.0f}"


def _workers(workers: dict[str, Any]) -> str:
    rows = [
        [name, f"{row['peak_mb']:.0f}", f"{row['processor_ms_per_photo']:.0f}"]
        for name, row in workers["rows"].items()
    ]
    return _table(["", "peak, MB", "processor, ms for a photo"], rows)


def _settings(workers: dict[str, Any], memory: dict[str, Any]) -> str:
    native = workers["native"]
    low, high = native["sides_px"]
    peaks = [f"{peak:.0f} MB over {sizes}" for sizes, peak in native["peak_mb_by_sizes"].items()]
    text = (
        "No plans of memory are kept, as those of many calls at a time and of many sizes of views "
        f"add up. With `--view native` `{native['model']}` with {native['workers']} workers takes "
        f"{', '.join(peaks[:-1])} and {peaks[-1]} photos whose sizes all differ, with sides of "
        f"{low} to {high} pixels (the same run)."
    )
    return MEMORY_SETTINGS.format(view=memory["view"], native=textwrap.fill(text, 100))


def _memory(memory: dict[str, Any]) -> str:
    names = list(memory["runs"][0]["commands"])
    rows = [
        [f"{run['photos']:,}", *(f"{run['commands'][name]['peak_mb']:.0f}" for name in names)]
        for run in memory["runs"]
    ]
    return _table(["photos", *names], rows)


def _large(large: dict[str, Any]) -> str:
    peaks = large["peak_mb"]
    return (
        f"One JPEG file of {large['megapixels']:.0f} megapixels takes {peaks['large']:.0f} MB, "
        f"{peaks['large, --exact']:.0f} MB with `--exact`; a small one takes "
        f"{peaks['a small photo']:.0f} MB (`{large['command']}`)."
    )


def _formats(big: dict[str, Any]) -> str:
    rows = [
        [
            kind,
            str(found["file_mb"]),
            *(str(found[how]["peak_mb"]) for how in ("for_scoring", "in_full")),
        ]
        for kind, found in big["photos"].items()
    ]
    return (
        f"What reading {big['megapixels']:.0f} megapixels adds, by format. Progressive JPEG keeps "
        "all its coefficients, and formats other than JPEG are always decoded in full:\n\n"
        + _table(["format", "file, MB", "MB, as scoring reads it", "MB, in full"], rows)
    )


if __name__ == "__main__":
    main()
