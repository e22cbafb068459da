"""Manual pages: well-formed, complete, and exit statuses that are all told of."""

import re

import pytest

from surroundings import DOCUMENTS, ROOT, TICKETCTL, TICKETD, run, succeed, tool

PAGES = sorted((ROOT / "conf/man").glob("*.[158]"))
# What a page refers to need not be installed where it is checked.
ELSEWHERE = re.compile(r"referenced manual not found|outdated mandoc\.db")


def text_of(page):
    """A page as a reader sees it, in one line."""
    shown = succeed(tool("mandoc"), "-Tutf8", "-Owidth=200", ROOT / "conf/man" / page)
    return " ".join(re.sub(r".\x08", "", shown).split())


# There are three pages, and mandoc finds nothing to say of any, not even of its style.
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc(page):
    done = run(tool("mandoc"), "-Tlint", page)
    said = [line for line in (done.stdout + done.stderr).splitlines() if not ELSEWHERE.search(line)]
    assert not said, "\n".join(said)
    assert len(PAGES) == 3


# groff, which most systems show them with, has nothing to warn of.
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff(page):
    done = run(tool("groff"), "-ww", "-mandoc", "-Tutf8", "-z", page)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# What a program's help offers is in its manual page; ticketd's settings have a page of their own.
@pytest.mark.parametrize("program, pages", [(TICKETD, ["ticketd.8", "ticketd.conf.5"]), (TICKETCTL, ["ticketctl.1"])])
def test_help_is_in_the_manual(program, pages):
    manual = " ".join(text_of(page) for page in pages)
    offered = re.findall(r"^  (?:-\w, )?--([a-z-]+)", succeed(program, "--help"), re.MULTILINE)
    if program == TICKETCTL:
        commands = re.findall(r"^  (\w[a-z ]*)", succeed(program, "--help"), re.MULTILINE)
        offered += [option for command in commands
                    for option in re.findall(r"^  (?:-\w, )?--([a-z-]+)",
                                             succeed(program, *command.split(), "--help"), re.MULTILINE)]
        assert len(commands) >= 6 and all(command.strip() in manual for command in commands)
    assert len(offered) > 6
    for option in offered:
        assert f"--{option}" in manual or option.upper().replace("-", "_") in manual, option


# Every status that the code ends with by a name of sysexits.h is in the program's table.
@pytest.mark.parametrize("table, sources", [
    ("src/config/exit_status.def", ["src/main.c", *ROOT.glob("src/master/*.[ch]")]),
    ("src/ctl/exit_status.def", [*ROOT.glob("src/ctl/*.[ch]")])])
def test_exit_statuses(table, sources):
    known = set(re.findall(r"\bEX_[A-Z]+", (ROOT / table).read_text()))
    used = {name for source in sources for name in re.findall(r"\bEX_[A-Z]+", (ROOT / source).read_text())}
    assert used and used <= known, used - known


# Who asks for a part that does not exist is told which do, and a full disk is no success.
def test_documents_itself():
    done = run(DOCUMENTS, "nonsense")
    assert done.returncode == 64 and "settings-env" in done.stderr and not done.stdout
    assert run("sh", "-c", 'exec "$0" settings-env >/dev/full', DOCUMENTS).returncode == 74
