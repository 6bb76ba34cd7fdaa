"""The page: everything that is there is on it, what is not is named, and nothing on it is taken on trust."""

import json
import re
import shutil
from pathlib import Path

import pytest

from agents.files import UserError
from envs.breakout import STICKY
from evaluation import plots
from evaluation.reading import reading
from evaluation.record import read_evaluations
from evaluation.report import write_report, write_table
from evaluation.runs import STOCK, read_profile, read_run
from evaluation.scores import score_section


def words(root):
    return " ".join(reading(read_profile(root)))


def test_whole_page(whole):
    page = write_report(whole)
    html = page.read_text()
    assert page == whole / "report" / "index.html"
    assert page.stat().st_size < 2_000_000
    assert "What is missing here" not in html
    for text in (
        "Supervised, seed 2",
        "Supervised, mean of 3 seeds",
        "Random policy",
        "0123456789ab",
        "30, 4 distinct",
    ):
        assert text in html
    assert html.count("<video") == 16
    assert all((page.parent / name).stat().st_size > 0 for name in re.findall(r'src="([^"]+)"', html))


def test_it_asks_nothing_of_the_network_and_runs_nothing(whole):
    html = write_report(whole).read_text()
    assert "http:" not in html
    assert "https:" not in html
    assert "<script" not in html
    assert not re.search(r"@import|url\((?!#)", html)


def test_every_picture_has_a_name_a_description_and_a_table(whole):
    html = write_report(whole).read_text()
    pictures = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(pictures) == 4
    assert all("<title" in svg and "<desc" in svg and "currentColor" in svg for svg in pictures)
    assert html.count("The numbers behind this picture") == 4
    identities = re.findall(r'\sid="([^"]+)"', html)
    assert len(identities) == len(set(identities))
    assert all(target in identities for target in re.findall(r'(?:href="#|url\(#)([^")]+)', html))


def test_the_same_folder_gives_the_same_page(whole):
    assert write_report(whole).read_bytes() == write_report(whole).read_bytes()


def test_of_many_speeds_of_machines_the_slowest_and_the_fastest_are_named(write_judged, tmp_path):
    for seed, speed in enumerate(("961", "1,204", "286", "703")):
        folder = tmp_path / "supervised" / f"seed_{seed}"
        write_judged(folder, "supervised", seed, "sticky", [1, 2, 3])
        (folder / "provenance.json").write_text(json.dumps({"yardstick": f"{speed} samples/s"}))
    html = write_report(tmp_path).read_text()
    assert "286 samples/s to 1,204 samples/s" in html


def test_the_table_holds_the_pages_numbers(whole, tmp_path):
    write_table(whole, tmp_path / "table.md")
    lines = (tmp_path / "table.md").read_text().splitlines()
    html = write_report(whole).read_text()
    rows = [line for line in lines if line.startswith("| ") and "seed 2 |" in line]
    assert len(rows) >= 6, "each arm under both protocols"
    for row in rows:
        assert row.count("|") in (9, 10)
        assert all(cell in html for cell in row.strip("| ").split(" | "))


def test_shallow_learners_stand_beside_the_cnn(tmp_path, write_run):
    write_run(tmp_path, "supervised")
    assert "Before deep learning" not in write_report(tmp_path).read_text()
    for seed, seconds in ((0, 30.0), (1, 50.0)):
        folder = write_run(tmp_path, "kernel_pixels", seed, centre=(7, 9))
        study = [{"labels": 100, "cpu_seconds": 1.0}, {"labels": 70_000, "cpu_seconds": seconds}]
        (folder / "study.json").write_text(json.dumps(study))
    write_table(tmp_path, tmp_path / "table.md")
    lines = (tmp_path / "table.md").read_text().split("## Before deep learning")[1].splitlines()
    learner, cnn = [line.strip("| ").split(" | ") for line in lines[4:6]]
    pace = f"{1_000 * 12.5 / (3 * 12):.2f}"
    assert learner[:4] == ["Kernel machine on pixels", "70,000", "40.0", pace]
    assert cnn[:4] == ["CNN on pixels (the supervised arm)", "88,000", "560.0", pace]
    assert float(learner[4]) < float(cnn[4])
    assert "worth to others: a kernel machine on pixels " in words(tmp_path)
    html = write_report(tmp_path).read_text().split('id="shallow"')[1].split("</section>")[0]
    assert all(f">{cell}</t" in html for cell in [*learner, *cnn])


def test_a_single_file_has_its_films_inside(whole):
    page = write_report(whole, single_file=True)
    html = page.read_text()
    assert page.name == "breakout.html"
    assert html.count('src="data:video/mp4;base64,') == 16
    assert 'src="together' not in html


def test_the_reading_names_the_leader_and_what_it_took(whole):
    text = words(whole)
    assert re.search(r"Under sticky, supervised has the highest mean, \d+ \(\d+ to \d+\)", text)
    assert "interval lies above both others" in text
    assert "are clear of random play" in text
    assert "supervised, 88,000 labels, no rewards" in text
    assert "Fewer than three training seeds" not in text
    assert "supervised 4 of 30" in text


def test_a_missing_arm_is_named(tmp_path, write_run):
    for name in ("supervised", "reinforcement", "random"):
        write_run(tmp_path, name)
    html = write_report(tmp_path).read_text()
    assert "Unsupervised: no run in this folder" in html
    assert "Demonstrator (reads RAM): no run in this folder" in html
    assert "All runs: replay.mp4" in html
    assert "Supervised, seed 0: replay.mp4" not in html
    text = words(tmp_path)
    assert "Unsupervised is missing from this comparison" in text
    assert "Fewer than three training seeds" in text
    assert "interval lies above the other." in text
    (tmp_path / "random" / "seed_0" / "replay.mp4").write_bytes(b"")
    html = write_report(tmp_path).read_text()
    assert "All runs" not in html
    assert "Supervised, seed 0: replay.mp4" in html


def test_of_games_that_repeat_the_range_is_told_and_no_interval(tmp_path, write_run):
    for name in ("supervised", "unsupervised", "random"):
        path = write_run(tmp_path, name) / "evaluation.json"
        path.write_text(json.dumps([entry for entry in json.loads(path.read_text()) if entry["protocol"] == "classic"]))
    (supervised,) = read_evaluations(tmp_path / "supervised" / "seed_0" / "evaluation.json")
    text = words(tmp_path)
    assert f"({min(supervised.scores)} to {max(supervised.scores)})" in text
    assert "The leader's range lies above the other." in text
    assert "The leader's interval" not in text


def test_who_did_not_learn_is_told(tmp_path, write_run):
    write_run(tmp_path, "random")
    for name in ("supervised", "unsupervised", "reinforcement"):
        write_run(tmp_path, name, centre=(1, 1))
    text = words(tmp_path)
    assert "are not clear of random play" in text
    assert "do not tell them apart" in text
    assert "There nobody is above them" in text


def test_a_tie_is_a_tie(tmp_path, write_run):
    first, second = (write_run(tmp_path, name) for name in ("supervised", "unsupervised"))
    shutil.copy(first / "evaluation.json", second / "evaluation.json")
    assert "supervised and unsupervised have the same mean" in words(tmp_path)


def test_an_untrained_encoder_that_plays_as_well_is_told(tmp_path, write_run):
    write_run(tmp_path, "unsupervised", centre=(20, 20))
    write_run(tmp_path, "unsupervised_untrained", centre=(20, 20))
    assert "do not show that learning the representation helped" in words(tmp_path)


@pytest.mark.parametrize(
    "present",
    [["random"], ["supervised"], ["demonstrator", "random"], ["unsupervised_untrained"], ["unsupervised_components"]],
)
def test_little_is_enough_for_a_page(tmp_path, present, write_run):
    for name in present:
        write_run(tmp_path, name)
    html = write_report(tmp_path).read_text()
    assert "What is missing here" in html
    assert ("Only supervised has been judged" if present == ["supervised"] else "nothing to compare") in html


def test_training_without_a_judge_yet(tmp_path, write_run):
    folder = write_run(tmp_path, "reinforcement")
    (folder / "evaluation.json").unlink()
    (folder / "metrics.csv").write_text("agent_steps,frames,gradient_steps,wall_seconds,loss\n1,4,1,1,0.5\n")
    html = write_report(tmp_path).read_text()
    assert "evaluation.json, replay.mp4 and scores in metrics.csv" in html
    assert "no learning curve" in html


def test_hostile_names_stay_text(tmp_path, write_run):
    hostile = "<script>alert(1)<"
    write_run(tmp_path, "supervised")
    write_run(tmp_path, hostile + "$x^{" + "'\"&")
    provenance = tmp_path / "supervised" / "seed_0" / "provenance.json"
    provenance.write_text(json.dumps({"commit": hostile, hostile: "</dl><img src=x onerror=alert(1)>"}))
    html = write_report(tmp_path).read_text()
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)" in html


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("evaluation.json", "[{]"),
        ("evaluation.json", '[{"agent": "x"}]'),
        ("evaluation.json", "7"),
        ("ledger.json", "[1]"),
        ("ledger.json", '{"labels": "many"}'),
        ("provenance.json", "{"),
        ("metrics.csv", "frames,wall_seconds,score\n1,2,abc\n"),
        ("metrics.csv", "score\n1\n"),
        ("metrics.csv", "frames,wall_seconds,score\n1,inf,2\n"),
        ("ledger.json", '{"labels": -1}'),
        ("ledger.json", '{"labels": NaN}'),
        ("ledger.json", f'{{"frames": 1{"0" * 400}}}'),
        ("replay.json", "{}"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, file, content, write_run):
    folder = write_run(tmp_path, "supervised")
    (folder / "replay.mp4").write_bytes(b"")
    (folder / file).write_text(content)
    with pytest.raises(UserError, match=re.escape(str(folder / file))):
        write_report(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("mean", 863.0), ("median", float("nan")), ("iqm", float("inf"))])
def test_figures_that_are_not_of_these_games_are_refused(tmp_path, write_run, name, value):
    path = write_run(tmp_path, "supervised") / "evaluation.json"
    evaluations = json.loads(path.read_text())
    evaluations[0]["summary"][name] = value
    path.write_text(json.dumps(evaluations))
    with pytest.raises(UserError, match=re.escape(str(path))):
        write_report(tmp_path)


def test_a_name_of_any_letters_stands_in_page_and_table(tmp_path, write_run, recwarn):
    write_run(tmp_path, "supervised_labels_a|卡|b")
    write_run(tmp_path, ".moved_aside")
    page = write_report(tmp_path).read_text()
    assert "labels of a|卡|b" in page
    assert "moved_aside" not in page
    write_table(tmp_path, tmp_path / "table.md")
    assert r"| Supervised, labels of a\|卡\|b, seed 0 |" in (tmp_path / "table.md").read_text()
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


@pytest.mark.parametrize("content", ["[]", "7", '[{"labels": "many"}]', '[{"labels": NaN, "cpu_seconds": 1}]'])
def test_a_damaged_study_is_named(tmp_path, content, write_run):
    study = write_run(tmp_path, "kernel_pixels") / "study.json"
    study.write_text(content)
    with pytest.raises(UserError, match=re.escape(str(study))):
        write_report(tmp_path)


def test_no_runs_no_page(tmp_path):
    with pytest.raises(UserError, match="holds no runs"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_seed_that_was_judged_twice_is_one_seed(write_judged, tmp_path):
    folder = tmp_path / "supervised" / "seed_0"
    write_judged(folder, "supervised", 0, "sticky", [300] * 8)
    write_judged(folder, "supervised", 0, "sticky", [100] * 8, sampled=True)
    (section,) = [score_section(read_profile(tmp_path), STICKY)]
    assert section is not None
    assert [row.label for row in section.rows] == ["Supervised, seed 0", "Supervised, seed 0, sampled"]


def test_learning_curves_look_different(tmp_path, write_run):
    for name in ("supervised", "reinforcement", "reinforcement_ppo", STOCK):
        write_run(tmp_path, name)
    lines = [plots.Line(name, name, (1.0, 2.0), (3.0, 4.0)) for name in ("supervised", "reinforcement_ppo", STOCK)]
    drawn = plots.curves(lines, "x", "title", "described", "id")
    assert len(set(re.findall(r"stroke: (#[0-9a-f]{6})", drawn)) & {"#2f74d0", "#7b8494", "#8e44ad"}) == 3


def test_a_report_from_within_the_folder_knows_its_name(tmp_path, write_run, monkeypatch):
    write_run(tmp_path / "quick", "supervised")
    monkeypatch.chdir(tmp_path / "quick")
    assert "<title>Breakout Three Ways: quick</title>" in write_report(Path()).read_text()


def test_no_value_of_another_type_gets_past_the_reader(tmp_path, write_run):
    folder = write_run(tmp_path, "supervised", games=2)
    read_run(folder)
    for name in ("evaluation.json", "ledger.json"):
        path = folder / name
        whole = path.read_text()
        for place in places(json.loads(whole)):
            for value in (None, "x", [], {}):
                path.write_text(json.dumps(replaced(json.loads(whole), place, value)))
                with pytest.raises(UserError, match=name):
                    read_run(folder)
        path.write_text(whole)


def places(content, at=()):
    """Of all numbers, texts and lists, but for what may be anything or nothing."""
    if at and at[-1] not in ("training_seed", "agent", "paradigm", "fingerprint"):
        yield at
    items = (
        content.items() if isinstance(content, dict) else enumerate(content[:1]) if isinstance(content, list) else ()
    )
    for key, value in items:
        yield from places(value, (*at, key))


def replaced(content, place, value):
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content
