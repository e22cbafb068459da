#!/usr/bin/env python3
"""What tools/bench tells: its plots, its description of the machine, its help.

What is drawn is looked at only where tools/install-dependencies bench has put matplotlib."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest
import xml.etree.ElementTree
from unittest import mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from bench import hop, machine, peers, plots, procs  # noqa: E402

TOOL = ROOT / "tools/bench"
MACHINE = {
    "date": "2026-11-26 03:44:04 UTC",
    "commit": "036ceef",
    "cpu": "AMD EPYC",
    "cpus usable": 2,
    "kernel": "6.18.44",
}
RATIO = {"min": 0.99, "max": 1.24, "spread": 0.2}


def cost_visits(*cpu_us):
    return [{"cpu_us": value, "rps": 1e6 / value, "foreign_cpus": 0.0} for value in cpu_us]


def figure(cpu_us):
    return {"cpu_us": cpu_us, "cpu_us_min": cpu_us - 1, "cpu_us_max": cpu_us + 2, "rps": 9.0}


def moment(row, fraction, p50_us, unsent=0):
    waits = {"p50_us": p50_us, "p99_us": 3 * p50_us, "p999_us": 9 * p50_us, "max_us": 10 * p50_us}
    return {"row": row, "fraction": fraction, "rate": 9.0, **waits, "unsent": unsent, "errors": 0}


def rush(row, seconds, slowest_s):
    return {
        "row": row,
        "seconds": seconds,
        "seconds_min": 0.9 * seconds,
        "seconds_max": slowest_s,
        "p99_us": 2300.0,
    }


# A file of tools/bench --json with all that is drawn, and no more.
RESULTS = {
    "machine": MACHINE,
    "peers": {
        "rounds": {
            peers.FASTAPI_ROW: cost_visits(153.7, 157.4, 160.1),
            peers.DURABLE_ROW: cost_visits(12.4, 13.4, 13.9),
            "ticketd, available": cost_visits(8.1, 8.3, 9.1),
            "FastAPI + uvicorn, available": cost_visits(98.4, 113.2, 134.0),
        },
        "ratios": [
            {"row": "a", "to": "b", "goal": 1.25, "cpu": {"median": 1.06, **RATIO}},
            {"row": "c", "to": "d", "goal": 0.65, "cpu": {"median": 1.11, **RATIO}},
        ],
        "left_out": {"nginx + Lua + Redis": "redis-server is missing"},
    },
    "hop": {
        "rounds": {"monolith, memory:": cost_visits(8.0, 9.0)},
        "figures": {hop.FIGURES[0].text: [1.4, 1.7], hop.FIGURES[2].text: [3.25, 3.5]},
    },
    "latency": {
        "sync_us": 222.0,
        "rows": [moment("ticketd, durable", 0.5, 700), moment("ticketd, durable", 0.9, 2100, 7)],
    },
    "scale": {
        "connections": {"ticketd, memory:": {"1": figure(16.0), "10000": figure(12.0)}},
        "workers": {"ticketd, memory:": {"1": figure(8.0), "2": figure(9.0)}},
        "mixes": {"hot": {"ticketd, memory:": figure(7.2)}},
    },
    "core": {
        "sells": {"one": {"1": 2e7, "8": 1e7}, "many": {"1": 2e7, "8": 4e7}},
        "cpu_ns": {"one": {"1": 50.0, "8": 210.0}, "many": {"1": 50.0, "8": 58.0}},
    },
    "sellout": {
        "rows": [rush("monolith", 1.43, 1.61), rush("microservices", 1.9, 2.2)],
        "goal": 2,
        "tickets": 80_000,
        "connections": 1000,
    },
}
# What must stand in each picture: names of rows, and values where they are written out.
TEXTS = {
    "peers-cpu": [peers.FASTAPI_ROW, "157 µs", peers.DURABLE_ROW, "13.4 µs", "AMD EPYC, 2 CPUs"],
    "peers-ratios": ["to b", "1.06, goal ≤ 1.25: met", "1.11, goal ≤ 0.65: missed"],
    "latency": ["ticketd, durable", "p99.9", "0.222 ms", "part of the peak rate"],
    "scale": ["ticketd, memory:", "10,000", "workers"],
    "scale-mixes": ["everybody buys", "7.20 µs"],
    "core": ["one event", "an event for each process", "processes"],
    "sellout": ["monolith", "1.43 s, slowest round: met", "80,000 tickets"],
    "hop": ["two pools / monolith, memory:", "1.55, goal ≤ 1.6: met", "3.38"],
}


def tool():
    """tools/bench as a module: it has no ending that import would look for."""
    loader = importlib.machinery.SourceFileLoader("tools_bench", str(TOOL))
    loaded = importlib.util.module_from_spec(importlib.util.spec_from_loader("tools_bench", loader))
    with mock.patch.object(sys, "dont_write_bytecode", True):
        loader.exec_module(loaded)
    return loaded


class Pictures(unittest.TestCase):
    # Of every bench in the table something is drawn, and the fixture above holds all of them.
    def test_all(self):
        found, left_out = plots.pictures(RESULTS)
        self.assertEqual(list(found), [plot.name for plot in plots.PLOTS])
        self.assertEqual(left_out, {})

    # What the file does not hold is left out, and said; so is what a bench found nothing of.
    def test_left_out(self):
        results = {"machine": MACHINE, "scale": {"connections": {}}, "sellout": {}}
        found, left_out = plots.pictures(results)
        self.assertEqual(found, {})
        self.assertEqual(left_out["sellout"], "sellout measured none of it")
        self.assertEqual(left_out["core"], "no figures of core")
        self.assertEqual(left_out["scale-mixes"], "scale measured none of it")

    # The cheapest stands first, with the median as its length; looks do not stand among purchases.
    def test_costs(self):
        purchases, looks = plots.peers_cpu(RESULTS["peers"]).panels
        names = [bar.label for bar in purchases.bars]
        self.assertEqual(names, [peers.DURABLE_ROW, peers.FASTAPI_ROW])
        bar = purchases.bars[0]
        self.assertEqual((bar.low, bar.value, bar.high, bar.ours), (12.4, 13.4, 13.9, True))
        self.assertEqual(len(looks.bars), 2)
        self.assertFalse(looks.bars[1].ours)

    # A program that is not there is told of in the picture too.
    def test_absent_peer(self):
        notes = " ".join(plots.peers_cpu(RESULTS["peers"]).notes)
        self.assertIn("nginx + Lua + Redis", notes)

    # A goal of a ratio is met up to the goal itself, and what has none cannot miss it.
    def test_goals(self):
        cpu = {"median": 2.0, "min": 1.0, "max": 3.0}
        ratios = [{"row": "a", "to": "b", "goal": goal, "cpu": cpu} for goal in (2.0, 1.99, None)]
        panel = plots.peers_ratios({**RESULTS["peers"], "ratios": ratios}).panels[0]
        self.assertEqual([bar.met for bar in panel.bars], [True, False, True])

    # The slowest round must keep the goal of a sell-out, not the median.
    def test_slowest_round(self):
        bars = plots.sellout(RESULTS["sellout"]).panels[0].bars
        self.assertEqual([(bar.value, bar.met) for bar in bars], [(1.43, True), (1.9, False)])

    # The goal of a latency is told, where there is one.
    def test_latency_goal(self):
        goal = {"p99_ms": 2.1, "limit_ms": 1.67}
        self.assertIn("missed", " ".join(plots.latency({**RESULTS["latency"], "goal": goal}).notes))
        self.assertNotIn("missed", " ".join(plots.latency(RESULTS["latency"]).notes))

    # A point whose load was not all sent flatters, and is not drawn as the others are.
    def test_unsent(self):
        points = plots.latency(RESULTS["latency"]).panels[0].lines[0].points
        self.assertEqual([(point.y, point.whole) for point in points], [(0.7, True), (2.1, False)])

    # Whiskers are those of the rounds, in the unit of the line, where the file has the rounds.
    def test_spread(self):
        visits = [{"p50_us": p50_us, "p99_us": 9, "p999_us": 9} for p50_us in (2000, 2500)]
        rounds = [{"row": "ticketd, durable", "fraction": 0.9, "visits": visits}]
        first, second = (
            plots.latency({**RESULTS["latency"], "rounds": rounds}).panels[0].lines[0].points
        )
        self.assertEqual((first.low, first.high), (0.7, 0.7))
        self.assertEqual((second.low, second.y, second.high), (2.0, 2.1, 2.5))
        sells = {"one": {"8": [{"per_s": 8e6, "cpu_ns": 200.0}, {"per_s": 12e6, "cpu_ns": 220.0}]}}
        picture = plots.core({**RESULTS["core"], "rounds": {"sells": sells}})
        point = picture.panels[0].lines[0].points[1]
        self.assertEqual((point.low, point.y, point.high), (8.0, 10.0, 12.0))

    # One line a row, with its whiskers, against numbers and not their names: "10000" is after "64".
    def test_scale(self):
        point = plots.scale_lines(RESULTS["scale"]).panels[0].lines[0].points[1]
        self.assertEqual((point.x, point.low, point.y, point.high), (10000.0, 11.0, 12.0, 14.0))

    # Only what lies further apart than thirty to one gets a logarithmic axis; nothing is no reason.
    def test_log(self):
        self.assertFalse(plots.needs_log([1.0, 30.0, 0.0]))
        self.assertTrue(plots.needs_log([1.0, 30.1]))
        self.assertFalse(plots.needs_log([]))

    # Three digits, whatever the size.
    def test_numbers(self):
        said = [plots.number(value) for value in (0.0431, 8.169, 12.36, 153.7, 3607.9)]
        self.assertEqual(said, ["0.043", "8.17", "12.4", "154", "3,608"])

    # A file from before the disk was described is drawn too; a newer one tells of it.
    def test_small_print(self):
        self.assertNotIn("ext4", " ".join(plots.small_print(MACHINE)))
        self.assertIn("ext4", " ".join(plots.small_print({**MACHINE, "disk": "ext4 on vda"})))


class Drawn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not (ROOT / plots.PYTHON).exists():
            raise unittest.SkipTest(f"matplotlib is missing: {plots.HINT} brings it")
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.file = pathlib.Path(cls.scratch.name) / "results.json"
        cls.file.write_text(json.dumps(RESULTS), encoding="utf-8")
        cls.svgs = cls.draw("first", cls.file, seed="1")

    @classmethod
    def draw(cls, out, *files, seed):
        folder = pathlib.Path(cls.scratch.name) / out
        subprocess.run(
            [TOOL, "plot", *files, "--out", folder],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return {path.stem: path.read_bytes() for path in folder.iterdir()}

    # Well-formed, titled for those who cannot see it, small, and its rows and values are text.
    def test_contents(self):
        self.assertEqual(set(self.svgs), set(TEXTS))
        for name, svg in self.svgs.items():
            with self.subTest(name):
                tree = xml.etree.ElementTree.fromstring(svg)
                texts = "\n".join(tree.itertext())
                for text in TEXTS[name]:
                    self.assertIn(text, texts)
                picture = plots.pictures(RESULTS)[0][name]
                self.assertEqual(tree.find("{*}title").text, picture.title)
                self.assertLess(len(svg), 60_000)

    # The same figures give the same bytes, whatever Python's sets are ordered by.
    def test_repeatable(self):
        self.assertEqual(self.draw("second", self.file, seed="2"), self.svgs)

    # No picture tells where or by which version it was drawn, or holds a day but the measurement's.
    def test_nothing_foreign(self):
        for svg in self.svgs.values():
            self.assertNotIn(self.scratch.name.encode(), svg)
            self.assertNotIn(b"dc:date", svg)

    # Of two files that hold a bench the last is drawn, and what only the first holds is not lost.
    def test_several_files(self):
        other = pathlib.Path(self.scratch.name) / "other.json"
        day = {**MACHINE, "date": "2031-01-02 03:04:05 UTC"}
        other.write_text(json.dumps({"machine": day, "core": RESULTS["core"]}), encoding="utf-8")
        svgs = self.draw("both", self.file, other, seed="1")
        self.assertIn(b"2031-01-02", svgs["core"])
        self.assertEqual(svgs["hop"], self.svgs["hop"])


class Told(unittest.TestCase):
    # What is no file of ours is refused in a line, not by a traceback.
    def test_other_file(self):
        for text in ("[]", "{", '{"peers": {}}'):
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                file.write(text)
                file.flush()
                done = subprocess.run(
                    [TOOL, "plot", file.name], capture_output=True, text=True, check=False
                )
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    # The help names every bench with its line.
    def test_help(self):
        bench = tool()
        told = bench.described()
        for name, (_run, line) in bench.BENCHES.items():
            self.assertRegex(told, rf"(?m)^  {name} +{line[:1]}")
            self.assertIn(line, told)

    # --quick is brief, and what is given beside it stays.
    def test_quick(self):
        bench = tool()
        with mock.patch.object(sys, "argv", ["bench", "--quick", "--rounds", "3"]):
            chosen = bench.arguments()
        self.assertEqual((chosen.rounds, chosen.seconds), (3, 1))
        self.assertEqual(chosen.benches, ["requests"])

    # Everything that --quick sets is an option; else it would set nothing.
    def test_quick_options(self):
        bench = tool()
        with mock.patch.object(sys, "argv", ["bench"]):
            self.assertLessEqual(set(bench.QUICK), set(vars(bench.arguments())))

    # A bench that cannot measure costs none of the others; the file tells why, and so does the status.
    def test_one_fails(self):
        def fails(_bench):
            raise procs.BenchError("no wrk")

        bench = tool()
        benches = {"one": (fails, ""), "two": (lambda _bench: {"figure": 7}, "")}
        with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
            chosen = types.SimpleNamespace(
                benches=list(benches), build="", json=file.name, server_cpu=0, load_cpu=1
            )
            with (
                mock.patch.multiple(bench, BENCHES=benches, build=mock.DEFAULT),
                mock.patch.object(bench.machine, "machine", return_value=MACHINE),
                contextlib.redirect_stdout(io.StringIO()),
                self.assertRaisesRegex(procs.BenchError, "one$"),
            ):
                bench.measure(chosen)
            results = json.load(file)
        self.assertEqual(results["two"], {"figure": 7})
        self.assertEqual(results["failed"], {"one": "no wrk"})

    # A bench that does not exist ends the tool before anything is measured.
    def test_unknown(self):
        with mock.patch.object(sys, "argv", ["bench", "nonesuch"]):
            with contextlib.redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit):
                tool().arguments()
        self.assertIn("nonesuch", said.getvalue())

    # What draws today is what drew the committed pictures.
    def test_versions_are_fixed(self):
        text = (ROOT / "tests/bench/requirements.txt").read_text(encoding="utf-8")
        for line in text.splitlines():
            self.assertRegex(line, r"^#|^[\w.-]+==[\w.]+$")


class Machine(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def write(self, files):
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    # Defences that are on, holes that are open, and nothing of what the CPU does not have.
    def test_mitigations(self):
        self.write(
            {
                "meltdown": "Not affected\n",
                "spectre_v1": "Mitigation: usercopy barriers\n",
                "spec_store_bypass": "Vulnerable\n",
            }
        )
        self.assertEqual(machine.mitigations(self.folder), "spectre_v1 on; spec_store_bypass open")
        self.assertEqual(machine.mitigations(self.folder / "none"), machine.UNKNOWN)

    # A partition is told of as its disk, which has the queue and the model.
    def test_block_device(self):
        number = os.stat(self.folder).st_dev
        self.write(
            {
                "sda/queue/rotational": "1\n",
                "sda/queue/write_cache": "write back\n",
                "sda/device/model": "A Disk\n",
                "sda/sda1/partition": "1\n",
            }
        )
        link = self.folder / f"{os.major(number)}:{os.minor(number)}"
        link.symlink_to("sda/sda1")
        said = machine.block_device(self.folder, self.folder)
        self.assertEqual(said, "sda, A Disk, rotating, write back")

    # Where no device is known of, that is said.
    def test_no_block_device(self):
        said = machine.block_device(self.folder, self.folder)
        self.assertEqual(said, "no device of its own")

    # The version of one package, not of another whose name begins alike.
    def test_package_version(self):
        packages = self.folder / "lib/python3.11/site-packages"
        for name in ("fastapi-0.165.0.dist-info", "fastapi_cli-1.2.dist-info"):
            (packages / name).mkdir(parents=True)
        self.assertEqual(machine.package_version("fastapi", self.folder), "0.165.0")
        self.assertEqual(machine.package_version("uvicorn", self.folder), machine.ABSENT)

    # The numbers of a line that holds other things too.
    def test_version(self):
        self.assertEqual(machine.version_in("nginx version: nginx/1.22.1"), "1.22.1")
        self.assertEqual(machine.version_in(machine.ABSENT), machine.ABSENT)


if __name__ == "__main__":
    unittest.main()
