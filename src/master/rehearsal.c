#include "master/rehearsal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/log.h"

/* Longest part of its words that is repeated in the log. */
#define OUTPUT_MAX 512
/* One that takes longer is ended. */
#define REHEARSAL_TIMEOUT_MS 10000

static int spawn(struct rehearsal *rehearsal, const char *binary, char *const *arguments, int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    int error;

    sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    /* a group of its own, so that it can be ended with whatever it started */
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
    if (error == 0)
        error = posix_spawn(&rehearsal->pid, binary, &actions, &attributes, arguments, environ);
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return -error;
}

int rehearsal_start(struct rehearsal *rehearsal, const char *binary, char *const *arguments)
{
    size_t count = 0;
    char **with_check;
    int ends[2], result;

    while (arguments[count] != NULL)
        ++count;
    with_check = calloc(count + 2, sizeof(*with_check));
    if (with_check == NULL)
        return -ENOMEM;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1) {
        result = -errno;
        free(with_check);
        return result;
    }
    memcpy(with_check, arguments, count * sizeof(*with_check));
    with_check[count] = (char[]){"--check-config"};
    result = spawn(rehearsal, binary, with_check, ends[1]);
    close(ends[1]);
    free(with_check);
    if (result == 0) {
        rehearsal->output = ends[0];
        rehearsal->kill_at_ms = clock_monotonic_ms() + REHEARSAL_TIMEOUT_MS;
    } else {
        close(ends[0]);
        rehearsal->pid = 0;
    }
    return result;
}

bool rehearsal_reaped(struct rehearsal *rehearsal, pid_t pid, int status, bool *ret_good)
{
    char output[OUTPUT_MAX];
    ssize_t len;

    if (rehearsal->pid == 0 || rehearsal->pid != pid)
        return false;
    *ret_good = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    len = read(rehearsal->output, output, sizeof(output));
    while (len > 0 && output[len - 1] == '\n')
        --len;
    if (!*ret_good)
        log_error("not restarted, the new binary or configuration is refused: %.*s",
                  len > 0 ? (int)len : 0, output);
    close(rehearsal->output);
    rehearsal->pid = 0;
    return true;
}

void rehearsal_cancel(struct rehearsal *rehearsal)
{
    if (rehearsal->pid == 0)
        return;
    (void)kill(-rehearsal->pid, SIGKILL); /* reaped as nobody's child */
    close(rehearsal->output);
    rehearsal->pid = 0;
}

uint64_t rehearsal_tick(struct rehearsal *rehearsal, uint64_t now_ms)
{
    if (rehearsal->pid == 0)
        return UINT64_MAX;
    if (now_ms >= rehearsal->kill_at_ms) {
        log_error("the new binary takes too long to judge its configuration; ending it");
        (void)kill(-rehearsal->pid, SIGKILL);
        rehearsal->kill_at_ms = UINT64_MAX;
    }
    return rehearsal->kill_at_ms;
}
