#!/usr/bin/env python3
"""What grows, by how much, and with what load: the parts of tools/bench scale, and driving wrk.

Called with the directory of the floors' executables."""

import os
import pathlib
import re
import shutil
import sys
import tempfile
import types
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench import load, procs, scale, visit  # noqa: E402
from bench.client import Request  # noqa: E402
from bench.targets import (  # noqa: E402
    AVAILABLE,
    PURCHASE,
    SERVERS,
    describe,
    describe_files,
    running,
    ticketd,
)

FLOORS = pathlib.Path(os.environ.get("FLOORS", "build/tests/bench"))
PLENTY = 1_000_000


def found(cpu_us, **others):
    """A visit's figures."""
    keys = ("rps", "p50_us", "p99_us", "p999_us", "pss_kib", "server_busy", "foreign_cpus")
    return {**dict.fromkeys(keys, 1), "errors": 0, "refused": 0, "cpu_us": cpu_us, **others}


class BenchCase(unittest.TestCase):
    def bench(self, **others):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        return types.SimpleNamespace(
            build=str(FLOORS.parent.parent),
            scratch=os.path.realpath(scratch.name),
            server_cpu=min(os.sched_getaffinity(0)),
            load_cpu=max(os.sched_getaffinity(0)),
            rounds=2,
            **others,
        )


class Cases(BenchCase):
    # Every row is measured at every number of connections, with the same limit at each of them.
    def test_connections(self):
        cases, left_out = scale.connection_cases(PLENTY)
        self.assertEqual(left_out, {})
        for row in dict.fromkeys(case.row for case in cases):
            each = [case for case in cases if case.row == row]
            self.assertEqual([case.connections for case in each], list(scale.CONNECTIONS))
            self.assertEqual(len({id(case.server) for case in each}), 1)
        rooms = [case.server.environment.get("MAX_CONNECTIONS") for case in cases]
        self.assertGreaterEqual(int(rooms[0]), scale.MANY)

    # What a machine has no descriptors for is left out with its reason, and nothing else.
    def test_too_few_descriptors(self):
        cases, left_out = scale.connection_cases(scale.MANY)
        self.assertEqual(max(case.connections for case in cases), scale.CONNECTIONS[-2])
        self.assertEqual(list(left_out), [f"{scale.MANY} connections"])
        self.assertIn(str(scale.DESCRIPTORS), left_out[f"{scale.MANY} connections"])

    # Several workers get all cores but the load's, or are left to the scheduler where that is one.
    def test_places_of_workers(self):
        server = scale.worker_cases()[0].server
        bench = types.SimpleNamespace(server_cpu=0, load_cpu=3)
        with mock.patch.object(os, "sched_getaffinity", return_value={0, 1, 2, 3}):
            self.assertEqual(server.cpus(bench), {0, 1, 2})
            self.assertEqual(ticketd().cpus(bench), {0})
        with mock.patch.object(os, "sched_getaffinity", return_value={0, 3}):
            self.assertIsNone(server.cpus(bench))
            self.assertEqual(ticketd().cpus(bench), {0})

    # Only the sold-out stock is one ticket, of nginx as of ticketd; one in ten of the mixed buys.
    def test_mixes(self):
        for case in scale.mix_cases():
            told = [
                *describe(case.server, self.bench()),
                *describe_files(case.server, self.bench()),
            ]
            stocks = re.findall(r'(?:initial-stock |set\("default", )(\d+)', "\n".join(told))
            self.assertEqual(len(stocks), 1)
            self.assertEqual(stocks == ["1"], case.point == "sold out", (case.row, case.point))
        self.assertEqual((scale.READERS.count(AVAILABLE), scale.READERS.count(PURCHASE)), (9, 1))

    # The two ledgers are served under the same settings, so that only their sales differ.
    def test_ledgers(self):
        fresh, filled = (case.server for case in scale.ledger_cases("/some/ledger.db", 1000))
        self.assertEqual(filled.environment["LEDGER_URL"], "sqlite:/some/ledger.db")
        self.assertEqual(
            {**fresh.environment, "LEDGER_URL": ""}, {**filled.environment, "LEDGER_URL": ""}
        )
        self.assertGreater(int(fresh.environment["IDEMPOTENCY_KEYS_MAX"]), 1000)


class Figures(BenchCase):
    # A side is compared with the other of its own round; without both there is no figure.
    def test_growth(self):
        many, few = (
            ("connections", scale.DURABLE_ROW, str(count)) for count in (scale.MANY, scale.FEW)
        )
        rounds = {many: [found(3), found(8)], few: [found(2), found(4)]}
        (name, (ratios, goal)), *others = scale.growths_of(rounds).items()
        self.assertIn(scale.DURABLE_ROW, name)
        self.assertEqual((ratios, goal, others), ([1.5, 2], scale.GROWTH_GOAL, []))
        del rounds[few]
        self.assertEqual(scale.growths_of(rounds), {})

    # Medians, and the extremes of what a request costs; nothing that went wrong is lost.
    def test_figures(self):
        visits = [found(1, refused=2), found(9, errors=3), found(2)]
        each = scale.figures_of(visits)
        self.assertEqual([each[key] for key in ("cpu_us", "cpu_us_min", "cpu_us_max")], [2, 1, 9])
        self.assertEqual(each["wrong"], 5)

    # The shape that others draw from: by row and point, the mixes the other way round.
    def test_shape(self):
        keys = [("connections", "a", "64"), ("workers", "a", "2"), ("mixes", "a", "hot")]
        keys += [("ledger", "a", "fresh"), ("ledger", "a", "filled")]
        shape = scale.nested({key: [found(number)] for number, key in enumerate(keys)})
        self.assertEqual(shape["connections"]["a"]["64"]["cpu_us"], 0)
        self.assertEqual(shape["workers"]["a"]["2"]["cpu_us"], 1)
        self.assertEqual(shape["mixes"]["hot"]["a"]["cpu_us"], 2)
        self.assertEqual(shape["ledger"]["filled"]["cpu_us"], 4)

    # A case that cannot be measured here ends alone, with its reason, and the others go on.
    def test_case_that_fails(self):
        cases = [*scale.worker_cases()[:2]]

        def measure(case, _bench):
            if case is cases[0]:
                raise procs.BenchError("why")
            return found(1)

        left_out = {}
        with mock.patch.multiple(scale, say=mock.DEFAULT, _measure=measure):
            rounds = scale._run(cases, self.bench(), left_out)
        self.assertEqual(list(left_out.values()), ["why"])
        self.assertEqual([len(visits) for visits in rounds.values()], [2])


class SoldOut(BenchCase):
    # Refusals are measured only of a server that refuses, and sales only of one that sells.
    def test_sample(self):
        with running(ticketd(stock=1), self.bench()) as server:
            visit._sample(server.port, visit.Load(PURCHASE, sold_out=True))
            with self.assertRaises(procs.BenchError):
                visit._sample(server.port, visit.Load(PURCHASE))
        with running(ticketd(stock=9), self.bench()) as server:
            visit._sample(server.port, visit.Load(PURCHASE))
            with self.assertRaises(procs.BenchError):
                visit._sample(server.port, visit.Load(PURCHASE, sold_out=True))


@unittest.skipUnless(shutil.which("wrk"), "wrk is missing")
class Driving(BenchCase):
    CONNECTIONS = 8

    def drive(self, request, count):
        """What had been sent when it was at least so many, and what wrk found in the end."""
        with running(SERVERS["epoll"], self.bench()) as server:
            with load.Driving(server.port, request, None, self.CONNECTIONS) as wrk:
                while (sent := wrk.sent()) < count:
                    pass
                return sent, wrk.end(strict=False)

    # Requests are counted as they go, each once: at most those without an answer yet are open.
    def test_sent(self):
        sent, result = self.drive(PURCHASE, 1000)
        self.assertLessEqual(sent, result["requests"] + self.CONNECTIONS)
        self.assertEqual((result["errors"], result["refused"]), (0, 0))

    # Requests in rotation are sent as often as each other.
    def test_rotation(self):
        _sent, result = self.drive((PURCHASE, Request("GET", "/no/such")), 1000)
        self.assertLessEqual(
            abs(result["requests"] - 2 * result["refused"]), 2 * self.CONNECTIONS + 1
        )

    # A load that cannot be had is an error, and leaves nothing behind.
    def test_no_server(self):
        with mock.patch.object(load, "OPENING_S", 0.2):
            driving = load.Driving(procs.free_port(), PURCHASE, None, self.CONNECTIONS)
            with self.assertRaises(procs.BenchError), driving:
                self.fail("there is nobody to connect to")
        self.assertEqual(driving.started.processes, [])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        FLOORS = pathlib.Path(sys.argv.pop(1))
    unittest.main()
