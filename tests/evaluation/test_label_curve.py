"""The label curve: read from its folder, with intervals over training seeds, and drawn in the report."""

import numpy as np
import pytest

from agents.files import UserError
from evaluation.label_curve import FOLDER, Point, by_method, read_label_curve
from evaluation.report import write_report
from evaluation.runs import read_run


def test_points_are_read_by_method_and_budget(tmp_path, write_run):
    for name, score in (("dagger_1000", 40), ("dagger_100", 3), ("cloning_100", 2)):
        for seed in (0, 1):
            write_run(tmp_path / FOLDER, name, seed, centre=(score, score))
    lines = by_method(read_label_curve(tmp_path))
    assert list(lines) == ["cloning", "dagger"]
    assert [(one.labels, len(one.scores)) for one in lines["dagger"]] == [(100, 2), (1000, 2)]
    assert lines["dagger"][1].mean == pytest.approx(40, abs=10)


def test_the_arm_itself_is_the_last_point(tmp_path, write_run):
    write_run(tmp_path / FOLDER, "dagger_100", centre=(3, 3))
    write_run(tmp_path, "supervised", centre=(300, 300))
    write_run(tmp_path, "supervised_cloning", centre=(200, 200))
    lines = by_method(read_label_curve(tmp_path))
    assert list(lines) == ["dagger"], "plain cloning has no smaller budget to stand beside"
    used = read_run(tmp_path / "supervised" / "seed_0").ledger.labels
    assert [one.labels for one in lines["dagger"]] == [100, used]
    assert lines["dagger"][1].mean == pytest.approx(300, abs=20)


def test_points_stand_by_their_labels_and_what_was_moved_aside_is_left_out(tmp_path, write_run):
    write_run(tmp_path / FOLDER, "dagger_100")
    write_run(tmp_path / FOLDER, "dagger_500000")
    write_run(tmp_path, "supervised").rename(tmp_path / "supervised" / "seed_0.old")
    write_run(tmp_path, "supervised", 1)
    points = read_label_curve(tmp_path)
    assert [(one.labels, len(one.scores)) for one in points] == [(100, 1), (88_000, 1), (500_000, 1)]
    write_report(tmp_path)


def test_the_interval_over_seeds_is_students():
    point = Point("dagger", 100, (10.0, 12.0, 14.0), 1.0)
    half = 4.302653 * 2 / np.sqrt(3)  # t of two degrees of freedom; the scores' standard deviation is 2
    assert point.interval == pytest.approx((12 - half, 12 + half), rel=1e-5)
    assert Point("dagger", 100, (10.0,), 1.0).interval is None
    assert Point("dagger", 100, (0.0, 30.0), 1.0).interval[0] == 0.0


def test_the_report_shows_it(tmp_path, write_run):
    write_run(tmp_path, "supervised")
    write_run(tmp_path / FOLDER, "cloning_100", centre=(5, 5))
    html = write_report(tmp_path).read_text()
    assert "What labels buy" in html and "Plain cloning" in html
    assert "mathdefault" not in html, "ticks are numbers"


def test_a_folder_of_another_name_is_refused(tmp_path, write_run):
    write_run(tmp_path / FOLDER, "whatever")
    with pytest.raises(UserError, match="<method>_<labels>"):
        read_label_curve(tmp_path)
