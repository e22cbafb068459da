"""What others make of a hop: nginx in front of nginx, and h2o in front of ticketd.

Each has one worker, keeps its connections on both sides, and logs no requests."""

import dataclasses

from . import procs
from .peers.servers import nginx, nginx_chain
from .targets import ticketd

PROGRAMS = ("h2o",)
H2O_CONF = """\
num-threads: 1
max-connections: 4096
listen: {{host: 127.0.0.1, port: {port}}}
hosts:
  default:
    paths:
      "/":
        proxy.reverse.url: "http://127.0.0.1:{backend_port}/"
        proxy.timeout.keepalive: 60000
"""


NGINX = nginx("nginx, a fixed answer", "nginx-fixed")
NGINX_CHAIN = nginx_chain("nginx in front of nginx", "nginx-fixed")


class _Behind:
    """A server's place where the port that the load goes to is another's."""

    def __init__(self, place):
        self.build, self.scratch = place.build, place.scratch
        self.port = lambda name="public": place.port("backend" if name == "public" else name)


def h2o_in_front(backend=None):
    """h2o as a reverse proxy, by default of the monolith that keeps its sales in memory."""
    backend = backend or ticketd()
    return dataclasses.replace(
        backend,
        name=f"h2o in front of {backend.name}",
        commands=lambda place: [
            *backend.commands(_Behind(place)),
            [procs.program("h2o"), "-c", f"{place.scratch}/h2o.conf"],
        ],
        needs=(*backend.needs, "h2o"),
        files=lambda place: {
            "h2o.conf": H2O_CONF.format(port=place.port(), backend_port=place.port("backend"))
        },
    )
