"""The cohort benchmark: its rows are what ran, its page is what was measured, and nothing stands there besides."""

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from common.errors import InputError
from tests.common.bundle.test_run import write_bundle
from tests.house import ROOT
from tests.tools.cohort.conftest import make_list
from tools.benchmark import cohort as module
from tools.benchmark.cohort import benchmark_cohort
from tools.benchmark.cohort_report import BEGIN, END, cohort_tables, write_cohort_report
from tools.benchmark.peers import PEERS
from tools.benchmark.peers.base import Peer
from tools.benchmark.watched import Taken, watched
from tools.cohort.command import cohort
from tools.cohort.worker import work

ABSENT = Peer("absent", "Absent tool", "-", PEERS["none"].register, "no_such_module", "no-such-package")


def at_once(commands: list[list[str]], folder: Path, environment: Any) -> Taken:
    """The commands in this process: one of its own takes seconds to start."""
    for words in commands:
        given = words[words.index("cohort") + 1 :]
        if given[given.index("--overlap") + 1] == "True":
            continue  # a second round would cost seconds and show nothing more
        options = {name.removeprefix("--"): text for name, text in zip(given[::2], given[1::2], strict=True)}
        plain = {name: options.pop(name) for name in ("datalist", "output_dir", "bundle")}
        workers = int(options.pop("workers"))
        values = {name: ast.literal_eval(text) if text[:1] in "[0123456789" else text for name, text in options.items()}
        cohort(Path(plain["datalist"]), Path(plain["output_dir"]), plain["bundle"], workers=workers, **values)
    return Taken(seconds=8.0, cpu_seconds=6.0, largest_mb=500.0, together_mb=600.0)


def test_rows_are_what_ran_and_nothing_is_made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEERS, "absent", ABSENT)
    monkeypatch.setattr(module, "watched", at_once)
    monkeypatch.setattr("tools.cohort.command.run", lambda jobs: [work(job) for job in jobs])
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    bundle = str(write_bundle(tmp_path / "tiny", 1))
    cheap = {"align": "none", "brain": "none", "refine": "off"}
    given = [str(make_list(tmp_path, 2)), str(tmp_path / "out"), bundle, "test"]
    benchmark_cohort(*given, pairs=2, many=0, processes=(1,), peers=("absent",), page=str(page), **cheap)
    record = json.loads((tmp_path / "out" / "cohort.json").read_text())
    assert [(row["overlap"], row.get("pairs_an_hour")) for row in record["rows"]] == [
        (False, 900.0),
        (True, 900.0),
        (None, None),
    ]
    assert set(record["rows"][2]) == {"method", "overlap", "processes", "not_run"}
    assert record["different_pairs"] == 2 and record["many"] is None and record["storage"]["pairs"] == 2
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n") and text.endswith(f"{END}\nafter\n") and "\nold\n" not in text
    assert "| 1 | off | 900 |" in text and "| 1 | on | 900 |" in text and "| warp.nii.gz |" in text
    assert "- Absent tool, 1 process(es): not measured, not installed (`pip install no-such-package`)" in text
    assert text.count("Absent tool") == 2  # how it would have been run, and that it was not
    assert "The long list was left out" in text
    monkeypatch.setattr(module, "watched", lambda *_: pytest.fail("what is known was measured again"))
    benchmark_cohort(*given, pairs=2, many=0, processes=(1,), peers=("absent",), **cheap)
    assert json.loads((tmp_path / "out" / "cohort.json").read_text()) == record
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == []


def test_what_failed_says_so_and_has_no_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nan = float("nan")
    monkeypatch.setattr(module, "watched", lambda *_: Taken(1.0, 1.0, nan, nan, error="error: out of luck"))
    benchmark_cohort(str(make_list(tmp_path, 1)), str(tmp_path / "out"), "tiny", "test", 2, 4, (2,), ("ants_syn",))
    text = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert text.count("not measured, failed: error: out of luck") >= 3  # the bundle twice, the long list
    assert "pairs an hour" not in text and "on paper" not in text and "| warp.nii.gz |" not in text


def test_a_hundred_thousand_follow_from_the_cheapest_row() -> None:
    record = json.loads((ROOT / "docs" / "benchmarks" / "cohort" / "cohort.json").read_text())
    row = {"method": "m", "processes": 1, "overlap": False, "cpu_seconds_a_pair": 90.0, "together_mb": 1000.0}
    record["rows"] = [row, {**row, "processes": 2, "cpu_seconds_a_pair": 72.0}]
    record |= {"cores": 2, "core_hour": 0.5}
    # 100,000 times 72 s; 64 cores for 12 hours; 32 times 1 GB
    assert "| m | 2 process(es), overlap off | 2000 | 2.6 | 32 | 1000 |" in cohort_tables(record)


def test_the_page_is_what_was_measured(tmp_path: Path) -> None:
    record = json.loads((ROOT / "docs" / "benchmarks" / "cohort" / "cohort.json").read_text())
    page = tmp_path / "scale.md"
    page.write_text((ROOT / "docs" / "scale.md").read_text(encoding="utf-8"), encoding="utf-8")
    write_cohort_report(record, tmp_path / "table.md", page)
    assert page.read_text(encoding="utf-8") == (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    assert (tmp_path / "table.md").read_text() == (ROOT / "docs" / "benchmarks" / "cohort" / "table.md").read_text()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"peers": ("nothing",)}, r"peers: expected some of none, ants_syn, .*, got nothing"),
        ({"many": 3}, r"0 or 4 and more of many, got pairs 6, processes \(1, 2\), many 3"),
        ({"page": "{folder}/page.md"}, r"page.md: expected the lines .* and .*, got a page without"),
        ({"page": "{folder}/gone.md"}, r"gone.md: expected a Markdown file, got: No such file"),
    ],
)
def test_mistakes_are_known_before_anything_runs(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    (tmp_path / "page.md").write_text("a page", encoding="utf-8")
    given = {name: value.format(folder=tmp_path) if name == "page" else value for name, value in options.items()}
    with pytest.raises(InputError, match=text):
        benchmark_cohort("list.json", str(tmp_path / "out"), **given)
    assert not (tmp_path / "out").exists()


def test_a_failed_row_is_tried_again_and_another_list_is_another_run(tmp_path: Path, monkeypatch) -> None:
    tried: list[int] = []
    failing = Taken(1.0, 1.0, 1.0, 1.0, error="no")
    monkeypatch.setattr(module, "watched", lambda *_: tried.append(1) or failing)
    given = (str(make_list(tmp_path, 1)), str(tmp_path / "out"), "tiny", "test")
    for _ in range(2):
        benchmark_cohort(*given, pairs=2, many=0, processes=(1,), peers=())
    assert len(tried) == 4
    path = tmp_path / "out" / "cohort.json"
    record = json.loads(path.read_text())
    row = {"method": "tiny", "processes": 1, "overlap": False, "cpu_seconds_a_pair": 1.0, "together_mb": 1.0}
    path.write_text(json.dumps(record | {"rows": [row]}))
    benchmark_cohort(*given, pairs=2, many=0, processes=(1,), peers=())
    assert len(tried) == 5
    benchmark_cohort(*given, pairs=3, many=0, processes=(1,), peers=())
    assert len(tried) == 7


def test_processes_are_watched_with_all_that_they_start(tmp_path: Path) -> None:
    inner = "x = bytearray(60_000_000); import time; time.sleep(0.5)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    taken = watched([[sys.executable, "-c", outer]] * 2, tmp_path, {})
    assert taken.error == "" and taken.seconds > 0.5 and taken.cpu_seconds > 0
    if sys.platform == "linux":
        assert 60 < taken.largest_mb < 120 < taken.together_mb
    assert 0 <= taken.others_percent <= 101 or sys.platform != "linux"
    failed = watched([[sys.executable, "-c", "raise SystemExit('error: out of luck')"]], tmp_path, {})
    assert failed.error == "error: out of luck"
