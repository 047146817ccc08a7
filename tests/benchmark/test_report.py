"""A report of results that nobody trained for: what is on the page and in the files beside it."""

import csv
import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from masklam_agents.benchmark.report import write_report
from masklam_agents.benchmark.report.figures import COLOURS
from masklam_agents.benchmark.report.gallery import gather
from masklam_agents.benchmark.report.summary import summarize
from masklam_agents.benchmark.report.tables import latex, scores_csv
from masklam_agents.benchmark.result_files import Found, find_results, read_results
from masklam_agents.benchmark.results import Machine
from tests.benchmark.helpers import draw_pictures, make_result, make_results, write_results
from tests.test_cli import masklam

FEW = {"repetitions": 200}
HOSTILE = '"><img src=x onerror=alert(1)>'


class Page(HTMLParser):
    """Elements of a page with their attributes, and whether they are closed in order."""

    VOID = {"meta", "link", "img", "br", "path", "use"}

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    failed = make_result(seed=9, status="failed", error=f"Traceback\nValueError: {HOSTILE}", variables={"labels": 512})
    results = make_results(seeds=2, variables=({"labels": 512}, {"labels": 8192}))
    return write_results(runs, [*results, failed])


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    return write_report([folder], out, **FEW), out


@pytest.fixture(scope="module")
def page(written):
    return Page((written[1] / "index.html").read_text())


def test_the_page_needs_nothing_but_itself(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "data"):
            value = attributes.get(name) or ""
            local = value.startswith(("data:", "#")) or value in {
                "scores.csv",
                "scores.json",
                "results.jsonl",
                "tables.tex",
            }
            assert not value or local, (tag, value[:80])
    assert "@import" not in page.text
    assert "url(http" not in page.text


def test_the_page_can_be_read_without_seeing_it(page):
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in page.all("svg"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert page.all("html")[0]["lang"] == "en"
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_the_page_has_every_part(page, written):
    summary, _ = written
    assert len(page.all("img")) == 2 * 24
    for words in (
        "Headline",
        "Label",
        "Performance profiles",
        "Gallery",
        "Fairness",
        "Commands",
        "1 failed",
        "MaskHopper-v0",
    ):
        assert words.lower() in page.text.lower()
    ratio = next(row for row in summary.pooled["nmse"].rows if row.method == "masklam").ratio.ratio
    assert f"{ratio.estimate:.2f}\N{MULTIPLICATION SIGN}" in page.text
    assert "masklam benchmark synthetic --method laom" in page.text
    assert "numpy 1.2.3" in page.text


def test_curves_and_profiles_are_drawn_where_the_suite_has_them(page, written):
    labels = [attributes["aria-label"] for attributes in page.all("svg")]
    assert any(label.startswith("probe NMSE by labels: By labels. laom: 512") for label in labels)
    assert any(label.startswith("Profile of normalized return") for label in labels)
    assert any(label.startswith("probe NMSE, action-0.9: masklam") for label in labels)
    series = {(each.variable, each.measure): each for each in written[0].series}
    assert series["labels", "nmse"].values == (512, 8192)
    assert set(series["labels", "normalized_return"].lines) == {"lapo", "laom", "masklam", "bc-labels"}


def test_distractors_that_differ_in_a_number_make_a_curve():
    names = {"action-1.0": 0.9, "action-0.6": 0.5, "ghost": 0.7, "dcs-low": 0.6}
    results = [make_result(nmse, distractor=name) for name, nmse in names.items()]
    (series, *_) = summarize([Found(result, "", None) for result in results], **FEW).series
    assert (series.variable, series.values, series.numeric) == ("number of distractor action", (0.6, 1.0), True)
    assert [interval.estimate for interval in series.lines["lapo"]] == [0.5, 0.9]
    told = [make_result(distractor=f"action-{rho}", variables={"correlation": rho}) for rho in (0.6, 0.9)]
    assert {each.variable for each in summarize([Found(r, "", None) for r in told], **FEW).series} == {"correlation"}


def test_what_results_say_is_text_and_never_markup(tmp_path):
    results = [
        make_result(seed=seed, method=method, variables={"mask_source": source}, machine=Machine(HOSTILE, 1))
        for seed in range(2)
        for method in ("lapo", "laom")
        for source in (HOSTILE, "$x_1$")
    ]
    write_report([write_results(tmp_path / "runs", results)], tmp_path / "out", **FEW)
    text = (tmp_path / "out" / "index.html").read_text()
    page = Page(text)
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]
    assert page.text.count(HOSTILE) >= 5  # in tables, figures and facts
    assert "$x_1$" in re.findall(r"<text[^>]*>(.*?)</text>", text)  # no formula either


def test_colours_are_seen_on_light_and_on_dark_pages():
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in COLOURS:
        for ground in ("#ffffff", "#14171b"):
            light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3, (colour, ground)


def test_files_beside_the_page(written, folder):
    summary, out = written
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert len(rows) == len(summary.found) == 2 * 2 * 2 * 4 * 2 + 1
    first = next(row for row in rows if row["method"] == "masklam")
    assert (first["suite"], first["status"], first["episodes"]) == ("synthetic", "ok", "4")
    assert 0 < float(first["nmse"]) < 1
    assert next(row for row in rows if row["status"] == "failed")["nmse"] == ""
    scores = json.loads((out / "scores.json").read_text())
    row = next(row for row in summary.pooled["nmse"].rows if row.method == "laom")
    assert scores["pooled"]["nmse"]["methods"]["laom"]["ratio"]["ratio"] == dataclasses.asdict(row.ratio.ratio)
    assert scores["statistics"] == {"level": 0.95, "repetitions": 200, "seed": 0}
    assert sorted(map(repr, read_results([out / "results.jsonl"]))) == sorted(map(repr, read_results([folder])))


def test_the_headline_is_a_picture_too(written, tmp_path):
    from PIL import Image

    with Image.open(written[1] / "headline.png") as picture:
        assert picture.format == "PNG" and picture.width > 2 * picture.height
        assert picture.convert("L").getextrema() == (0, 255)
    shutil.copy(written[1] / "headline.png", tmp_path)
    nothing = [make_result(status="failed", error="boom")]
    write_report([write_results(tmp_path / "runs", nothing)], tmp_path, **FEW)
    assert not (tmp_path / "headline.png").exists()  # an old one would be of other numbers


def test_the_report_can_be_made_again_from_its_own_lines(written, tmp_path):
    _, out = written
    write_report([out / "results.jsonl"], tmp_path, **FEW)
    for name in ("scores.csv", "scores.json", "results.jsonl", "tables.tex"):
        assert (tmp_path / name).read_text() == (out / name).read_text()


def test_tables_for_latex(written):
    text = (written[1] / "tables.tex").read_text()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 3
    for table in re.findall(r"\\begin{tabular}{(l[lr]*)}(.*?)\\end", text, flags=re.DOTALL):
        lines = [line for line in table[1].splitlines() if line.endswith(r"\\")]
        assert len(lines) == 1 + 4
        assert {line.count("&") + 1 for line in lines} == {len(table[0])}
    assert latex("50% of a_b {x} ~^\\") == r"50\% of a\_b \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{}"


def test_unequal_conditions_are_told(tmp_path):
    plain = make_result()
    training = dataclasses.replace(plain.training, dataset="other", updates={"clone": 9_000})
    results = [make_result(seed=0), make_result(seed=1), make_result(method="laom", seed=0, training=training)]
    facts = summarize([Found(result, str(i), None) for i, result in enumerate(results)], **FEW).facts
    checks = {check.name: check for check in facts.checks}
    assert (checks["data"].compared, checks["data"].unequal) == (1, 1)
    assert checks["data"].values == {"lapo": ["facade"], "laom": ["other"]}
    assert checks["updates of clone"].unequal == 1
    assert "updates of pretrain" not in checks  # only one method has that stage here
    assert checks["network"].unequal == 0


def test_one_run_a_place_is_told(tmp_path, page):
    write_report([write_results(tmp_path / "runs", [make_result()])], tmp_path / "out", **FEW)
    text = Page((tmp_path / "out" / "index.html").read_text()).text
    assert "1 method, 1 task, 1 place,\n1 run" in text
    assert "in some only one: an interval then has no width" in text
    assert "at least 2 in each: few, intervals are rough" in page.text


@pytest.mark.parametrize(
    "results",
    [
        [make_result()],
        [make_result(status="failed")],
        [make_result(None, ()), make_result(None, (), method="laom")],
        [make_result(method="laom", task="A-v0"), make_result(task="B-v0")],
    ],
    ids=["one run", "all failed", "nothing measured", "nothing shared"],
)
def test_small_reports_are_whole(tmp_path, results):
    write_report([write_results(tmp_path / "runs", results)], tmp_path / "out", **FEW)
    page = Page((tmp_path / "out" / "index.html").read_text())
    assert "Commands" in page.text and len(page.all("caption")) == len(page.all("table"))


def test_results_of_several_suites_need_a_choice(tmp_path):
    results = [make_result(suite_version=version) for version in ("1", "2")]
    runs = write_results(tmp_path / "runs", results, pictures=False)
    with pytest.raises(ValueError, match="synthetic@1, synthetic@2; choose one with --suite"):
        write_report([runs], tmp_path / "out", **FEW)
    assert write_report([runs], tmp_path / "out", suite="synthetic@2", **FEW).version == "2"


def test_a_gallery_takes_turns_and_leaves_out_what_is_no_picture(tmp_path):
    results = [r for r in make_results(seeds=2) if r.method in ("lapo", "masklam")]
    runs = write_results(tmp_path, results)
    exhibits, notes = gather(find_results([runs]), 4)
    assert [(e.method, e.place, e.seed) for e in exhibits] == [
        ("lapo", "MaskCheetah-v0, action-0.9", 0),
        ("masklam", "MaskCheetah-v0, action-0.9", 0),
        ("lapo", "MaskHopper-v0, none", 0),
        ("masklam", "MaskHopper-v0, none", 0),
    ]
    assert notes == []
    assert {picture.kind for exhibit in exhibits for picture in exhibit.pictures} == {"still", "moving"}
    for picture in tmp_path.rglob("*.png"):
        picture.write_bytes(b"<svg onload=alert(1)>")
    exhibits, notes = gather(find_results([runs]), 4)
    assert {picture.kind for exhibit in exhibits for picture in exhibit.pictures} == {"moving"}
    assert "predictions.png of lapo, MaskCheetah-v0" in notes[0]
    assert "no PNG" in notes[0]


def test_a_video_that_browsers_do_not_play_is_told(tmp_path):
    from masklam_envs.pictures import write_video
    from tests.benchmark.helpers import np

    write_results(tmp_path, [make_result()], pictures=False)
    (found,) = find_results([tmp_path])
    write_video(found.folder / "rollout.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3, fps=5)
    exhibits, notes = gather([found], 4)
    assert exhibits == []
    assert "write rollout.webp" in notes[0]
    draw_pictures(found.folder)
    assert len(gather([found], 4)[0][0].pictures) == 2


def test_further_numbers_become_columns():
    result = make_result()
    metrics = dataclasses.replace(result.metrics, more={"success_rate": 0.5})
    rows = list(csv.DictReader(scores_csv([make_result(metrics=metrics), make_result(seed=1)]).splitlines()))
    assert [row["success_rate"] for row in rows] == ["0.5", ""]


def test_the_command(folder, tmp_path):
    done = masklam("report", folder, "--out", tmp_path / "out", "--repetitions", 200, "--gallery", 0)
    assert done.exit_code == 0, done.output
    assert "65 runs, 1 failed" in done.output
    assert "data:image/png" not in (tmp_path / "out" / "index.html").read_text()
    done = masklam("report", folder, "--baseline", "masklan", "--out", tmp_path / "out")
    assert "Did you mean 'masklam'" in done.output
    assert "no such file" in masklam("report", tmp_path / "nowhere.json").output
    (tmp_path / "bad.json").write_text('{"schema": 7}')
    done = masklam("report", tmp_path / "bad.json")
    assert done.exit_code == 2
    assert "update masklam" in done.output
