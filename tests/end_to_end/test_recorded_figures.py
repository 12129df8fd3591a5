"""What pages say was measured is what the recorded files say."""

import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text()


def flowing(page: str) -> str:
    """A page's text without its line breaks."""
    return " ".join(text_of(page).split())


def results_in(file: str) -> Any:
    return json.loads(text_of(file))


def script(file: str) -> dict[str, Any]:
    """What a script defines; its siblings can be imported, as where it is run."""
    sys.path.insert(0, str((REPOSITORY / file).parent))
    try:
        return runpy.run_path(str(REPOSITORY / file))
    finally:
        sys.path.pop(0)


@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("docs/speed.md", "benchmarks/speed/write_page.py"),
        ("docs/models/detail.md", "recipes/detail/write_page.py"),
        ("docs/models/quality.md", "recipes/quality/write_page.py"),
    ],
)
def test_a_page_is_what_its_script_makes_of_the_recorded_results(page, file, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [file])
    monkeypatch.chdir(REPOSITORY)
    script(file)["main"]()
    assert text_of(page) == capsys.readouterr().out


def test_every_table_of_the_results_is_the_recorded_one():
    writer, page = script("benchmarks/quality/write_results.py"), text_of("docs/results.md")
    tables = writer["tables"]()
    assert writer["filled"](page, tables) == page
    for name in tables:
        assert f"<!-- table: {name} -->" in page


def test_the_plots_of_the_page_exist():
    page = text_of("docs/results.md")
    for name in ("siamese-differences", "ladder-steps"):
        assert f"images/{name}.png" in page
        assert (REPOSITORY / f"docs/images/{name}.png").stat().st_size > 5_000


def test_how_far_scores_move_is_told_as_it_was_measured():
    found = results_in("benchmarks/quality/steadiness.json")
    page = text_of("docs/data.md")
    for row in found["stored_size"]:
        assert f"| {row['short_side_px']} | {row['mean']:+.2f} | {row['sd']:.2f} |" in page
    framing = f"differ by {found['framing']['sd']:.2f} points"
    assert framing in " ".join(page.split())
    assert framing in flowing("docs/results.md")


# Results of programs that differed from their commit, and the pages that say so.
OF_CHANGED_FILES = {
    "benchmarks/quality/siamese_stage.json": "docs/results.md",
    "benchmarks/quality/ss02_signal.json": "docs/results.md",
    "benchmarks/scale/per_photo.json": "docs/scale.md",
    "benchmarks/speed/parts.json": "docs/speed.md",
    "recipes/quality/mobilenet.json": "recipes/quality/README.md",
    "recipes/quality/views.json": "recipes/quality/README.md",
}


def test_no_recorded_figure_is_of_code_that_no_commit_has():
    """But for a few, whose pages say that files differed from the commit."""
    recorded = [*REPOSITORY.glob("benchmarks/*/*.json"), *REPOSITORY.glob("recipes/*/*.json")]
    assert len(recorded) > 10
    changed = set()
    for path in recorded:
        found = json.loads(path.read_text())
        if isinstance(found, dict):
            assert not found.get("dirty"), path
            if found.get("commit", "").endswith("-dirty"):
                changed.add(path.relative_to(REPOSITORY).as_posix())
    assert changed == set(OF_CHANGED_FILES)


@pytest.mark.parametrize(("file", "page"), OF_CHANGED_FILES.items())
def test_a_page_says_that_a_recorded_figure_is_of_changed_files(file, page):
    commit = results_in(file)["commit"].removesuffix("-dirty")
    assert f"commit {commit} with uncommitted changes" in flowing(page)


def test_a_result_says_which_code_it_is_of(tmp_path, monkeypatch):
    machine = script("benchmarks/machine.py")
    said = machine["provenance"]()
    assert re.fullmatch("[0-9a-f]{64}", said["source_sha256"])
    assert said["source_sha256"] == machine["source_hash"]()
    assert isinstance(said["dirty"], bool)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "one.py").write_text("x = 1")
    hashed = machine["source_hash"]
    monkeypatch.setitem(hashed.__globals__, "__file__", str(tmp_path / "benchmarks/machine.py"))
    one = hashed()
    (tmp_path / "src" / "one.py").write_text("x = 2")
    assert hashed() != one


def test_the_page_on_taste_says_what_was_measured_of_people():
    writer, page = script("benchmarks/taste/write_people.py"), text_of("docs/taste.md")
    people, rated, beliefs = (
        results_in(f"benchmarks/taste/{name}.json")
        for name in ("people", "rated_folder", "beliefs")
    )
    assert writer["filled"](page, writer["text"](people, rated, beliefs)) == page
    assert (REPOSITORY / "docs/images/taste-people.png").stat().st_size > 5_000
    assert rated["photos"] == 500


SCALE = script("benchmarks/scale/write_example.py")


def test_the_worked_example_is_what_its_script_makes_of_the_recorded_costs():
    assert text_of("docs/scale.md") == SCALE["page"]()


def test_core_hours_follow_from_the_cost_of_a_photo():
    recorded = results_in("benchmarks/scale/per_photo.json")
    recorded["ms_per_photo"]["ray"] = {"median": 18.0, "low": 17.0, "high": 19.0}
    recorded["machine"]["cores"] = 2
    text = SCALE["example"](recorded)
    # 0.036 core-seconds, ten million times, are 100 hours: 4.2 cores for a day.
    assert "| core-hours | 100 | 10,000 |" in text
    assert "| machines of 32 cores | 1, done in a day | 2, done in 7 days |" in text


def test_the_shards_that_were_killed_are_those_of_the_page():
    recorded = results_in("benchmarks/scale/shards.json")
    page = flowing("docs/scale.md")
    assert recorded["rows"] == recorded["rows_named_once"] == recorded["photos"]
    assert (recorded["same_rows"], recorded["dirty"]) == (True, False)
    assert f"{recorded['photos']:,} images in {recorded['shards']} shards were scored so" in page
    assert f"({recorded['date']}, `{recorded['command']}`" in page


def test_the_page_says_how_soon_the_next_pair_stands():
    found = results_in("benchmarks/speed/next_pair.json")
    shown = found["next_pair_ms"]
    page = flowing("docs/taste.md")
    assert f"With photos of {found['megapixels']:g} megapixels" in page
    assert (
        f"stood after {shown['median']:.0f} ms, the median of {found['pairs']}; "
        f"19 of 20 within {shown['p95']:.0f} ms"
    ) in page
    assert f"one picture takes {round(found['one_picture_ms'], -1):.0f} ms" in page
    assert found["pace_s"] == 1


def test_what_checking_ava_takes_is_as_recorded():
    found = results_in("benchmarks/speed/data_check.json")
    page = flowing("docs/ava.md")
    assert f"of {found['rows']:,} rows with {found['photos']} photos there" in page
    assert f"{found['processor_s']:.1f} seconds of processor in all" in page
    assert f"{found['beyond_decoding_s']:.1f} of them for all but the photos" in page
    assert found["beyond_decoding_s"] < 10


def test_how_fast_photos_come_to_training_is_as_recorded():
    found = results_in("benchmarks/speed/training_speed.json")
    page = flowing("docs/ava.md")
    loader, by_core = found["loader"], "photos_a_processor_second"
    assert f"On a fake AVA ({found['photos']:,} files" in page
    before, after = (round(part[by_core]) for part in found["decode"])
    assert f"before and after | {before}, {after} |" in page
    share = f"{found['loader_by_decode'][by_core]:.2f}".lstrip("0")
    assert f"| {loader[by_core]:.0f} ({share} of it) |" in page
    assert f"{loader['memory_mb_at_a_tenth']:,} MB at a tenth of the photos" in page
    assert f"{loader['memory_mb_at_the_end']:,} MB at their end" in page
    assert found["asked_of_the_device"] == {"steps": 100, "waits": 12}


def test_what_cutting_views_first_costs_is_as_recorded():
    found = results_in("benchmarks/speed/views_first.json")
    page = flowing("docs/views.md")
    every = found["all"]
    assert f"On {every['photos']} photos of 1 megapixel and more" in page
    moved = every["moved"]
    assert f"by {moved['mean']:.4f} on average and {moved['most']:.3f} at most" in page
    for kind, measured in found["kinds"].items():
        ms = measured["median ms"]
        name = f"{kind} (phones)" if kind == "turned, other colours" else kind
        row = [name, measured["photos"], f"{ms['decode']:.0f}"]
        row += [f"{ms['convert whole']:.0f} + {ms['views after']:.0f}"]
        row += [f"{ms['views first']:.0f}", f"{ms['network']:.0f}"]
        assert "| " + " | ".join(map(str, row)) + " |" in page
    assert "dirty" not in found["commit"]


def test_the_figures_of_the_guide_are_the_recorded_ones():
    page = text_of("docs/fine-tune.md")
    recorded = results_in("benchmarks/quality/fine_tune.json")
    for run in recorded["runs"].values():
        order, error = run["on_test"]["srcc"], run["on_test"]["rmse"]
        gap = order["difference"]
        row = next(line for line in page.splitlines() if line.startswith(f"| {run['photos']} "))
        assert f"{order['first']:.3f}, {order['second']:.3f}" in row
        assert f"{gap['value']:.3f} [{gap['low']:.3f}, {gap['high']:.3f}]" in row
        assert f"{error['first']:.2f}, {error['second']:.2f}" in row
        verdicts = [cell.rsplit(": ", 1)[1] for cell in row.strip("| ").split(" | ")[2:]]
        for verdict, figure in zip(verdicts, (order, error), strict=True):
            assert (verdict == "better") == (figure["winner"] == "second")


@pytest.mark.parametrize("page", ["README.md", "README_zh.md"])
def test_the_figures_of_the_readme_are_the_recorded_ones(page):
    text = (REPOSITORY / page).read_text()
    quality = results_in("recipes/quality/result.json")["test"]
    for part in quality.values():
        srcc = part["srcc"]
        assert f"{srcc['value']:.3f} [{srcc['low']:.3f}, {srcc['high']:.3f}]" in text
    for run in ("real_photos.json", "real_photos_int8.json"):
        assert f"{results_in(f'benchmarks/speed/{run}')['folder']['photos_per_second']}" in text
    moved = results_in("benchmarks/quality/int8.json")["difference"]
    assert f" {moved['mean_absolute']:.2f}" in text
    assert f" {moved['largest']:.2f}" in text
    said = [
        ("ours, fp32", "the origin at 224 (Keras 2.2.4)"),
        ("ours, int8", "the origin at 224 (Keras 2.2.4)"),
        ("ours, fp32 at 299", "pyiqa nima (299, its default)"),
        ("ours, fp32", "idealo's way (Keras 3, batches of 64)"),
    ]
    [photos] = results_in("benchmarks/speed/peers.json")["sets"]
    times = {(ratio["ours"], ratio["peer"]): ratio["median"] for ratio in photos["ratios"]}
    assert all(f" {times[pair]:.1f} " in text for pair in said)


@pytest.mark.parametrize("page", ["README.md", "README_zh.md"])
def test_the_second_stages_of_the_readme_are_those_of_the_results_page(page):
    rows = re.findall(
        r"^\|[^|]+\| (\d\.\d+ \[[^]]+\]) \| (\d\.\d+) \|$", (REPOSITORY / page).read_text(), re.M
    )
    results = text_of("docs/results.md").splitlines()
    assert len(rows) == 7
    for srcc, spread in rows:
        assert any(f"| 3 | {srcc} |" in line and line.endswith(f"{spread} |") for line in results)


def test_kills_and_the_size_of_a_report_are_as_recorded():
    kills = results_in("benchmarks/dependability/killed_runs.json")
    said = f"{kills['photos']} photos killed {kills['kills']} times at random moments, "
    page = flowing("docs/folder-runs.md")
    assert f"{said}{kills['rounds']} times until it was done" in page
    assert kills["wrong_tables"] == 0
    report = results_in("benchmarks/speed/report_page.json")
    page = flowing("docs/report.md")
    assert f"{report['photos']:,} photos are {report['megabytes']:.1f} MB" in page
    assert f"opens in {report['open_s']} s and sorts in {report['sort_s']} s" in page


def test_what_reduced_decoding_moves_is_as_recorded():
    recorded = results_in("benchmarks/quality/reduced_decode.json")
    page = text_of("docs/views.md")
    for moved in recorded["difference_by_margin"].values():
        assert f"{moved['mean_absolute']:.3f}" in page
        assert f"{moved['largest']:.3f}" in page


def test_what_the_origin_gives_beside_ours_is_as_recorded():
    found = results_in("benchmarks/quality/origin_side_by_side.json")
    kinds, page = found["kinds"], flowing("docs/from-the-origin.md")
    png = max(kinds[f"PNG, {size}"]["most"]["mean"] for size in ("224", "native"))
    assert f"differ by at most {png:.4f} on PNG copies" in page
    jpeg = kinds["JPEG, 224"]
    assert f"{jpeg['within_1e-4']} of {found['photos']} agree to 1e-4 at 224 x 224" in page
    assert f"the farthest is {jpeg['most']['mean']:.3f} off" in page
    assert not found["dirty"]


def test_the_page_on_culling_says_what_was_measured():
    found = results_in("benchmarks/speed/culling_page.json")
    page = flowing("docs/cull.md")
    first = found["first_picture_s"]
    assert f"the first picture is there {min(first):.2f} to {max(first):.2f} s after" in page
    median, worst = found["next_photo_ms_median"], found["next_photo_ms_worst"]
    assert f"{median:.0f} ms after its key, at most {worst:.0f} ms" in page
    assert f"in {len(first)} openings" in page
    [[least], [most]] = found["renderer_mb_first"], found["renderer_mb_last"]
    assert f"{least} MB at first and {most} MB after" in page
    assert (found["photos"], found["dirty"]) == (2000, False)


def test_what_killed_trainings_end_with_is_told_as_it_was_found():
    found = results_in("benchmarks/dependability/killed_training.json")
    page = flowing("docs/ava.md")
    assert f"on {found['photos']:,} photos of a fake AVA that was killed four times" in page
    assert found["kills"] == found["kills_with_the_middle_of_an_epoch_saved"] == 4
    assert (found["tensors_that_differ"], found["dirty"]) == (0, False)
    whole, killed = (line.split(",")[:10] for line in found["last_epochs"])
    assert whole == killed


def test_how_much_damage_in_jpeg_files_is_seen_is_as_recorded():
    found = results_in("benchmarks/dependability/jpeg_damage.json")
    page = flowing("docs/formats.md")
    noise, zeros = (found["damaged"][kind] for kind in ("noise", "zeros"))
    *most, last = (noise[f"{size} bytes"]["seen"] for size in (512, 1024, 4096))
    assert f"that found {', '.join(map(str, most))} and {last};" in page
    assert f"with a hole of 1024 zeros {zeros['1024 bytes']['seen']}" in page
    assert f"In {found['sound']['photos']:,} sound photos (BIQ2021)" in page
    assert found["sound"]["suspected"] == 0


def test_how_well_bursts_are_found_is_as_recorded():
    found = results_in("benchmarks/quality/bursts.json")
    page = text_of("docs/bursts.md")
    for similarity in ("0.6", "0.7", "0.8", "0.9"):
        row = found["in_the_window"]["by_similarity"][similarity]
        line = next(
            line
            for line in page.splitlines()
            if line.strip("|* ").startswith(f".{similarity[2:]}0")
        )
        assert f"{row['precision']:.0%}".replace("%", " %") in line
        assert f"{row['recall']:.0%}".replace("%", " %") in line
        low, high = (round(100 * end) for end in row["recall_95"])
        assert f"({low} to {high})" in line
    alone = found["without_times"]
    assert f"{alone['same']} of {alone['judged']} pairs" in page
    for pairs in ("pairs_in_groups", "pairs_in_scenes", "pairs_in_both"):
        assert f"{alone[pairs]:,}" in page
    assert f"takes {found['grouping']['cpu_seconds']} seconds of one processor core" in page


def test_how_far_networks_are_from_keras_is_as_recorded():
    page = text_of("docs/keras-weights.md")
    old = results_in("benchmarks/quality/keras2_parity.json")["largest_difference"]
    rows = {
        f"Keras 2.2.4 on TensorFlow 1.12, {shown}": [size["probability"] for size in sizes.values()]
        for shown, sizes in (
            ("InceptionResNetV2", old["inception_resnet_v2"]),
            ("MobileNet", old["mobilenet"]),
        )
    }
    new = results_in("benchmarks/quality/keras_parity.json")["results"]
    for name, sizes in new.items():
        for way, shown in (("torch", "torch"), ("onnxruntime", "ONNX Runtime")):
            rows[f"{name}, {shown}"] = [size[f"{way}_probability"] for size in sizes.values()]
        assert all(size["keras_on_our_h5_probability"] == 0 for size in sizes.values())
    for name, figures in rows.items():
        assert f"| {name} | {' | '.join(f'{figure:.1e}' for figure in figures)} |" in page


@pytest.mark.slow
def test_the_reference_that_networks_are_compared_with_is_there():
    pytest.importorskip("timm")
    assert script("benchmarks/quality/keras_parity.py")["REFERENCE"].is_file()


def test_what_a_step_on_pairs_costs_is_as_recorded():
    found = results_in("benchmarks/speed/siamese_step.json")
    page = flowing("docs/siamese-stage.md")
    times = dict(found["times_a_nima_step"])
    assert times.pop("nima") == 1
    two_inputs = times.pop("two inputs, 64 pairs")
    low, high = (f"{end:.2f}" for end in (min(times.values()), max(times.values())))
    shown = low if low == high else f"{low} to {high}"
    said = (
        f"A step on {found['batch_size']} photos and all their {found['pairs']} pairs took {shown} "
    )
    assert f"{said}times" in page
    assert f"took {two_inputs:.1f} times as long for 64 pairs" in page
