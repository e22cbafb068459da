"""The peers as servers: each a folder of configuration beside this file, in which @…@ is filled in.

Their programs are not the machine's: tools/install-dependencies puts them into build-tools/, where
nothing else uses or starts them."""

import pathlib
import re

from ..targets import AVAILABLE, READY, STOCK, Server

HERE = pathlib.Path(__file__).resolve().parent
# From the root of the tree, where tools/bench runs: what it prints names no place of a machine.
FOLDER = "tests/bench/peers"
PROGRAMS = "build-tools/peers"
NGINX = f"{PROGRAMS}/usr/sbin/nginx"
REDIS = f"{PROGRAMS}/usr/bin/redis-server"
UVICORN = "build-tools/peers-venv/bin/uvicorn"
# What ticketd's answers carry and is always the same: uvicorn adds it most cheaply, and FastAPI's
# own CORSMiddleware nothing to a request that names no origin, as wrk's.
HEAD = (
    "Connection:keep-alive",
    "Access-Control-Allow-Origin:*",
    "Access-Control-Expose-Headers:X-Request-ID, Retry-After, Idempotent-Replayed, "
    "Idempotency-Key, ETag",
)
# As long as ticketd's.
SOLD = (
    '{"success":true,"remaining":1999999998,"message":"Purchase successful!",'
    '"order_id":"00000000-0000-8006-8f64-2c1d9a7be310"}'
)


def _multiarch():
    """The folder of libraries, which Debian names after the machine's kind."""
    found = (HERE.parents[2] / PROGRAMS).glob("usr/lib/*-linux-*")
    return next((path.name for path in found), "none")


def fill(file, /, **values):
    """The text of a file of this folder without its comments, and with what it leaves open."""
    lines = (HERE / file).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    known = {"here": FOLDER, "programs": PROGRAMS, "multiarch": _multiarch()}
    return re.sub(r"@(\w+)@", lambda found: str({**known, **values}[found[1]]), text)


# ---- nginx ---------------------------------------------------------------------------------------


def nginx_file(place, name, kind, port="public", lua=False, stock=STOCK):
    """{file: text} of one nginx; `kind` is the folder that says what it serves."""
    http = fill(
        f"{kind}/http.conf",
        port=place.port(port),
        backend_port=place.port("backend"),
        scratch=place.scratch,
        sold=SOLD,
        head=fill("nginx/head.conf"),
        stock=stock,
    )
    text = fill(
        "nginx/nginx.conf",
        scratch=place.scratch,
        name=name,
        modules=fill("nginx/lua.conf") if lua else "",
        http=(fill("nginx/lua_paths.conf") if lua else "") + http,
    )
    return {f"{name}.conf": text}


def nginx_command(place, name):
    # Its log, before it has read the file that says where it goes: not where it was built to.
    return [NGINX, "-p", "./", "-e", "stderr", "-c", f"{place.scratch}/{name}.conf"]


def nginx(name, kind, lua=False, stock=STOCK):
    """nginx alone."""
    return Server(
        name=name,
        commands=lambda place: [nginx_command(place, "nginx")],
        needs=(NGINX,),
        # OpenResty's LuaJIT, without which resty.core does half of what it can.
        environment={"LD_LIBRARY_PATH": f"{PROGRAMS}/usr/lib/{_multiarch()}"} if lua else {},
        ready_path=AVAILABLE.path if lua else READY.path,
        files=lambda place: nginx_file(place, "nginx", kind, lua=lua, stock=stock),
    )


def nginx_chain(name, kind, lua=False):
    """nginx as a proxy in front of that nginx."""
    backend = nginx(name, kind, lua)
    return Server(
        name=name,
        commands=lambda place: [nginx_command(place, each) for each in ("backend", "proxy")],
        needs=backend.needs,
        environment=backend.environment,
        ready_path=backend.ready_path,
        files=lambda place: {
            **nginx_file(place, "backend", kind, "backend", lua),
            **nginx_file(place, "proxy", "nginx-proxy"),
        },
    )


def nginx_redis(durable):
    """nginx, and Redis behind it; `durable` has each sale on the disk before its answer."""
    front = nginx("", "nginx-redis", lua=True)
    return Server(
        name=f"nginx + Lua + Redis{', appendfsync always' if durable else ''}",
        commands=lambda place: [
            [REDIS, f"{place.scratch}/redis.conf"],
            nginx_command(place, "nginx"),
        ],
        needs=(*front.needs, REDIS),
        environment=front.environment,
        ready_path=READY.path,
        files=lambda place: {
            **front.files(place),
            "redis.conf": fill(
                "nginx-redis/redis.conf",
                scratch=place.scratch,
                appendonly="yes" if durable else "no",
            ),
        },
    )


# ---- FastAPI -------------------------------------------------------------------------------------


def _uvicorn(app, port, public=True):
    """`public`: its answers carry what ticketd's do; behind a service nobody reads that."""
    return [
        *(UVICORN, "--app-dir", f"{FOLDER}/fastapi", app),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools"),
        *("--no-server-header", "--no-proxy-headers"),
        *(word for field in HEAD for word in ("--header", field) if public),
        *("--no-access-log", "--log-level", "warning", "--timeout-keep-alive", "75"),
    ]


FASTAPI = Server(
    name="FastAPI + uvicorn",
    commands=lambda place: [_uvicorn("monolith:public", place.port())],
    needs=(UVICORN,),
    environment={"INITIAL_STOCK": str(STOCK)},
)
FASTAPI_CHAIN = Server(
    name="FastAPI + httpx in front of FastAPI",
    commands=lambda place: [
        _uvicorn("monolith:app", place.port("vacancy"), public=False),
        [
            "env",
            f"VACANCY_URL=http://127.0.0.1:{place.port('vacancy')}",
            *_uvicorn("ticket:public", place.port()),
        ],
    ],
    needs=(UVICORN,),
    environment={"INITIAL_STOCK": str(STOCK)},
    ready_path=READY.path,
)

NGINX_LUA = nginx("nginx + Lua shared dictionary", "nginx-lua", lua=True)
SERVERS = {
    "nginx-lua": NGINX_LUA,
    "nginx-redis": nginx_redis(durable=False),
    "nginx-redis-durable": nginx_redis(durable=True),
    "nginx-proxy": nginx_chain("nginx in front of nginx + Lua", "nginx-lua", lua=True),
    "fastapi": FASTAPI,
    "fastapi-chain": FASTAPI_CHAIN,
}
