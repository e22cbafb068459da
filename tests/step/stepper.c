#include "stepper.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../crash/cmocka_first.h"

#define BREAKPOINT UINT8_C(0xCC) /* int3 */
#define OPTIONS    (PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD)
/* The signal of a stop at a system call, with PTRACE_O_TRACESYSGOOD. */
#define SYSCALL_STOP (SIGTRAP | 0x80)

/* Where a child that stepper_start made ends; out of line, so that it has one address. */
static __attribute__((noinline, noclone)) void done(void)
{
    __asm__ volatile("");
}

static long trace(enum __ptrace_request request, pid_t pid, uintptr_t address, uintptr_t data)
{
    long result;

    errno = 0;
    result = ptrace(request, pid, (void *)address, (void *)data);
    if (errno != 0)
        fail_msg("ptrace request %d: %s", (int)request, strerror(errno));
    return result;
}

static uintptr_t read_register(const struct stepper *stepper, size_t offset)
{
    return (uintptr_t)trace(PTRACE_PEEKUSER, stepper->pid, offset, 0);
}

static uintptr_t where(const struct stepper *stepper)
{
    return read_register(stepper, offsetof(struct user, regs.rip));
}

/* What is on top of its stack. */
static uintptr_t return_address(const struct stepper *stepper)
{
    uintptr_t top = read_register(stepper, offsetof(struct user, regs.rsp));

    return (uintptr_t)trace(PTRACE_PEEKDATA, stepper->pid, top, 0);
}

/* Puts one byte of code in; returns the one that was there. */
static uint8_t put_code(const struct stepper *stepper, uintptr_t address, uint8_t code)
{
    uint64_t old = (uint64_t)trace(PTRACE_PEEKTEXT, stepper->pid, address, 0);

    (void)trace(PTRACE_POKETEXT, stepper->pid, address, (old & ~UINT64_C(0xFF)) | code);
    return (uint8_t)old;
}

static void expect_stop(const struct stepper *stepper, int signal)
{
    int status;

    assert_int_equal(waitpid(stepper->pid, &status, __WALL), stepper->pid);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != signal)
        fail_msg("not stopped by signal %d: status 0x%x", signal, (unsigned)status);
}

/* It has run into a breakpoint: goes back to before the instruction whose place that took. */
static void leave_breakpoint(const struct stepper *stepper, uintptr_t address, uint8_t code)
{
    assert_int_equal(where(stepper), address + 1);
    (void)trace(PTRACE_POKEUSER, stepper->pid, offsetof(struct user, regs.rip), address);
    (void)put_code(stepper, address, code);
}

void stepper_run_to(struct stepper *stepper, uintptr_t address)
{
    uint8_t code = put_code(stepper, address, BREAKPOINT);

    (void)trace(PTRACE_CONT, stepper->pid, 0, 0);
    expect_stop(stepper, SIGTRAP);
    leave_breakpoint(stepper, address, code);
}

/* One line of /proc/PID/maps: begin-end permissions offset device inode path */
static void note_mapping(struct stepper *stepper, const char *line, const char *program)
{
    const char *path = strchr(line, '/');
    char *rest;
    uintptr_t begin = strtoul(line, &rest, 16), end = strtoul(rest + 1, &rest, 16);
    bool is_code = rest[3] == 'x';
    uintptr_t offset = strtoul(rest + 5, NULL, 16);

    if (path == NULL || strncmp(path, program, strlen(program)) != 0 ||
        path[strlen(program)] != '\n')
        return;
    if (offset == 0)
        stepper->base = begin;
    if (is_code) {
        stepper->code_begin = begin;
        stepper->code_end = end;
    }
}

/* Finds the executable's mappings: the first one, and the one that holds its instructions. */
static void find_code(struct stepper *stepper)
{
    char path[64], program[PATH_MAX] = {0}, line[PATH_MAX + 128];
    FILE *maps;

    (void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)stepper->pid);
    assert_true(readlink(path, program, sizeof(program) - 1) > 0);
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)stepper->pid);
    maps = fopen(path, "re");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        note_mapping(stepper, line, program);
    (void)fclose(maps);
    assert_int_not_equal(stepper->code_end, 0);
}

/* The value of a function's symbol in an executable as it lies in its file; 0: it has none. */
static uint64_t find_function(const unsigned char *file, const char *function)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file + header->e_shoff);

    for (unsigned i = 0; i < header->e_shnum; ++i) {
        const Elf64_Sym *symbols = (const Elf64_Sym *)(file + sections[i].sh_offset);
        const char *names;
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        names = (const char *)file + sections[sections[i].sh_link].sh_offset;
        for (size_t s = 0; s < sections[i].sh_size / sizeof(*symbols); ++s)
            if (ELF64_ST_TYPE(symbols[s].st_info) == STT_FUNC &&
                strcmp(names + symbols[s].st_name, function) == 0)
                return symbols[s].st_value;
    }
    return 0;
}

uintptr_t stepper_address_of(const struct stepper *stepper, const char *function)
{
    char path[64];
    struct stat stat;
    unsigned char *file;
    uint64_t value;
    int fd;

    (void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)stepper->pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &stat), 0);
    file = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(file != MAP_FAILED);
    value = find_function(file, function);
    if (((const Elf64_Ehdr *)file)->e_type == ET_DYN)
        value += stepper->base;
    (void)munmap(file, (size_t)stat.st_size);
    (void)close(fd);
    assert_true(value > stepper->code_begin && value < stepper->code_end);
    return value;
}

bool stepper_is_permitted(void)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
    if (child > 0 && waitpid(child, &status, 0) == child && status == 0)
        return true;
    /* In the words of TAP; cmocka's own skip() would be read as a failure. */
    (void)puts("1..0 # SKIP this process may not use ptrace");
    return false;
}

static _Noreturn void run_child(void (*run)(void *context), void *context)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(1);
    (void)raise(SIGSTOP);
    run(context);
    done();
    _exit(0);
}

void stepper_start(struct stepper *stepper, void (*run)(void *context), void *context,
                   uintptr_t from)
{
    *stepper = (struct stepper){.end = (uintptr_t)done, .pid = fork()};
    assert_true(stepper->pid >= 0);
    if (stepper->pid == 0)
        run_child(run, context);
    expect_stop(stepper, SIGSTOP);
    (void)trace(PTRACE_SETOPTIONS, stepper->pid, 0, OPTIONS);
    find_code(stepper);
    stepper_run_to(stepper, from);
}

void stepper_attach(struct stepper *stepper, pid_t pid)
{
    *stepper = (struct stepper){.pid = pid};
    (void)trace(PTRACE_SEIZE, pid, 0, OPTIONS);
    (void)trace(PTRACE_INTERRUPT, pid, 0, 0);
    expect_stop(stepper, SIGTRAP);
    find_code(stepper);
}

void stepper_end_at_return(struct stepper *stepper)
{
    stepper->end = return_address(stepper);
}

/* One instruction; where that led out of the program's code, up to the return from there. */
static void step_once(struct stepper *stepper)
{
    uintptr_t at;

    (void)trace(PTRACE_SINGLESTEP, stepper->pid, 0, 0);
    expect_stop(stepper, SIGTRAP);
    at = where(stepper);
    if (at < stepper->code_begin || at >= stepper->code_end)
        stepper_run_to(stepper, return_address(stepper));
}

bool stepper_step(struct stepper *stepper, unsigned count)
{
    for (unsigned i = 0; i < count; ++i) {
        if (where(stepper) == stepper->end)
            return false;
        step_once(stepper);
    }
    return where(stepper) != stepper->end;
}

void stepper_finish(struct stepper *stepper)
{
    if (where(stepper) != stepper->end)
        stepper_run_to(stepper, stepper->end);
}

bool stepper_syscall(struct stepper *stepper)
{
    int status;

    if (!stepper->in_call)
        stepper->call_code = put_code(stepper, stepper->end, BREAKPOINT);
    stepper->in_call = true;
    (void)trace(PTRACE_SYSCALL, stepper->pid, 0, 0);
    assert_int_equal(waitpid(stepper->pid, &status, __WALL), stepper->pid);
    assert_true(WIFSTOPPED(status));
    if (WSTOPSIG(status) == SYSCALL_STOP)
        return true;
    assert_int_equal(WSTOPSIG(status), SIGTRAP);
    leave_breakpoint(stepper, stepper->end, stepper->call_code);
    stepper->in_call = false;
    return false;
}

void stepper_kill(struct stepper *stepper)
{
    int status;

    assert_int_equal(kill(stepper->pid, SIGKILL), 0);
    assert_int_equal(waitpid(stepper->pid, &status, __WALL), stepper->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    stepper->pid = 0;
}
