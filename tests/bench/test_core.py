#!/usr/bin/env python3
"""The bench of the core: that its program sells, drains and keeps what it says, and that the
figures made of it are right.

Called with the directory of the program and with ticketctl."""

import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import core, instructions, procs  # noqa: E402

PROGRAM = pathlib.Path(os.environ.get("CORE_SCALING", "build/tests/bench/core-scaling")).resolve()
TICKETCTL = pathlib.Path(os.environ.get("TICKETCTL", "build/ticketctl")).resolve()
TIMES_MS = (5, 20)
TIMEOUT_S = 60
CAPACITY = 2**31 - 1


def scaling(*arguments):
    command = [str(PROGRAM), *(str(word) for word in arguments)]
    return core.parse(procs.run(command, TIMEOUT_S))


class Selling(unittest.TestCase):
    def check(self, processes, way):
        found = scaling("sell", processes, way, *TIMES_MS)
        self.assertGreater(found["sold"], 0)
        self.assertGreaterEqual(found["sold"], found["counted"])
        for name in ("taken", "published", "drained"):
            self.assertEqual(found[name], found["sold"], name)
        self.assertEqual(found["sellers"], processes)

    # What sellers count, the stock and the consumer agree, on however many events they sell.
    def test_counts_add_up(self):
        for processes in (1, 3):
            for way in ("one", "own", "random"):
                with self.subTest(processes=processes, way=way):
                    self.check(processes, way)

    # Laps alone sell what was asked for, and the consumer gets all of it.
    def test_alone(self):
        found = scaling("alone", 3)
        self.assertEqual(found["sold"], 3 * found["lap_sales"])
        self.assertEqual(found["drained"], found["sold"])
        self.assertLessEqual(found["least_lap_ns"] * 3, found["cpu_ns"])

    # A journal that has room for all is filled by exactly so many sales.
    def test_fill(self):
        self.assertEqual(scaling("fill", 1234)["sold"], 1234)

    # What it is not meant for it refuses in one line, and starts nothing.
    def test_refusals(self):
        for arguments in (("sell", 0, "one", 5, 5), ("sell", 1, "two", 5, 5), ("sell",), ()):
            with self.subTest(arguments=arguments):
                with self.assertRaises(procs.CommandError) as refusal:
                    scaling(*arguments)
                said = str(refusal.exception).splitlines()
                self.assertEqual(len(said), 2, said)


class Keeping(unittest.TestCase):
    def keep(self, url, kind):
        found = scaling("keep", url, kind, *TIMES_MS)
        self.assertGreater(found["sold"], 0)
        for name in ("taken", "published", "kept"):
            self.assertEqual(found[name], found["sold"], name)
        return found

    # The ledger has exactly the sales that were made, keys and all, synced, and audit agrees.
    def test_ledger_has_what_was_sold(self):
        for kind in ("plain", "keyed"):
            with self.subTest(kind=kind), tempfile.TemporaryDirectory() as folder:
                path = f"{folder}/ledger.db"
                sold = self.keep(f"sqlite:{path}", kind)["sold"]
                with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as ledger:
                    [(entries, tickets, keys)] = ledger.execute(
                        "SELECT count(*), sum(quantity), count(DISTINCT key) FROM entries"
                        " WHERE kind = 1"
                    )
                    [(left,)] = ledger.execute("SELECT available FROM events")
                ledger.close()
                self.assertEqual((entries, tickets), (sold, sold))
                self.assertEqual(keys, sold if kind == "keyed" else 0)
                self.assertEqual(left, CAPACITY - sold)
                audit = subprocess.run(
                    [TICKETCTL, "--ledger-url", f"sqlite:{path}", "audit"],
                    capture_output=True,
                    text=True,
                    timeout=TIMEOUT_S,
                    check=False,
                )
                self.assertEqual(audit.returncode, 0, audit.stdout + audit.stderr)

    # In memory the keeper takes all of it too, and syncs nothing.
    def test_memory(self):
        for kind in ("plain", "keyed"):
            with self.subTest(kind=kind):
                self.assertEqual(self.keep("memory:", kind)["syncs"], 0)

    # The syncs of SQLite's library are counted: the new event's, and a batch's at least.
    def test_syncs_are_counted(self):
        with tempfile.TemporaryDirectory() as folder:
            found = self.keep(f"sqlite:{folder}/ledger.db", "plain")
        self.assertGreaterEqual(found["syncs_all"], 2)

    # A ledger that is there already is another one's: it is left as it is.
    def test_refuses_a_ledger_that_is_there(self):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:{folder}/ledger.db"
            self.keep(url, "plain")
            before = pathlib.Path(f"{folder}/ledger.db").read_bytes()
            with self.assertRaises(procs.CommandError):
                self.keep(url, "plain")
            self.assertEqual(pathlib.Path(f"{folder}/ledger.db").read_bytes(), before)


class Ending(unittest.TestCase):
    def assert_end(self, pids, deadline):
        while left := [pid for pid in pids if "core-scaling" in procs.title(pid)]:
            if time.monotonic() > deadline:
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                self.fail(f"{left} live on")

    # When the program is killed outright, so are all that it forked.
    def test_children_end_with_it(self):
        command = [PROGRAM, "sell", "3", "one", "5", "600000"]
        with subprocess.Popen(command) as program:
            try:
                deadline = time.monotonic() + TIMEOUT_S
                while len(children := procs.tree(program.pid)[1:]) < 4:
                    self.assertLess(time.monotonic(), deadline)
            finally:
                program.kill()
            program.wait()
            self.assert_end(children, deadline)


class Figures(unittest.TestCase):
    # The last line is found among others; without it the bench says so.
    def test_parse(self):
        found = core.parse("a line\ncore-scaling sold=3 taken=4\n")
        self.assertEqual(found, {"sold": 3, "taken": 4})
        with self.assertRaises(procs.BenchError):
            core.parse("nothing of it\n")

    # Counts that differ are no figures.
    def test_disagreement_is_told(self):
        core._agree({"sold": 1, "taken": 1}, "taken")
        with self.assertRaises(procs.BenchError):
            core._agree({"sold": 1, "taken": 2}, "taken")

    # Ratios are taken within a round, not between medians.
    def test_ratios(self):
        def visits(*costs):
            return [{"cpu_ns": cost} for cost in costs]

        rounds = {
            "one": {1: visits(10, 20), 2: visits(30, 20)},
            "many": {1: visits(10, 20), 2: visits(15, 20)},
            "random": {1: visits(10, 20), 2: visits(10, 10)},
        }
        self.assertEqual(
            core.ratios_of(rounds),
            {
                "to 1 process": {"2": [3, 1]},
                "one event to an event each": {"2": [2, 1]},
                "one event to 64 events at random": {"2": [3, 2]},
            },
        )

    # The keeper's row for both pools stands beside the rows, each with the spread of its rounds.
    def test_keeper_rows(self):
        rounds = {
            row: [{"entries_per_s": 1.0 * n, "cpu_us": n}, {"entries_per_s": 3.0 * n, "cpu_us": n}]
            for n, row in enumerate(core.KEEPERS, 1)
        }
        found = core.keeper_of(rounds)
        self.assertEqual(found["row"], core.HEADLINE)
        self.assertEqual(found["entries_per_s"], 8)
        row = found["rows"]["memory:, keyed"]
        self.assertEqual((row["entries_per_s_min"], row["entries_per_s_max"]), (2, 6))

    # A visit of the keeper has the figures that are read of it, and leaves no ledger behind.
    def test_visit(self):
        with tempfile.TemporaryDirectory() as folder:
            cpu = min(os.sched_getaffinity(0))
            bench = types.SimpleNamespace(
                build=PROGRAM.parents[2],
                scratch=folder,
                warmup_s=0,
                seconds=1,
                server_cpu=cpu,
                load_cpu=cpu,
            )
            kept = core.keep(bench, core.HEADLINE)
            self.assertEqual(os.listdir(folder), [])
        self.assertGreater(kept["bytes_per_entry"], 16 + 8)  # a key and a token at the least
        self.assertLessEqual({"entries_per_s", "cpu_us", "batch", "syncs_per_s"}, set(kept))


class Counting(unittest.TestCase):
    # perf's lines of one event are not taken for those of another.
    def test_perf_events(self):
        output = "100,,instructions,1,100\n250,,cycles,1,100\n7,,instructions:u,1,100\n"
        self.assertEqual(instructions.parse_perf(output), 107)
        self.assertEqual(instructions.parse_perf(output, "cycles"), 250)
        self.assertIsNone(instructions.parse_perf("<not supported>,,cycles,0,100\n", "cycles"))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        PROGRAM = (pathlib.Path(sys.argv.pop(1)) / "core-scaling").resolve()
        TICKETCTL = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
