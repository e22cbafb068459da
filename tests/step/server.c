#include "server.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <sqlite3.h>

/* How long an answer may take before the test fails. */
#define ANSWER_S      30
#define TEXT_MAX      4096
#define SETTINGS_SIZE 256

static _Noreturn void run(const struct server *server, const char *binary, int log)
{
    char host[SETTINGS_SIZE], ledger[SETTINGS_SIZE], stock[SETTINGS_SIZE];
    const char *const settings[] = {
        host,
        ledger,
        stock,
        "DEPLOYMENT_MODE=monolith",
        "WORKERS=1",
        "RELOAD=false",
        "SALE_TIMEOUT=20",
        /* see stepper.h: it may be linked otherwise */
        "LD_BIND_NOW=1",
        NULL,
    };

    (void)snprintf(host, sizeof(host), "HOST=unix:%s", server->address);
    (void)snprintf(ledger, sizeof(ledger), "LEDGER_URL=sqlite:%s", server->scratch.ledger);
    (void)snprintf(stock, sizeof(stock), "INITIAL_STOCK=%d", SERVER_STOCK);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && dup2(log, STDOUT_FILENO) != -1 &&
        dup2(log, STDERR_FILENO) != -1)
        (void)execle(binary, "ticketd", (char *)NULL, settings);
    _exit(127);
}

/* Reads the log up to the line that says so. */
static void wait_until_ready(const struct server *server)
{
    char line[TEXT_MAX] = "";

    while (fgets(line, sizeof(line), server->log) != NULL)
        if (strstr(line, "ready: 1 workers serve") != NULL)
            return;
    fail_msg("the server has ended: %s", line);
}

void server_start(struct server *server)
{
    const char *binary = getenv("TICKETD");
    int log[2];

    if (binary == NULL) {
        fail_msg("set TICKETD to the path of the ticketd binary");
        return;
    }
    *server = (struct server){.master = 0};
    scratch_make(&server->scratch);
    (void)snprintf(server->address, sizeof(server->address), "%s/socket", server->scratch.folder);
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    server->master = fork();
    assert_true(server->master >= 0);
    if (server->master == 0)
        run(server, binary, log[1]);
    (void)close(log[1]);
    server->log = fdopen(log[0], "r");
    assert_non_null(server->log);
    wait_until_ready(server);
}

void server_stop(struct server *server)
{
    int status;

    assert_int_equal(kill(server->master, SIGTERM), 0);
    assert_int_equal(waitpid(server->master, &status, 0), server->master);
    assert_int_equal(status, 0);
    server->master = 0;
    (void)fclose(server->log);
}

void server_remove(struct server *server)
{
    if (server->master > 0) {
        (void)kill(server->master, SIGKILL);
        (void)waitpid(server->master, NULL, 0);
    }
    server->master = 0;
    if (server->scratch.folder[0] != '\0')
        scratch_remove(&server->scratch);
    server->scratch.folder[0] = '\0';
}

static bool is_worker(pid_t pid)
{
    char path[64], title[64] = "";
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    (void)fread(title, 1, sizeof(title) - 1, file);
    (void)fclose(file);
    return strncmp(title, "ticketd: worker 0", strlen("ticketd: worker 0")) == 0;
}

pid_t server_worker(const struct server *server)
{
    char path[64], line[TEXT_MAX] = "", *rest = line;
    pid_t worker = 0;
    FILE *children;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)server->master,
                   (int)server->master);
    children = fopen(path, "re");
    assert_non_null(children);
    (void)fgets(line, sizeof(line), children);
    (void)fclose(children);
    while (worker == 0 && *rest != '\0') {
        pid_t pid = (pid_t)strtol(rest, &rest, 10);
        rest += strspn(rest, " ");
        if (is_worker(pid))
            worker = pid;
    }
    assert_int_not_equal(worker, 0);
    return worker;
}

int server_ask(const struct server *server, unsigned quantity, const char *key)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = ANSWER_S};
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char body[64], request[TEXT_MAX];
    int len, body_len = snprintf(body, sizeof(body), "{\"qty\":%u}", quantity);

    len = snprintf(request, sizeof(request),
                   "POST /api/v1/purchase HTTP/1.1\r\nHost: test\r\nConnection: close\r\n"
                   "Content-Type: application/json\r\nContent-Length: %d\r\n%s%s%s\r\n%s",
                   body_len, key == NULL ? "" : "Idempotency-Key: ", key == NULL ? "" : key,
                   key == NULL ? "" : "\r\n", body);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->address);
    assert_int_equal(setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)),
                     0);
    assert_int_equal(connect(connection, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(connection, request, (size_t)len, MSG_NOSIGNAL), len);
    return connection;
}

bool server_answer(int connection, struct purchase *ret_purchase)
{
    static const char id[] = "\"order_id\":\"";
    char answer[TEXT_MAX] = "";
    size_t len = 0;
    ssize_t more;
    const char *at;

    while ((more = recv(connection, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
        len += (size_t)more;
    (void)close(connection);
    if (len == 0)
        return false;
    *ret_purchase = (struct purchase){
        .sold =
            strncmp(answer, "HTTP/1.1 200 ", 13) == 0 && strstr(answer, "\"success\":true") != NULL,
        .replayed = strcasestr(answer, "\r\nidempotent-replayed: true\r\n") != NULL,
    };
    at = strstr(answer, id);
    if (at != NULL)
        (void)snprintf(ret_purchase->order_id, sizeof(ret_purchase->order_id), "%s",
                       at + sizeof(id) - 1);
    if (!ret_purchase->sold)
        print_message("# %s\n", answer);
    return true;
}

int64_t server_query(const struct server *server, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t number;

    assert_int_equal(sqlite3_open(server->scratch.ledger, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    number = sqlite3_column_int64(statement, 0);
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return number;
}
