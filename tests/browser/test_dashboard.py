"""/dashboard, in a browser, of the real server, while buyers buy."""

import json
import os
import signal
import sqlite3
from pathlib import Path

import pytest

import harness
from buyers import buying
from harness import PURCHASE, STOCK_POOL, eventually

LIVE = "#connection"
# Layout that moves under the reader's eyes: good is below 0.1 (web.dev, Cumulative Layout Shift).
SHIFT_MAX = 0.02
AXE = os.environ.get("TICKETD_AXE", "")
HAS_AXE = os.path.exists(AXE)


@pytest.fixture
def has_plots(server):
    if "/uplot-" not in server.ask("GET", "/dashboard").body.decode():
        pytest.skip("this build has no plots: npm was not found, or not wanted, or failed")


@pytest.fixture
def page(browser, request):
    """The browser, which leaves the page before a server that was started for the test ends."""
    if "start" in request.fixturenames:
        request.getfixturevalue("start")
    yield browser
    browser.open("about:blank")


def url_of(server, pool=STOCK_POOL):
    return f"{server._address_of(pool).url}/dashboard"


def open_live(browser, url):
    browser.open(url)
    browser.find(LIVE, "Live")
    # the second look is the first that tells rates
    eventually(lambda: figure(browser, "rate.sales") is not None, "rates are shown")


def figure(browser, path):
    """A number on the page; None where there is none to show."""
    text = browser.script("return document.querySelector(`[data-figure='${arguments[0]}']`).textContent", path)
    return None if text == "–" else float(text.replace(",", ""))


def samples(browser):
    return browser.script("return document.querySelectorAll('.plot')[0].getAttribute('aria-valuemax')")


def orders(server):
    """What is in the ledger, by somebody else's reading."""
    with sqlite3.connect(f"file:{server.directory}/var/ledger.db?mode=ro", uri=True) as ledger:
        return ledger.execute("SELECT count(*), coalesce(sum(quantity), 0) FROM orders").fetchone()


def forgive_lost(browser):
    """A browser notes each connection that it did not get; those are what the test is about."""
    others = [text for text in browser.complaints() if "ERR_CONNECTION_REFUSED" not in text and
              "ERR_INCOMPLETE_CHUNKED_ENCODING" not in text and "ERR_CONNECTION_RESET" not in text]
    assert not others, others
    browser.forget()


# While buyers buy the page shows the stock draining and the rates; at the end it agrees with what clients
# are told and with the ledger, and it says that nothing is left.  It weighs little and does not jump.
@pytest.mark.usefixtures("has_plots")
def test_sale(page, start):
    server = start(INITIAL_STOCK=100000, DRAIN_IDLE_TIMEOUT=0)
    open_live(page, url_of(server))
    with buying(server):
        eventually(lambda: (figure(page, "rate.sales") or 0) > 0, "sales are shown")
        before = figure(page, "stock.available")
        eventually(lambda: figure(page, "stock.available") < before, "the stock drains")
        assert page.find("[data-figure='latency.sales.p99']").text.split()[1] in ("µs", "ms", "s")
        eventually(lambda: int(samples(page)) >= 4, "there is something to plot")
        undisturbed = page.script("return performance.now()")
        page.screenshot(f"dashboard-sale-{harness.MODE}", whole=True)
    answer = server.ask("POST", PURCHASE, {"qty": server.available()})
    assert answer.json()["success"], answer
    page.find("#sale-state", "Sold out")
    refused = server.ask("POST", PURCHASE, {"qty": 1})
    assert not refused.json()["success"]
    eventually(lambda: figure(page, "rate.sales") == 0, "nothing is sold any more")
    count, tickets = orders(server)
    assert (server.available(), tickets) == (0, 100000)
    # The figures are of a moment ago.
    shown = [("stock.available", 0), ("stock.sold", tickets), ("total.sales", count)]
    eventually(lambda: all(figure(page, name) == value for name, value in shown), f"the page shows {shown}")
    page.screenshot(f"dashboard-sold-out-{harness.MODE}", whole=True)
    measure(page, undisturbed)


def measure(browser, until):
    """Prints what the page weighs and how fast it is; and until then, before any screenshot gave it another
    size, it has not moved under the reader's eyes."""
    told = browser.script("""
        const loaded = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
            .filter((entry) => !entry.name.endsWith('/stream'));
        return {
            bytes: loaded.reduce((sum, entry) => sum + entry.transferSize, 0),
            files: loaded.length,
            unpacked: loaded.reduce((sum, entry) => sum + entry.decodedBodySize, 0),
            first: performance.getEntriesByName('first-look')[0].startTime,
            plotted: performance.getEntriesByName('first-plot')[0].startTime,
        };""")
    shifts = browser.driver.execute_async_script("""
        const [until, done] = arguments;
        const shifts = [];
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries().filter((entry) => entry.startTime < until))
                shifts.push([entry.value, entry.sources.map(({node}) => node?.parentElement?.outerHTML.slice(0, 100))]);
        }).observe({type: 'layout-shift', buffered: true});
        setTimeout(() => done(shifts), 100);""", until)
    shift = sum(value for value, _ in shifts)
    print(f"page: {told['bytes']} bytes sent in {told['files']} answers ({told['unpacked']} unpacked), first figures "
          f"after {told['first']:.0f} ms, first line of a plot after {told['plotted']:.0f} ms, layout shift {shift:.4f}")
    assert shift <= SHIFT_MAX, shifts


# A reload of the server, and its restart, are shown and got over without a hand.
@pytest.mark.usefixtures("has_plots")
def test_comes_back(page, start):
    server = start(DRAIN_IDLE_TIMEOUT=0)
    open_live(page, url_of(server))
    page.script("window.same = true")
    old = server.workers()
    server.send_signal(signal.SIGHUP)
    server.wait_workers(2, without=old)
    server.ask("POST", PURCHASE, {"qty": 5})
    eventually(lambda: figure(page, "stock.sold") == 5, "the page goes on after a reload")

    ports = server.ports()
    server.stop()
    page.find(LIVE, "Connection lost, trying again")
    page.screenshot(f"dashboard-lost-{harness.MODE}", whole=True)
    check_accessible(page)
    again = start(INITIAL_STOCK=77, DRAIN_IDLE_TIMEOUT=0, **ports)
    page.find(LIVE, "Live")
    eventually(lambda: figure(page, "stock.available") == again.available() == 77, "it shows the new server")
    assert page.script("return window.same"), "the page was loaded anew"
    forgive_lost(page)


# Nobody is told who does not look: with the page hidden or paused its stream is closed, and comes back.
@pytest.mark.usefixtures("has_plots")
def test_pause(page, server):
    open_live(page, url_of(server))
    streams = lambda: len([url for url in page.asked() if url.endswith("/dashboard/stream")])
    page.click("#pause", "Pause")
    page.find(LIVE, "Paused")
    sold = figure(page, "stock.sold")
    server.ask("POST", PURCHASE, {"qty": 3})
    harness.stays(lambda: figure(page, "stock.sold") == sold, "paused", 1.5)
    page.click("#pause", "Resume")
    eventually(lambda: figure(page, "stock.sold") == sold + 3, "it goes on")

    hide = """Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));"""
    before = streams()
    page.script(hide, True)
    page.find(LIVE, "Paused")
    page.script(hide, False)
    page.find(LIVE, "Live")
    assert streams() == before + 1


def check_accessible(browser):
    """What axe-core finds wrong by the rules of WCAG 2.2 AA and good practice: nothing."""
    if not HAS_AXE:
        return
    browser.script(Path(AXE).read_text(encoding="utf-8"))
    found = browser.driver.execute_async_script("""
        const done = arguments[0];
        axe.run(document, {resultTypes: ['violations']}).then(
            (result) => done(result.violations.map((rule) => [rule.id, rule.help, rule.nodes.map((node) => node.html)])),
            (error) => done(String(error)));""")
    assert found == [], json.dumps(found, indent=1)


# No violation that a checker can find, in both themes, on a desktop and on a phone, where nothing is cut off.
@pytest.mark.usefixtures("has_plots")
@pytest.mark.skipif(not HAS_AXE, reason="axe-core was not to be had from npm")
@pytest.mark.parametrize("size", [(1280, 900), (360, 740)], ids=["desktop", "phone"])
def test_accessible(page, server, size):
    try:
        page.resize(*size, mobile=size[0] < 500)
        for pool in harness.POOLS:
            open_live(page, url_of(server, pool))
            for theme in "light", "dark":
                page.prefer(color_scheme=theme, reduced_motion="reduce")
                check_accessible(page)
                assert page.script("return document.documentElement.scrollWidth") <= size[0]
                page.screenshot(f"dashboard-{pool}-{theme}-{size[0]}", whole=True)
    finally:
        page.resize(1280, 900)


# Each plot can be read by keyboard, second by second, and says so to who does not see it.
@pytest.mark.usefixtures("has_plots")
def test_keyboard(page, server):
    open_live(page, url_of(server))
    eventually(lambda: int(samples(page)) >= 2, "there are seconds to go through")
    plot = page.find(".plot")
    assert plot.get_attribute("role") == "slider" and "Tickets available" in plot.accessible_name
    page.script("arguments[0].focus()", plot)
    plot.send_keys("\ue011")  # Home
    assert plot.get_attribute("aria-valuenow") == "0"
    first = page.find("figcaption").text
    assert first == plot.get_attribute("aria-valuetext") and "available " in first
    plot.send_keys("\ue014")  # right
    assert page.find("figcaption").text != first
    plot.send_keys("\ue00c")  # Escape
    assert page.find("figcaption").text == "tickets"


if harness.MICROSERVICES:
    # A ticket pool, which has no stock, says so, and shows its own sales and its way to the vacancy pool.
    def test_without_stock(page, server):
        open_live(page, url_of(server, "ticket"))
        page.find("section", "This pool has no stock")
        page.find("#hop-state", "reachable")
        assert not page.all("#sale-state")[0].is_displayed()
        before = figure(page, "total.sales")
        server.ask("POST", PURCHASE, {"qty": 2})
        eventually(lambda: figure(page, "total.sales") == before + 1, "a sale is counted")


# Without npm there are the figures, and the page says why there are no plots.
def test_without_plots(page, without_pages):
    server = without_pages(DRAIN_IDLE_TIMEOUT=0)
    open_live(page, url_of(server))
    page.find("figcaption", "no plots in it")
    server.ask("POST", PURCHASE, {"qty": 2})
    eventually(lambda: figure(page, "stock.sold") == 2, "figures are shown")
