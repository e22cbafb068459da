"""What others make of a hop: nginx in front of nginx, and h2o in front of ticketd.

Each has one worker, keeps its connections on both sides, and logs no requests."""

import dataclasses

from . import procs
from .targets import PURCHASE, READY, Server, ticketd

PROGRAMS = ("nginx", "h2o")
# As long as ticketd's.
SOLD = (
    '{"success":true,"remaining":1999999998,"message":"Purchase successful!",'
    '"order_id":"00000000-0000-8006-8f64-2c1d9a7be310"}'
)
NGINX_CONF = """\
worker_processes 1;
daemon off;
pid "{scratch}/{name}.pid";
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  keepalive_requests {endless};
{temporary}
{upstream}
  server {{
    listen 127.0.0.1:{port};
{locations}
  }}
}}
"""
ENDLESS = 1_000_000_000  # requests after which nginx closes a connection that is to be kept
# Folders that it wants to make wherever it was told to when it was built.
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
FIXED = f"""\
    location = {READY.path} {{ return 200 '{{}}'; }}
    location = {PURCHASE.path} {{ return 200 '{SOLD}'; }}"""
UPSTREAM = """\
  upstream backend {{
    server 127.0.0.1:{port};
    keepalive 64;
    keepalive_requests {endless};
  }}"""
FORWARDED = """\
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }"""
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


def _nginx_file(place, name, port, locations, upstream=""):
    temporary = "\n".join(
        f'  {kind}_temp_path "{place.scratch}/{name}-{kind}";' for kind in TEMPORARY
    )
    return NGINX_CONF.format(
        scratch=place.scratch,
        name=name,
        endless=ENDLESS,
        temporary=temporary,
        upstream=upstream,
        port=port,
        locations=locations,
    )


def _nginx_command(place, name):
    # Its log, before it has read the file that says where it goes: not where it was built to.
    return [procs.program("nginx"), "-e", "stderr", "-c", f"{place.scratch}/{name}.conf"]


NGINX = Server(
    name="nginx, a fixed answer",
    commands=lambda place: [_nginx_command(place, "nginx")],
    needs=("nginx",),
    ready_path=READY.path,
    files=lambda place: {"nginx.conf": _nginx_file(place, "nginx", place.port(), FIXED)},
)


def _chain_files(place):
    backend = place.port("backend")
    return {
        "backend.conf": _nginx_file(place, "backend", backend, FIXED),
        "proxy.conf": _nginx_file(
            place,
            "proxy",
            place.port(),
            FORWARDED,
            UPSTREAM.format(port=backend, endless=ENDLESS),
        ),
    }


NGINX_CHAIN = Server(
    name="nginx in front of nginx",
    commands=lambda place: [_nginx_command(place, name) for name in ("backend", "proxy")],
    needs=("nginx",),
    ready_path=READY.path,
    files=_chain_files,
)


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
