"""A server that runs, and what each of its pools says of itself."""

import contextlib

import harness

DOCUMENT = "/openapi.json"


class Described:
    """One pool of a server, and its document."""

    def __init__(self, server, pool):
        self.server, self.pool = server, pool
        self.address = next(address for address, name in server.addresses if name == pool)
        self.document = self.ask("GET", DOCUMENT).json()

    def ask(self, method, path, body=None, headers=()):
        with harness.Client(self.address) as client:
            return client.ask(method, path, body, headers)


@contextlib.contextmanager
def running():
    """A server of which some calls come from the one origin that it lists, and others from none such."""
    server = harness.Server(INITIAL_STOCK=2147483647, CORS_ALLOW_ORIGINS="https://tickets.example")
    try:
        yield server
        server.stop()
    finally:
        server.discard()
