"""/docs and /redoc, in a browser, of the real server."""

import json
import urllib.request

import pytest

import harness
from prefix import Prefix

METHODS = ("get", "post")
# What a page says in a build without npm.
WITHOUT = "This ticketd was built without npm"


@pytest.fixture(autouse=True)
def has_pages(request, server):
    if "without_pages" not in request.fixturenames and WITHOUT in server.ask("GET", "/docs").body.decode():
        pytest.skip("this build has no pages: npm was not found, or not wanted, or failed")


def document(url):
    """What the process says of itself."""
    with urllib.request.urlopen(f"{url}/openapi.json", timeout=harness.DEADLINE_S) as answer:
        return json.load(answer)


def operations(url):
    return [(method, path, operation) for path, item in document(url)["paths"].items()
            for method, operation in item.items() if method in METHODS]


def try_out(browser, page, path):
    """Has the page send a sale with what it suggests, and returns the answer that it shows."""
    browser.open(page)
    browser.click(f".opblock-post .opblock-summary-path[data-path='{path}']")
    browser.click(".opblock.is-open .try-out__btn", "Try it out")
    browser.click(".opblock.is-open .execute")
    status = browser.read(".live-responses-table tbody .response-col_status")
    assert status.startswith("200"), browser.text()
    return json.loads(browser.read(".live-responses-table .microlight"))


def assert_sold(server, before, answer):
    """The page tells of an order that the ledger has, and nothing else was sold."""
    order = server.ask("GET", f"/api/v1/orders/{answer['order_id']}").json()
    assert answer["success"] and order["status"] == "confirmed"
    assert server.available() == answer["remaining"] == before - order["qty"]


# /docs shows every call that this very process serves, and no other, without asking anybody else.
def test_docs_shows(browser, pool):
    url, _ = pool
    browser.open(f"{url}/docs")
    browser.find(".opblock")
    shown = browser.script("""return Array.from(document.querySelectorAll(".opblock"), (block) => [
        block.querySelector(".opblock-summary-method").textContent.toLowerCase(),
        block.querySelector(".opblock-summary-path").dataset.path])""")
    assert sorted(shown) == sorted([method, path] for method, path, _ in operations(url))
    browser.screenshot(f"docs-{harness.MODE}")


# "Try it out" sells, with what the page suggests, without a line written by hand; and each visit has a key of its
# own: a visitor neither repeats another's sale nor is told of it.
def test_docs_sells(browser, server, pool):
    url, path = pool
    orders = set()
    for _ in range(2):
        before, answer = server.available(), try_out(browser, f"{url}/docs", path)
        assert_sold(server, before, answer)
        orders.add(answer["order_id"])
        browser.screenshot(f"docs-sold-{harness.MODE}")
        browser.open("about:blank")
    assert len(orders) == 2


# The page is of this host, so that it may sell where other origins may not.
def test_docs_origins(browser, start):
    server = start(CORS_ALLOW_ORIGINS="https://shop.example")
    before = server.available()
    assert_sold(server, before, try_out(browser, f"{server.ticket_url}/docs", harness.PURCHASE))


# Redoc tells of every call that this very process serves.
def test_redoc_shows(browser, pool):
    url, _ = pool
    browser.open(f"{url}/redoc")
    for _, path, operation in operations(url):
        browser.find("h2", operation["summary"])
        assert browser.script("return document.body.textContent.includes(arguments[0])", path)
    browser.screenshot(f"redoc-{harness.MODE}")


# Behind a proxy that puts the server below a prefix both pages work, and sell.
def test_below_prefix(browser, server):
    proxy = Prefix(server.ticket_address)
    try:
        before = server.available()
        assert_sold(server, before, try_out(browser, f"{proxy.url}/docs", harness.PURCHASE))
        browser.open(f"{proxy.url}/redoc")
        browser.find("h2", "Buy tickets.")
        assert all(url.startswith(proxy.url + "/") for url in browser.asked())
    finally:
        proxy.close()


# A build without npm says so where the page would be, and leads to the document.
@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_without_pages(browser, without_pages, page):
    server = without_pages()
    browser.open(f"{server.ticket_url}/{page}")
    browser.find("h1", WITHOUT)
    browser.screenshot("without-pages")
    link = browser.find("a", "openapi.json")
    assert link.get_property("href") == f"{server.ticket_url}/openapi.json"
    assert document(server.ticket_url)["openapi"].startswith("3.1.")
