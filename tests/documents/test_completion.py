"""Completions of shells: each shell is asked what it would propose, by its own means."""

import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import time

import pytest

from surroundings import COMPLETIONS, TICKETCTL, TICKETD, run, succeed, tool

BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"
PATIENCE_S = 15
CLEAR = "\x15"  # the key that empties the line


def options_of(*command):
    """The long options that a help names."""
    return set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", succeed(*command, "--help"), re.MULTILINE))


@pytest.fixture(scope="module", name="data")
def fixture_data(tmp_path_factory):
    """A folder like /usr/share, with the completions under the names that meson installs."""
    folder = tmp_path_factory.mktemp("share")
    for shell in ("bash-completion/completions", "zsh/site-functions"):
        (folder / shell).mkdir(parents=True)
    for program in ("ticketd", "ticketctl"):
        shutil.copy(COMPLETIONS / program, folder / "bash-completion/completions")
        shutil.copy(COMPLETIONS / f"_{program}", folder / "zsh/site-functions")
    return folder


def bash(data, line):
    """What bash proposes at the end of the line, loaded as bash-completion loads it where it is installed."""
    words = shlex.split(line) + ([""] if line.endswith(" ") else [])
    # as bash itself cuts words
    words = [part for word in words for part in re.split("(=)", word) if part or part == word or word.endswith("=")]
    words = words[:-1] if words[-1] == "" and words[-2:-1] == ["="] else words
    program = words[0]
    load = f"source {data}/bash-completion/completions/{program}"
    if os.path.exists(BASH_COMPLETION):
        load = f"""
            source {BASH_COMPLETION}
            _completion_loader {program}
            [ $? -eq 124 ] || exit 3
        """
    done = run("bash", "--norc", "-c", f"""
        {load}
        COMP_WORDS=({" ".join(map(shlex.quote, words))})
        COMP_CWORD={len(words) - 1}
        entry=$(complete -p {program}) || exit 4
        [[ $entry == *"-F _{program} {program}" ]] || exit 5
        _{program} {program} "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
        """, env={**os.environ, "XDG_DATA_DIRS": str(data), "BASH_COMPLETION_USER_DIR": str(data / "none")})
    assert (done.returncode, done.stderr) == (0, ""), done
    return set(done.stdout.split())


# ticketd's options are all proposed, and a beginning chooses among them.
def test_bash_ticketd(data):
    assert bash(data, "ticketd --") == options_of(TICKETD)
    assert bash(data, "ticketd --log-") == {"--log-level"}
    assert bash(data, "ticketd --json-logs true --vacancy-w") == {"--vacancy-workers"}


# Values: words of a closed list, in both spellings of an option; files; nothing for a number.
def test_bash_values(data, tmp_path, monkeypatch):
    levels = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}
    assert bash(data, "ticketd --log-level ") == levels
    assert bash(data, "ticketd --log-level=") == levels
    assert bash(data, "ticketd --log-level=W") == {"WARNING"}
    assert bash(data, "ticketd --settings-reference m") == {"markdown", "mdoc"}
    assert bash(data, "ticketd --reload ") == {"true", "false"}
    assert bash(data, "ticketd --workers ") == set()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.env").touch()
    assert bash(data, "ticketd -c mi") == {"mine.env"}
    assert bash(data, "ticketctl --config=mi") == {"mine.env"}


# ticketctl's commands, their second words, and for each command the options that it takes.
def test_bash_ticketctl(data):
    commands = {line.split()[0] for line in succeed(TICKETCTL, "--help").splitlines() if re.match(r"  \w", line)}
    assert bash(data, "ticketctl ") == commands and "stock" in commands
    assert bash(data, "ticketctl st") == {"stock", "status"}
    assert bash(data, "ticketctl --json --timeout 5 --config=x rel") == {"reload"}
    assert bash(data, "ticketctl stock ") == {"add"}
    assert bash(data, "ticketctl --") == options_of(TICKETCTL)
    for command in sorted(commands):
        assert bash(data, f"ticketctl {command} --") == options_of(TICKETCTL, command)
    assert bash(data, "ticketctl stock add --") == options_of(TICKETCTL, "stock", "add")
    assert bash(data, "ticketctl --limit 5 orders --") == options_of(TICKETCTL, "orders")


# The scripts are clean bash.
def test_bash_lint():
    assert succeed(tool("shellcheck"), "-s", "bash", COMPLETIONS / "ticketd", COMPLETIONS / "ticketctl") == ""


class Terminal:
    """A shell that takes keys and shows what it makes of them."""

    def __init__(self, *command, **variables):
        self.master, slave = pty.openpty()
        self.shell = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, close_fds=True,
                                      start_new_session=True, env={**os.environ, "TERM": "dumb", **variables})
        os.close(slave)
        self.shown = ""

    def type(self, keys, expected):
        """Types, and waits until what is expected has been shown."""
        self.shown = ""
        os.write(self.master, keys.encode())
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(expected, self.shown):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.master], [], [], left)[0], f"{expected} not in {self.shown!r}"
            self.shown += os.read(self.master, 4096).decode(errors="replace")

    def close(self):
        self.shell.kill()
        self.shell.wait()
        os.close(self.master)


# An interactive bash completes what is typed.
def test_bash_terminal(data):
    terminal = Terminal("bash", "--norc", "--noprofile", "-i", PS1="> ", INPUTRC="/dev/null", HISTFILE="")
    try:
        terminal.type(f"source {data}/bash-completion/completions/ticketctl; echo go''ne\n", "gone")
        terminal.type("ticketctl --json sto\tad\t", "stock add ")
        terminal.type(CLEAR + "ticketctl reload --w\t", "--wait ")
    finally:
        terminal.close()


# An interactive zsh completes options, their values, commands and what belongs to a command.
def test_zsh_terminal(data, tmp_path):
    terminal = Terminal(tool("zsh"), "-f", "-i", PS1="> ", HOME=str(tmp_path), ZDOTDIR=str(tmp_path))
    try:
        terminal.type(f"unsetopt zle_bracketed_paste; fpath=({data}/zsh/site-functions $fpath); autoload -U compinit;"
                      f" compinit -u -d {tmp_path}/dump; echo go''ne\n", "gone")
        for keys, expected in [("ticketd --log-l\t", "--log-level"), ("ticketd --log-level W\t", "WARNING "),
                               ("ticketd --log-level=CR\t", "=CRITICAL "), ("ticketctl sto\t", "stock "),
                               ("ticketctl stock a\t", "stock add "), ("ticketctl reload --w\t", "--wait "),
                               ("ticketctl --json orders --sin\t", "--since")]:
            terminal.type(CLEAR + keys, expected)
    finally:
        terminal.close()


# fish is asked by its own command.
def test_fish(tmp_path):
    fish = tool("fish")

    def ask(program, line):
        shown = succeed(fish, "--no-config", "-c", f"source {COMPLETIONS}/{program}.fish; complete -C {line!r}",
                        env={**os.environ, "HOME": str(tmp_path)})
        return {row.split("\t")[0] for row in shown.splitlines()}

    assert ask("ticketd", "ticketd --log-le") == {"--log-level"}
    assert ask("ticketd", "ticketd --log-level W") == {"WARNING"}
    assert options_of(TICKETD) <= ask("ticketd", "ticketd --")
    assert ask("ticketctl", "ticketctl st") == {"stock", "status"}
    assert ask("ticketctl", "ticketctl stock a") == {"add"}
    assert options_of(TICKETCTL, "reload") <= ask("ticketctl", "ticketctl reload --")
