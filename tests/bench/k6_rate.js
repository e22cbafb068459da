// k6: purchases at a fixed rate, as crowd sends them, so that each tool can be checked by the other.
//
//   k6 run -e URL=… -e RATE=… -e WARMUP_S=… -e SECONDS=… -e VUS=… tests/bench/k6_rate.js
//
// k6 starts a request when it is due, or drops it when no virtual user is free (`unsent` here); its
// latency counts from when the request was really sent.

import http from 'k6/http';

const BODY = JSON.stringify({ qty: 1 });
const PARAMS = { headers: { 'Content-Type': 'application/json' } };
const MEASURED = 'scenario:measured';
const US_PER_MS = 1000;

export const options = {
    scenarios: {
        warmup: scenario(__ENV.WARMUP_S, 0),
        measured: scenario(__ENV.SECONDS, __ENV.WARMUP_S),
    },
    summaryTrendStats: ['med', 'p(99)', 'p(99.9)', 'max', 'count'],
    // Always true: a threshold on a tag has the summary tell what carries it apart.
    thresholds: {
        [`http_req_duration{${MEASURED}}`]: ['max>=0'],
        [`http_req_failed{${MEASURED}}`]: ['rate>=0'],
        [`dropped_iterations{${MEASURED}}`]: ['count>=0'],
    },
};

function scenario(seconds, startS) {
    return {
        executor: 'constant-arrival-rate',
        rate: Number(__ENV.RATE),
        timeUnit: '1s',
        duration: `${seconds}s`,
        startTime: `${startS}s`,
        preAllocatedVUs: Number(__ENV.VUS),
    };
}

export default function () {
    http.post(`${__ENV.URL}/api/v1/purchase`, BODY, PARAMS);
}

function values(data, metric) {
    const found = data.metrics[`${metric}{${MEASURED}}`];
    return found ? found.values : {};
}

export function handleSummary(data) {
    const took = values(data, 'http_req_duration');
    const us = (stat) => Math.round(took[stat] * US_PER_MS);
    const fields = {
        requests: took.count,
        duration_us: Number(__ENV.SECONDS) * 1e6,
        p50_us: us('med'),
        p99_us: us('p(99)'),
        p999_us: us('p(99.9)'),
        max_us: us('max'),
        // k6 counts as `passes` of this rate the requests that failed.
        errors: values(data, 'http_req_failed').passes || 0,
        unsent: values(data, 'dropped_iterations').count || 0,
    };
    const words = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
    return { stdout: `bench-result ${words.join(' ')}\n` };
}
