#include "remote_side.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/keeper/keeping.h"
#include "client/vacancy_local.h"
#include "client/vacancy_remote_internal.h"
#include "http/server.h"
#include "route/route.h"
#include "scoreboard/scoreboard.h"
#include "util/clock.h"
#include "util/json.h"

/* Longer than any case takes. */
#define LONG_MS 60000

struct remote_side {
    struct keeping keeping;
    struct settings settings;
    bool durable;
    int listener;
    pid_t server;
    struct vacancy_remote *remote;
};

/* What the vacancy pool's process has. */
struct server_side {
    struct scoreboard scoreboard;
    struct vacancy_local local;
    struct http_server server;
    struct router router;
};

static struct remote_side *own_of(struct fixture *fixture)
{
    return fixture->own;
}

/* For what cannot fail in a test that has anything to say. */
static void must(bool good)
{
    if (!good)
        abort();
}

/* ---- the server's process ---- */

static void turn_for_ever(struct fixture *fixture, struct server_side *side)
{
    struct keeping *keeping = &own_of(fixture)->keeping;
    struct keeper_stall stall;
    bool kept = false, delivered = false;

    for (;;) {
        (void)h2o_evloop_run(side->server.context.loop, kept || delivered ? 0 : INT32_MAX);
        kept = keeper_turn(keeping->keeper, &stall) == KEEPER_TURN_DONE;
        delivered = vacancy_local_deliver(&side->local);
        (void)vacancy_local_expire(&side->local, clock_monotonic_ms());
    }
}

/* Never returns into the test, whose cases it would go on to run. */
static void serve(struct fixture *fixture)
{
    static struct server_side side; /* too large for a stack */
    struct remote_side *own = own_of(fixture);
    int bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct http_server_options options = {
        .settings = &own->settings,
        .scoreboard = &side.scoreboard,
        .bells = &bell,
        .listeners = &own->listener,
        .listener_count = 1,
        .control_listener = -1,
    };

    must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    must(keeping_try_open(&own->keeping) == 0);
    keeper_set_state(&fixture->stock, KEEPER_RUNNING);
    must(vacancy_local_init(&side.local, &(struct vacancy_local_options){
                                             .stock = &fixture->stock,
                                             .place = STOCK_PLACE_OF(0),
                                             .durable = own->durable,
                                             .keeper_bell = -1,
                                             .reader_bell = -1,
                                             .sale_timeout_ms = LONG_MS,
                                             .parked_max = PARKED_MAX,
                                         }) == 0);
    must(scoreboard_create(&side.scoreboard, 1) == 0);
    must(http_server_init(&side.server, &options) == 0);
    router_init(&side.router, &side.server, ROLE_VACANCY, &side.local.client, NULL, NULL);
    must(http_server_start(&side.server, &options) == 0);
    scoreboard_set_state(&side.scoreboard.slots[0], SCOREBOARD_SERVING);
    turn_for_ever(fixture, &side);
}

/* ---- the client's ---- */

/* One a process, as libh2o keeps state of its own. */
static h2o_context_t *the_context(void)
{
    static h2o_globalconf_t config;
    static h2o_context_t context;

    if (context.loop == NULL) {
        must(json_init() == 0);
        h2o_config_init(&config);
        h2o_config_register_host(&config, h2o_iovec_init(H2O_STRLIT("default")), 80);
        h2o_context_init(&context, h2o_evloop_create(), &config);
    }
    return &context;
}

/* Listens before there is a server, so that nobody needs to wait for it. */
static void open_listener(struct remote_side *own)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket",
                   own->keeping.scratch.folder);
    (void)snprintf(own->settings.vacancy_url, sizeof(own->settings.vacancy_url), "unix:%s",
                   address.sun_path);
    own->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(own->listener != -1);
    must(bind(own->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    must(listen(own->listener, 128) == 0);
}

static void make(struct fixture *fixture, const struct ledger_ops *ops, bool durable,
                 int64_t batch_max, int64_t connections_max)
{
    struct remote_side *own = calloc(1, sizeof(*own));
    struct settings_input input = {.config_path = "/dev/null"};
    char error[SETTINGS_ERROR_MAX];
    h2o_context_t *context = the_context();

    must(own != NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    fixture->own = own;
    keeping_make(&own->keeping, &fixture->stock, ops);
    must(settings_load(&own->settings, &input, error) == 0);
    own->settings.vacancy_timeout_ms = own->settings.sale_timeout_ms = LONG_MS;
    own->settings.batch_max = batch_max;
    own->settings.http_max_connections = connections_max;
    own->settings.http_keepalive_connections = connections_max;
    own->durable = durable;
    open_listener(own);
    own->server = fork();
    must(own->server != -1);
    if (own->server == 0)
        serve(fixture);
    own->remote = vacancy_remote_new(&own->settings, NULL);
    must(own->remote != NULL && vacancy_remote_start(own->remote, context) == 0);
    fixture->client = vacancy_remote_client(own->remote);
}

void remote_make(struct fixture *fixture)
{
    make(fixture, &ledger_sqlite_ops, true, 128, 4);
}

void remote_lone_make(struct fixture *fixture)
{
    make(fixture, &ledger_memory_ops, false, 1, 1);
}

bool remote_pump(struct fixture *fixture)
{
    struct remote_side *own = own_of(fixture);

    if (own->remote->used == 0)
        return false;
    (void)h2o_evloop_run(the_context()->loop, vacancy_remote_gathers(own->remote) ? 0 : INT32_MAX);
    return true;
}

void remote_destroy(struct fixture *fixture)
{
    struct remote_side *own = own_of(fixture);
    int status;

    vacancy_remote_free(own->remote);
    (void)kill(own->server, SIGKILL);
    must(waitpid(own->server, &status, 0) == own->server);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* not before */
    (void)close(own->listener);
    keeping_end(&own->keeping);
    free(own);
}
