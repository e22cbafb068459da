/* The dashboard: shows what GET /dashboard/stream tells, once a second.  Every rate and percentile is
 * computed by the server (src/metrics/live.c), so nothing is counted here: figures are looked up by
 * the path in their element's data-figure, and the last WINDOW_S seconds are plotted. */

const WINDOW_S = 180;
/* A page that was just opened shows less, so that what there is can be seen. */
const WINDOW_LEAST_S = 60;
/* The stream tells something every second; after so long without, it counts as lost. */
const SILENT_MS = 4000;
const RETRY_MS = 2000;
/* Readers of the screen are told no more often than this, but for what changes the situation. */
const SUMMARY_MS = 15000;

const $ = (id) => document.getElementById(id);

/* ---------------------------------------------------------------- figures in words */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const NONE = "–";

function span(seconds) {
  if (seconds < 100) return `${whole.format(seconds)} s`;
  if (seconds < 6000) return `${whole.format(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${tenths.format(seconds / 3600)} h`;
  return `${whole.format(seconds / 86400)} d`;
}

/* Three digits of a time, in the unit that needs no exponent. */
function seconds(value) {
  const [number, unit] = value < 0.001 ? [value * 1e6, "µs"] : value < 1 ? [value * 1e3, "ms"] : [value, "s"];
  return `${number.toFixed(number < 9.995 ? 2 : number < 99.95 ? 1 : 0)} ${unit}`;
}

const units = {
  count: (value) => whole.format(value),
  rate: (value) => (value < 99.95 && value !== 0 ? tenths.format(value) : whole.format(value)),
  seconds,
  span,
  uptime: (value) => `up ${span(value)}`,
  version: (value) => `ticketd ${value}`,
  text: String,
};

function words(value, unit) {
  if (value === null || value === undefined) return NONE;
  return units[unit ?? (typeof value === "string" ? "text" : "count")](value);
}

const at = (object, path) => path.split(".").reduce((value, name) => value?.[name], object);

/* An element's text is touched only when it differs, so that nothing is laid out anew for nothing. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/* ---------------------------------------------------------------- plots */

const one = (label, path, unit, more) => ({ label, path, unit, ...more });
const PLOTS = {
  stock: { name: "Tickets available", caption: "tickets", series: [one("available", "stock.available", "count", { fill: true })] },
  sales: { name: "Sales per second", caption: "sales per second", series: [one("sales", "rate.sales", "rate", { fill: true })] },
  latency: {
    name: "Latency of sales",
    caption: "logarithmic scale",
    log: true,
    series: [
      one("p50", "latency.sales.p50", "seconds"),
      one("p90", "latency.sales.p90", "seconds"),
      one("p99", "latency.sales.p99", "seconds"),
    ],
  },
  answers: {
    name: "Answers per second without a sale",
    caption: "answers per second",
    series: [
      one("sold out", "rate.sold_out", "rate"),
      one("refused", "rate.refused", "rate"),
      one("errors", "rate.errors", "rate"),
    ],
  },
  keeper: { name: "Entries not in the ledger yet", caption: "entries not in the ledger yet", series: [one("behind", "keeper.lag", "count", { fill: true })] },
  hop: { name: "Calls that wait for the vacancy pool", caption: "calls that wait", series: [one("waiting", "hop.queue", "count", { fill: true })] },
};
/* As in dashboard.css, which draws the same before each name. */
const DASHES = [[], [6, 4], [2, 3]];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const times = [];
const plots = [];
/* The place in `times` that somebody points at; null: nobody does. */
let pointed = null;

/* What a linear axis may go up by: nothing that is counted here comes in parts. */
const STEPS = [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));

/* Where a logarithmic axis has its lines: at powers of ten, and between them if these are few. */
function powers(u, axis, min, max) {
  const steps = max / min < 50 ? [1, 2, 5] : [1];
  const found = [];

  for (let power = 10 ** Math.floor(Math.log10(min)); power <= max; power *= 10)
    for (const step of steps) if (step * power >= min && step * power <= max) found.push(step * power);
  return found;
}

class Plot {
  constructor(figure) {
    Object.assign(this, PLOTS[figure.dataset.plot], { figure });
    this.columns = this.series.map(() => []);
    [this.box, this.reading] = figure.children;
    if (typeof uPlot === "undefined") {
      this.box.hidden = true;
      this.reading.textContent = "This build of ticketd has no plots in it: npm was missing.";
      return;
    }
    this.drawn = new uPlot(this.options(), [times, ...this.columns], this.box);
    this.enableKeys();
    new ResizeObserver(() => this.drawn.setSize(this.size())).observe(this.box);
  }

  size() {
    return { width: Math.max(this.box.clientWidth, 80), height: this.box.clientHeight };
  }

  options() {
    const axis = {
      stroke: () => colour("--soft"),
      grid: { stroke: () => colour("--grid"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
    };
    return {
      ...this.size(),
      padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "ticketd" }, points: { size: 7 } },
      scales: {
        x: { time: true, range: (u, min, max) => [max - Math.min(Math.max(max - min, WINDOW_LEAST_S), WINDOW_S), max] },
        y: this.log
          ? { distr: 3, range: (u, min, max) => (min > 0 ? [min / 1.5, max * 1.5] : [1e-4, 1e-1]) }
          : { range: (u, min, max) => [0, Math.max(max * 1.08, 4)] },
      },
      axes: [
        { ...axis, space: 70, size: 26, values: (u, splits) => splits.map((s) => this.moment(u, s)) },
        { ...axis, space: 34, size: 58, ...(this.log ? { splits: powers, filter: (u, splits) => splits } : { incrs: STEPS }), values: (u, splits) => splits.map((s) => this.tick(s)) },
      ],
      series: [
        {},
        ...this.series.map((series, i) => ({
          label: series.label,
          stroke: () => colour(`--line${i + 1}`),
          fill: series.fill ? () => colour("--fill") : undefined,
          dash: DASHES[i],
          width: 2,
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [(u) => point(u.cursor.left >= 0 ? u.cursor.idx : null)] },
    };
  }

  /* A moment that would be cut off at the right is left out. */
  moment(u, seconds) {
    const left = (u.scales.x.max - seconds) / (u.scales.x.max - u.scales.x.min);
    return left * u.over.clientWidth < 24 ? "" : clock.format(seconds * 1000);
  }

  tick(value) {
    if (this.log) return value < 0.001 ? `${+(value * 1e6).toPrecision(3)} µs` : value < 1 ? `${+(value * 1e3).toPrecision(3)} ms` : `${value} s`;
    if (value >= 10000) return value < 1e6 ? `${+(value / 1e3).toPrecision(4)}k` : `${+(value / 1e6).toPrecision(4)}M`;
    return whole.format(value);
  }

  /* A plot is a slider over its seconds: arrows move, and what is read is in aria-valuetext. */
  enableKeys() {
    const box = this.box;
    box.tabIndex = 0;
    box.setAttribute("role", "slider");
    box.setAttribute("aria-label", `${this.name}, last ${WINDOW_S / 60} minutes, by seconds`);
    box.setAttribute("aria-valuemin", "0");
    box.addEventListener("keydown", (event) => {
      const last = times.length - 1;
      const from = pointed ?? last;
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last, PageUp: from - 10, PageDown: from + 10 }[event.key];
      if (event.key === "Escape") point(null, true);
      else if (to !== undefined && last >= 0) point(Math.min(Math.max(to, 0), last), true);
      else return;
      event.preventDefault();
    });
    box.addEventListener("blur", () => point(null, true));
  }

  add(sample) {
    this.series.forEach((series, i) => this.columns[i].push(sample === null ? null : (at(sample, series.path) ?? null)));
  }

  drop(count) {
    for (const column of this.columns) column.splice(0, count);
  }

  draw() {
    if (this.drawn && this.figure.offsetParent !== null) this.drawn.setData([times, ...this.columns]);
    this.tell();
  }

  /* What is pointed at, or the newest, as text. */
  tell() {
    if (!this.drawn) return;
    const index = pointed ?? times.length - 1;
    const values = this.series.map((series, i) => `${series.label} ${words(this.columns[i][index], series.unit)}`).join(", ");
    const text = index < 0 ? "Nothing yet" : `${clock.format(times[index] * 1000)}: ${values}`;

    say(this.reading, pointed === null ? this.caption : text);
    this.box.setAttribute("aria-valuemax", String(Math.max(times.length - 1, 0)));
    this.box.setAttribute("aria-valuenow", String(Math.max(index, 0)));
    this.box.setAttribute("aria-valuetext", text);
  }
}

/* Points at one second in all plots, and moves their lines there if no mouse has. */
function point(index, move = false) {
  if (index === pointed && !move) return;
  pointed = index;
  for (const plot of plots) {
    if (move && plot.drawn) {
      const left = index === null ? -10 : plot.drawn.valToPos(times[index], "x");
      plot.drawn.setCursor({ left, top: index === null ? -10 : 10 }, false);
    }
    plot.tell();
  }
}

function remember(sample) {
  let last = times.at(-1);

  /* the server's clock was set back: what is plotted has times to come */
  if (last !== undefined && sample.time < last - 1) {
    for (const plot of plots) plot.drop(times.length);
    times.length = 0;
    pointed = null;
    last = undefined;
  }
  if (last !== undefined && sample.time <= last) return;
  /* a gap, while nobody looked or nothing came, is shown as one */
  if (last !== undefined && sample.time - last > 3) {
    times.push(last + 1);
    for (const plot of plots) plot.add(null);
  }
  times.push(sample.time);
  for (const plot of plots) plot.add(sample);
  const old = times.findIndex((time) => time >= sample.time - WINDOW_S);
  times.splice(0, old);
  for (const plot of plots) plot.drop(old);
  if (pointed !== null) pointed = Math.max(pointed - old, 0);
  for (const plot of plots) plot.draw();
  /* for who measures: what is plotted is a line from the second look on */
  if (times.length <= 2) performance.mark(times.length === 1 ? "first-look" : "first-plot");
}

/* ---------------------------------------------------------------- the rest of the page */

function rows(table, list, cells) {
  const body = table.tBodies[0];

  while (body.rows.length > list.length) body.deleteRow(-1);
  list.forEach((item, i) => {
    const row = body.rows[i] ?? body.insertRow();
    cells(item).forEach((text, column) => {
      const make = () => {
        const cell = document.createElement(column === 0 ? "th" : "td");
        if (column === 0) cell.scope = "row";
        return row.appendChild(cell);
      };
      say(row.cells[column] ?? make(), text);
    });
  });
}

function badge(id, text, tone) {
  say($(id), text);
  $(id).dataset.tone = tone;
}

const KEEPER = {
  running: ["running", "good"],
  loading: ["loading the ledger", "warn"],
  fault: ["cannot write the ledger", "bad"],
  absent: ["not running", "bad"],
};
const BREAKER = { closed: ["reachable", "good"], "half-open": ["trying again", "warn"], open: ["left alone", "bad"] };

function showStates(sample) {
  const soldOut = sample.stock?.available === 0;

  document.body.dataset.sold = soldOut ? "out" : "";
  if (sample.stock) badge("sale-state", ...(sample.ready ? [soldOut ? "Sold out" : "On sale", soldOut ? "warn" : "good"] : ["Not ready", "bad"]));
  if (sample.keeper) badge("keeper-state", ...(KEEPER[sample.keeper.state] ?? [sample.keeper.state, "warn"]));
  if (sample.hop) badge("hop-state", ...(BREAKER[sample.hop.breaker] ?? [sample.hop.breaker, "warn"]));
  if (sample.stock) $("drained").value = sample.stock.capacity > 0 ? sample.stock.sold / sample.stock.capacity : 0;
}

function showParts(sample) {
  const has = { stock: Boolean(sample.stock), nostock: !sample.stock, hop: Boolean(sample.hop) };

  for (const part of document.querySelectorAll("[data-needs]")) part.hidden = !has[part.dataset.needs];
  $("events").hidden = (sample.events?.length ?? 0) < 2;
  rows($("events"), sample.events ?? [], (event) => [
    event.event, words(event.available), words(event.sold), words(event.rate?.tickets, "rate"),
  ]);
  rows($("workers"), sample.workers, (pool) => [
    pool.pool, words(pool.serving), words(pool.starting), words(pool.draining), words(pool.died),
  ]);
}

let told = "";
let toldAt = -SUMMARY_MS;

/* The live region: at most one sentence in SUMMARY_MS, at once when the situation is another one. */
function summarize(sample) {
  const situation = `${sample.ready} ${sample.stock?.available === 0} ${sample.keeper?.state} ${sample.hop?.breaker}`;
  const now = performance.now();

  if (situation === told && now - toldAt < SUMMARY_MS) return;
  told = situation;
  toldAt = now;
  say($("summary"), [
    sample.ready === false && "Not ready to sell",
    sample.stock && (sample.stock.available === 0 ? "Sold out" : `${words(sample.stock.available)} of ${words(sample.stock.capacity)} tickets available`),
    `${words(sample.rate?.sales, "rate")} sales per second`,
    sample.latency?.sales && `99th percentile ${words(sample.latency.sales.p99, "seconds")}`,
    sample.keeper && `keeper ${KEEPER[sample.keeper.state]?.[0] ?? sample.keeper.state}`,
    sample.hop && `vacancy pool ${BREAKER[sample.hop.breaker]?.[0] ?? sample.hop.breaker}`,
  ].filter(Boolean).join("; "));
}

/* At the rate of the last ten seconds. */
function lasts(sample, recent) {
  recent.push(sample.rate?.tickets ?? 0);
  if (recent.length > 10) recent.shift();
  const rate = recent.reduce((sum, value) => sum + value, 0) / recent.length;
  return rate > 0 && sample.stock?.available > 0 ? sample.stock.available / rate : null;
}

const figures = [...document.querySelectorAll("[data-figure]")];
const recent = [];

function show(sample) {
  sample.lasts = lasts(sample, recent);
  showParts(sample); /* first: a plot that is hidden is not drawn */
  for (const figure of figures) say(figure, words(at(sample, figure.dataset.figure), figure.dataset.unit));
  showStates(sample);
  summarize(sample);
  remember(sample);
  document.title = sample.stock ? `${words(sample.stock.available)} left · ${sample.service}` : `${sample.service} · ${sample.role}`;
}

/* ---------------------------------------------------------------- the stream */

let source = null;
let timer = null;
let paused = false;

function connection(state, text) {
  document.body.dataset.connection = state;
  say($("connection"), text);
}

function watch(ms) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    connection("lost", "Connection lost, trying again");
    open();
  }, ms);
}

/* The browser comes back by itself when a stream ends, but not after an answer that is none, nor
 * when nothing comes: for these there is the timer. */
function open() {
  close();
  source = new EventSource("dashboard/stream");
  source.onmessage = (event) => {
    connection("live", "Live");
    watch(SILENT_MS);
    show(JSON.parse(event.data));
  };
  source.onerror = () => {
    connection("lost", "Connection lost, trying again");
    watch(RETRY_MS);
  };
  watch(SILENT_MS);
}

function close() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

/* Nobody looks: the server need not tell. */
function follow() {
  if (paused || document.hidden) {
    close();
    connection("paused", "Paused");
  } else if (source === null) {
    connection("connecting", "Connecting");
    open();
  }
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  say($("pause"), paused ? "Resume" : "Pause");
  follow();
});
document.addEventListener("visibilitychange", follow);
window.addEventListener("pagehide", close);
window.addEventListener("pageshow", follow);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const plot of plots) plot.drawn?.redraw();
});

for (const figure of document.querySelectorAll("[data-plot]")) plots.push(new Plot(figure));
follow();
