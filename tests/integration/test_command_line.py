"""Settings from the command line, the environment and a file; and what is said about a wrong one."""

import re
import resource

import pytest

from harness import AVAILABLE, run, settings_table

MONOLITH = {"DEPLOYMENT_MODE": "monolith"}
TABLE = settings_table()
ROWS = {row.name: row for row in TABLE}


def assert_rejected(done, *words, code=78):
    """Exit code 78 and exactly one line on stderr, with all the words; nothing on stdout."""
    assert done.returncode == code, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert str(word) in lines[0], lines[0]
    assert done.stdout == ""


def printed(done):
    """NAME=value lines of --print-config."""
    assert done.returncode == 0, done
    return {match[1]: match[2].strip('"') for match in re.finditer(r"^([A-Z_]+) *= *(.*?)$", done.stdout, re.MULTILINE)}


def wrong_values():
    """Values beyond the bounds of every setting in the table, and of the wrong type."""
    for row in TABLE:
        bad = []
        if row.kind == "INT":
            bad = [int(row.low) - 1, int(row.high) + 1, "abc", "1x", "0x10", "1.5", "1e3", "9" * 30, "--1", "1 000"]
        elif row.kind == "SECONDS":
            bad = [-1, row.high + 1, "abc", "nan", "inf", "1s", "1,5", "0x1p3", "9" * 400]
            bad += [row.low / 2] if row.low > 0 else []
        elif row.kind == "BOOL":
            bad = ["maybe", "2", "tru", "-1"]
        elif row.kind == "CHOICE":
            bad = ["purple", row.unit, row.unit.split("|")[0] + "x", row.unit.split("|")[0][:-1]]
        elif row.kind == "TOKEN":
            bad = ["a b", "a\nb", "x" * (int(row.high) + 1), "caf\u00e9", "a/b"]
        elif row.kind == "ADDRESSES":
            bad = ["unix:", "[::1", "a b", "127.0.0.1,,::1", "256.1.1.1:80:90"]
        elif row.kind == "URL":
            bad = ["localhost", "ftp://localhost", "http://", "http://localhost:99999", "https://localhost"]
        elif row.kind == "LIST":
            bad = ["https://a.example/path", "a b", "https://a.example,,"]
        for value in bad:
            yield pytest.param(row, str(value), id=f"{row.name}={str(value)[:24]!r}")


# A wrong value is told of in one line: the setting, the value, and what would be allowed.
@pytest.mark.parametrize("row, value", list(wrong_values()))
def test_wrong_value(row, value):
    done = run("--check-config", settings={**MONOLITH, row.name: value})
    # of a list the wrong member is shown, of a long or strange value what is fit to print
    shown = value if len(value) <= 24 and value.isprintable() and value.isascii() and "," not in value else ""
    assert_rejected(done, row.name, shown)
    line = done.stderr
    if row.kind == "INT":
        assert str(int(row.low)) in line and str(int(row.high)) in line, line
    if row.kind == "CHOICE":
        assert all(choice in line for choice in row.unit.split("|")), line


# A wrong option of the command line likewise.
@pytest.mark.parametrize("arguments, words", [
    (("--monolith-port", "65536"), ("65536",)), (("--monolith-port=65536",), ("65536",)),
    (("--workers", "many"), ("many",)), (("--log-level", "purple"), ("purple", "DEBUG"))])
def test_wrong_option_value(arguments, words):
    assert_rejected(run("--check-config", *arguments, settings=MONOLITH), *words)


# What is no option is named; that is an error of usage (EX_USAGE) and not of configuration.
@pytest.mark.parametrize("arguments, word", [
    (("--no-such-thing",), "no-such-thing"), (("--no-such-thing=1",), "no-such-thing"),
    (("--monolith-port",), "monolith-port"), (("stray",), "stray"), (("--monolith-por", "1"), "monolith-por")])
def test_unknown_option(arguments, word):
    assert_rejected(run(*arguments, settings=MONOLITH), word, code=64)


# Starting with a wrong setting ends at once, the same way as checking it, JSON log or not.
@pytest.mark.parametrize("json_logs", ["true", "false"])
def test_wrong_value_at_start(json_logs):
    done = run(settings={**MONOLITH, "MONOLITH_PORT": "0", "WORKERS": "129", "JSON_LOGS": json_logs})
    assert_rejected(done, "WORKERS", "129", "128")


# Every value at its bounds is taken.
@pytest.mark.parametrize("row", [row for row in TABLE if row.kind in ("INT", "SECONDS")], ids=str)
@pytest.mark.parametrize("bound", ["low", "high", "default"])
def test_bounds_are_inclusive(row, bound):
    value = row.default if bound == "default" else f"{getattr(row, bound):g}" if row.kind == "SECONDS" else int(getattr(row, bound))
    # two settings are bounded by another one as well
    room = {"HTTP_MAX_CONNECTIONS": 10000, "SHUTDOWN_TIMEOUT": 600} if bound == "high" else {}
    # and one by the machine, which only --print-config leaves alone
    question = "--print-config" if row.name == "MAX_CONNECTIONS" else "--check-config"
    done = run(question, settings={**MONOLITH, **room, row.name: value})
    assert (done.returncode, done.stderr) == (0, ""), done


# More connections than the machine lets a process open are refused before anything starts.
def test_check_config_knows_the_machine():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if not 0 < hard <= 1000000:
        pytest.skip("this machine lets a process open more files than MAX_CONNECTIONS may ask for")
    done = run("--check-config", settings={**MONOLITH, "MAX_CONNECTIONS": hard})
    assert_rejected(done, "MAX_CONNECTIONS", "files")


# A setting that is bounded by another one says so.
@pytest.mark.parametrize("settings, words", [
    ({"HTTP_MAX_CONNECTIONS": 10, "HTTP_KEEPALIVE_CONNECTIONS": 11}, ("HTTP_KEEPALIVE_CONNECTIONS", "11", "HTTP_MAX_CONNECTIONS")),
    ({"SHUTDOWN_TIMEOUT": 2, "DRAIN_IDLE_TIMEOUT": 3}, ("DRAIN_IDLE_TIMEOUT", "3", "SHUTDOWN_TIMEOUT"))])
def test_wrong_together(settings, words):
    assert_rejected(run("--check-config", settings={**MONOLITH, **settings}), *words)


# Words may be written in any case; booleans in all their ways.
@pytest.mark.parametrize("name, value", [
    *[("JSON_LOGS", value) for value in "true false 1 0 yes no on off TRUE False Yes oN".split()],
    *[("LOG_LEVEL", value) for value in "debug Info WARNING error critical".split()],
    ("DEPLOYMENT_MODE", "Monolith"), ("HOST", "[::1]"), ("HOST", "unix:/run/t.sock"), ("HOST", "127.0.0.1,::1"),
    ("CORS_ALLOW_ORIGINS", "https://a.example,http://localhost:3000"), ("CORS_ALLOW_ORIGINS", "*"),
    ("VACANCY_URL", "unix:/run/v.sock"), ("VACANCY_URL", "http://[::1]:8001/base"), ("SHUTDOWN_TIMEOUT", "2.5")])
def test_right_value(name, value):
    done = run("--check-config", settings={**MONOLITH, name: value})
    assert (done.returncode, done.stderr) == (0, ""), done


# The help names every setting's option and default; nothing else lists settings.
def test_help():
    done = run("--help")
    assert done.returncode == 0 and done.stderr == ""
    for row in TABLE:
        assert row.option in done.stdout, f"{row.option} is not in --help"
    for option in ("--config", "--check-config", "--print-config", "--version", "--help"):
        assert option in done.stdout


# The version is a version, on stdout, and the one that GET / tells.
def test_version(server):
    done = run("--version")
    assert done.returncode == 0 and done.stderr == ""
    version = re.search(r"\b\d+\.\d+\.\d+\S*", done.stdout)[0]
    assert server.ask("GET", "/").json()["version"] == version


# Questions to the program are answered whatever the settings are.
@pytest.mark.parametrize("option", ["--help", "--version"])
def test_questions_need_no_settings(option):
    assert run(option, settings={"WORKERS": "many"}).returncode == 0


# The printed configuration holds every setting with its default ...
def test_print_config_defaults():
    shown = printed(run("--print-config"))
    for row in TABLE:
        assert row.name in shown, row
        if row.kind not in ("SECONDS", "BOOL", "CHOICE"):
            assert shown[row.name] == row.default, row
        elif row.kind == "SECONDS":
            assert float(shown[row.name]) == float(row.default), row
        else:
            assert shown[row.name].lower() == row.default.lower(), row


# ... and can be fed back: what is printed is a configuration file that says the same.
def test_print_config_round_trip(tmp_path):
    first = run("--print-config", settings={
        **MONOLITH, "WORKERS": "3", "REQUEST_TIMEOUT": "2.5", "HOST": "127.0.0.1,::1", "ACCESS_LOG": "yes",
        "CORS_ALLOW_ORIGINS": "https://a.example,https://b.example"})
    file = tmp_path / "settings"
    file.write_text(first.stdout)
    second = run("--config", file, "--print-config")
    assert second.returncode == 0, second
    assert printed(second) == printed(first)
    assert printed(first)["WORKERS"] == "3" and float(printed(first)["REQUEST_TIMEOUT"]) == 2.5


# The command line wins over the environment, and the environment over the file.
@pytest.mark.parametrize("by_file, by_environment, by_option, winner", [
    (None, None, None, ROWS["CACHE_TTL_SECONDS"].default), ("5", None, None, "5"), (None, "6", None, "6"),
    ("5", "6", None, "6"), ("5", None, "7", "7"), (None, "6", "7", "7"), ("5", "6", "7", "7")])
@pytest.mark.parametrize("joined", [True, False])
def test_precedence(tmp_path, by_file, by_environment, by_option, winner, joined):
    arguments = []
    if by_file is not None:
        (tmp_path / "settings").write_text(f"# a comment\n\nCACHE_TTL_SECONDS={by_file}\n")
        arguments += ["--config", tmp_path / "settings"]
    if by_option is not None:
        arguments += [f"--cache-ttl-seconds={by_option}"] if joined else ["--cache-ttl-seconds", by_option]
    settings = {} if by_environment is None else {"CACHE_TTL_SECONDS": by_environment}
    assert printed(run("--print-config", *arguments, settings=settings))["CACHE_TTL_SECONDS"] == winner


# A file that is not there is an error that names it.
@pytest.mark.parametrize("path", ["/nonexistent/settings", "/"])
def test_config_file_missing(path):
    done = run("--config", path, "--check-config", settings=MONOLITH)
    assert_rejected(done, path)


# A file with a fault is an error that names the file, and the line.
@pytest.mark.parametrize("text, words", [
    ("WORKERS=2\nCACHE_TTL_SECONDS=never\n", ("CACHE_TTL_SECONDS", "never")),
    ("WORKERS=2\nrubbish\n", ()),
    ("WORKERS=2\nNO_SUCH_SETTING=1\n", ("NO_SUCH_SETTING",))], ids=["value", "no assignment", "unknown"])
def test_config_file_wrong(tmp_path, text, words):
    file = tmp_path / "settings"
    file.write_text(text)
    done = run("--config", file, "--check-config", settings=MONOLITH)
    assert_rejected(done, file, *words)


# The option starts a server as the environment does.
def test_options_start_a_server(start):
    server = start(arguments=("--cache-ttl-seconds", "9", "--service-name=by-option"))
    assert server.ask("GET", AVAILABLE)["Cache-Control"] == "public, max-age=9"
    assert server.ask("GET", "/").json()["service"] == "by-option"


# --check-config starts nothing.
def test_check_config_starts_nothing():
    done = run("--check-config", settings={**MONOLITH, "MONOLITH_PORT": "0"})
    assert done.returncode == 0
    assert "listening" not in done.stderr + done.stdout
