// k6: readers and buyers on one event until it is sold out and after, every ticket accounted for.
//
//   k6 run tests/load/ticket-system.js
//   k6 run -e TICKET_URL=http://localhost:8002 -e VACANCY_URL=http://localhost:8001 ...
//
//   VU_BASE_URL      one URL for all: a monolith's (default http://localhost:8000)
//   TICKET_URL       where tickets are bought, and VACANCY_URL, where the stock is read: the two
//                    pools'; they win over VU_BASE_URL, and one alone stands for both
//   VU_VACANCY_URL   an older name of VACANCY_URL
//   QTY              tickets in each purchase (default 1)
//   DURATION         how long both scenarios run (default 30s)
//   AVAILABLE_VUS    readers (default 50)
//   PURCHASE_VUS     buyers (default 50)
//   PAUSE_MS         what each waits between two requests (default 0)
//   TIMEOUT          for one request (default 10s)
//   P95_MS, P99_MS   latency allowed in each phase and call (default 300, 1000)
//   FAILED_RATE_MAX  share of requests that may fail (default 0)
//   EXPECT_SOLD_OUT  1: the run fails unless it saw the stock end
//
// The event must be this run's alone: a ticket somebody else buys meanwhile is unaccounted for.

import http from 'k6/http';
import { check, fail, sleep } from 'k6';
import { Counter } from 'k6/metrics';

const VACANCY_NAMES = ['VACANCY_URL', 'VU_VACANCY_URL'];
const TICKET_URL = urlFrom('TICKET_URL', 'VU_BASE_URL', ...VACANCY_NAMES);
const VACANCY_URL = urlFrom(...VACANCY_NAMES, 'VU_BASE_URL', 'TICKET_URL');
const QTY = numberFrom('QTY', 1);
const DURATION = __ENV.DURATION || '30s';
const PAUSE_S = numberFrom('PAUSE_MS', 0) / 1000;
const TIMEOUT = __ENV.TIMEOUT || '10s';
const P95_MS = numberFrom('P95_MS', 300);
const P99_MS = numberFrom('P99_MS', 1000);
const FAILED_RATE_MAX = numberFrom('FAILED_RATE_MAX', 0);
const EXPECT_SOLD_OUT = __ENV.EXPECT_SOLD_OUT === '1';
const SETTLE_S = 0.5;
const SETTLE_READS_MAX = 20;

const PURCHASE_BODY = JSON.stringify({ qty: QTY });
const JSON_TYPE = 'application/json';

// Tickets that buyers were told they have, sold-out answers, and requests whose outcome is unknown.
const ticketsSold = new Counter('tickets_sold');
const soldOutAnswers = new Counter('sold_out_answers');
const unknownOutcomes = new Counter('unknown_outcomes');

// Tickets sold less tickets gone from the stock. VUs share no variable, but a counter sums what all
// of them add: each sale adds its tickets, and teardown() takes off what the stock lost. Above 0:
// tickets were sold that the stock never gave. Below 0: tickets are gone that nobody was told of.
const unaccounted = new Counter('unaccounted');

export const options = {
    scenarios: {
        available: scenario('readAvailable', numberFrom('AVAILABLE_VUS', 50)),
        purchase: scenario('purchase', numberFrom('PURCHASE_VUS', 50)),
    },
    summaryTrendStats: ['min', 'med', 'avg', 'p(95)', 'p(99)', 'max', 'count'],
    thresholds: {
        unaccounted: ['count==0'],
        ...(EXPECT_SOLD_OUT ? { sold_out_answers: ['count>0'] } : {}),
        checks: ['rate==1'],
        http_req_failed: [`rate<=${FAILED_RATE_MAX}`],
        // A threshold on a tag also makes the summary report what carries it apart.
        'http_req_duration{phase:before}': latencyLimits(),
        'http_req_duration{phase:after}': latencyLimits(),
        'http_req_duration{phase:before,call:available}': latencyLimits(),
        'http_req_duration{phase:after,call:available}': latencyLimits(),
        'http_req_duration{phase:before,call:purchase}': latencyLimits(),
        'http_req_duration{phase:after,call:purchase}': latencyLimits(),
    },
};

// The first of these variables that is set, or the monolith's usual place.
function urlFrom(...names) {
    const name = names.find((each) => __ENV[each]);
    return (name ? __ENV[name] : 'http://localhost:8000').replace(/\/+$/, '');
}

function numberFrom(name, byDefault) {
    const value = __ENV[name] === undefined ? byDefault : Number(__ENV[name]);
    if (!Number.isFinite(value) || value < 0) {
        throw new Error(`${name} must be a number, not "${__ENV[name]}"`);
    }
    return value;
}

function scenario(name, vus) {
    return {
        executor: 'constant-vus',
        exec: name,
        vus: vus,
        duration: DURATION,
        // A purchase in flight at the end is still answered, else its outcome would be unknown.
        gracefulStop: '30s',
    };
}

function latencyLimits() {
    return [`p(95)<${P95_MS}`, `p(99)<${P99_MS}`];
}

// Tags of the request about to be sent. A VU is in the phase that its own last answer showed, so
// the one answer that first shows a VU the end of the stock still counts as `before`.
let phase = 'before';

function params(call) {
    return {
        headers: { 'Content-Type': JSON_TYPE },
        tags: { phase: phase, call: call },
        timeout: TIMEOUT,
    };
}

function parse(response) {
    try {
        return JSON.parse(response.body);
    } catch (_) {
        return null;
    }
}

function isObject(value) {
    return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function isCount(value) {
    return Number.isInteger(value) && value >= 0;
}

function hasJsonType(response) {
    return String(response.headers['Content-Type']).split(';')[0].trim() === JSON_TYPE;
}

export function setup() {
    const stock = readStock();
    if (stock === null) {
        fail(`no stock at ${VACANCY_URL}/api/v1/available: is the server there?`);
    }
    return { stock: stock };
}

export function readAvailable() {
    const response = http.get(`${VACANCY_URL}/api/v1/available`, params('available'));
    const answer = parse(response);
    const sane = check(response, {
        'available: status is 200': (r) => r.status === 200,
        'available: type is JSON': hasJsonType,
        'available: qty is a whole number': () => isObject(answer) && isCount(answer.qty),
    });
    if (sane) {
        phase = answer.qty < QTY ? 'after' : 'before';
    }
    sleep(PAUSE_S);
}

export function purchase() {
    const response = http.post(`${TICKET_URL}/api/v1/purchase`, PURCHASE_BODY, params('purchase'));
    const answer = parse(response);
    const sane = check(response, {
        'purchase: status is 200': (r) => r.status === 200,
        'purchase: type is JSON': hasJsonType,
        'purchase: success is true or false': () =>
            isObject(answer) && typeof answer.success === 'boolean',
        'purchase: remaining is a whole number': () =>
            isObject(answer) && isCount(answer.remaining),
        'purchase: message fits the outcome': () =>
            isObject(answer) &&
            answer.message === (answer.success ? 'Purchase successful!' : 'Insufficient inventory'),
        'purchase: refused only when too few remain': () =>
            isObject(answer) && (answer.success || answer.remaining < QTY),
    });
    countOutcome(response, answer);
    if (sane) {
        phase = answer.success ? 'before' : 'after';
    }
    sleep(PAUSE_S);
}

// What the client was told counts, however odd the rest of the answer is. Status 0 (time-out,
// reset) tells nothing, nor does a 503 that says so: should that purchase have sold, `unaccounted`
// shows it. Any other 503 means that nothing was sold.
function countOutcome(response, answer) {
    const tags = { phase: phase };
    if (response.status === 200 && isObject(answer) && answer.success === true) {
        ticketsSold.add(QTY, tags);
        unaccounted.add(QTY);
    } else if (response.status === 200 && isObject(answer) && answer.success === false) {
        soldOutAnswers.add(1, tags);
    } else if (response.status !== 503 || (isObject(answer) && answer.code === 'outcome_unknown')) {
        unknownOutcomes.add(1, tags);
    }
}

function readStock() {
    const response = http.get(`${VACANCY_URL}/api/v1/available`, {
        tags: { phase: 'none', call: 'accounts' },
        timeout: TIMEOUT,
    });
    const answer = parse(response);
    return response.status === 200 && isObject(answer) && isCount(answer.qty) ? answer.qty : null;
}

// The stock once two reads agree: a purchase whose client gave up may still be under way.
function readSettledStock() {
    let last = null;
    for (let reads = 0; reads < SETTLE_READS_MAX; reads++) {
        const stock = readStock();
        if (stock !== null && stock === last) {
            return stock;
        }
        last = stock;
        sleep(SETTLE_S);
    }
    fail('the stock cannot be read, or still moves: tickets cannot be accounted for');
}

export function teardown(before) {
    const stock = readSettledStock();
    const lost = before.stock - stock;
    unaccounted.add(-lost);
    console.log(`stock: ${before.stock} before, ${stock} after, ${lost} gone`);
}
