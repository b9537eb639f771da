// Draws the report's charts over time, from the JSON in the page. It asks nobody for anything and keeps nothing.
// All text goes into the page as text, never as markup.
(() => {
"use strict";

const report = JSON.parse(document.getElementById("report").textContent);
const host = document.getElementById("charts");
const line = report.timeline;
const count = line.from_ms.length;

// A link to a policy opens it, and so does printing.
const open = (element) => { if (element instanceof HTMLDetailsElement) element.open = true; };
const openTarget = () => { if (location.hash.length > 1) open(document.getElementById(location.hash.slice(1))); };
addEventListener("hashchange", openTarget);
addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest('a[href^="#"]');
  if (link) open(document.getElementById(link.getAttribute("href").slice(1)));
});
let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach(open);
});
addEventListener("afterprint", () => { closed.forEach((details) => { details.open = false; }); });
openTarget();
if (!host || count === 0) return;

// ---- Words and numbers, as the rest of the page has them.

const short = (value) => {
  const decimals = Number.isInteger(value) || value >= 99.95 ? 0 : value < 9.995 ? 2 : 1;
  const text = value.toFixed(decimals);
  if (decimals > 0) return text.replace(/\.?0+$/, "");
  return text.replace(/\B(?=(\d{3})+$)/g, "_");
};
const SIZES = [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]];
const unitOf = (bytes) => SIZES.find(([size]) => bytes >= size) || SIZES[4];
const rate = (bytes) => { const [size, unit] = unitOf(bytes); return `${short(bytes / size)} ${unit}/s`; };
const iso = (ms) => new Date(ms).toISOString();
const clock = (ms) => iso(ms).slice(11, 19);
const day = (ms) => iso(ms).slice(0, 10);
const moment = (ms) => `${day(ms)} ${clock(ms)}`;
const span = (from, to) => (to - from < 1000 ? `${moment(from)} UTC`
  : day(from) === day(to) ? `${moment(from)} – ${clock(to)} UTC` : `${moment(from)} – ${moment(to)} UTC`);

// ---- Elements.

const SVG = "http://www.w3.org/2000/svg";
const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
};
const html = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

// ---- The data: each bin at the middle of its time.

const mid = line.from_ms.map((from, i) => (from + line.to_ms[i]) / 2);
const steps = mid.slice(1).map((at, i) => at - mid[i]).sort((a, b) => a - b);
const spacing = Math.max(1000, steps.length ? steps[steps.length >> 1] : 10000);
const GAP = Math.max(300000, 3 * spacing);
// Few polls don't fill the width.
const pad = Math.max(spacing / 2, (12 * spacing - (mid[count - 1] - mid[0])) / 2);
const first = line.from_ms[0] - pad;
const last = line.to_ms[count - 1] + pad;
const LEAST = Math.min(last - first, 4 * spacing);

// Policies, their names and colours as the tables have them.
const policies = (table, acts) => [...document.querySelectorAll(`#${table} tr[data-policy]`)]
  .map((row) => ({
    name: row.querySelector(".name").textContent,
    colour: row.dataset.colour,
    values: acts[Number(row.dataset.policy)],
  }))
  .filter((policy) => policy.values.length > 0);
const stacks = [{ title: report.against ? "Acts of A" : "Acts", layers: policies("policy-table", line.acts), id: "acts" }];
if (report.against) {
  stacks.push({ title: "Acts of B", layers: policies("against-table", line.against_acts), id: "against-acts" });
}
// The colours run out: who shares the last one is one layer of the chart.
for (const stack of stacks) {
  const others = stack.layers.filter((layer) => layer.colour === "cx");
  if (others.length > 1) {
    const values = line.from_ms.map((_, i) => others.reduce((sum, layer) => sum + layer.values[i], 0));
    stack.layers = stack.layers.filter((layer) => layer.colour !== "cx");
    stack.layers.push({ name: `${others.length} other policies`, colour: "cx", values });
  }
}
const most = (values) => values.reduce((top, value) => (value > top ? value : top), 0);
const isTold = (values) => values.some((value) => value !== null);
const total = (values) => values.reduce((sum, value) => sum + value, 0);

const isUneven = line.sessions_max.some((top, i) => top > line.sessions_mean[i] * 1.02 + 1);
const curves = [
  {
    id: "sessions", title: "Client sessions", height: 120, show: short,
    series: [
      { name: isUneven ? "mean" : "sessions", colour: "c0", values: line.sessions_mean, area: true },
      ...(isUneven ? [{ name: "most", colour: "c0", values: line.sessions_max, style: "faint" }] : []),
    ],
  },
  {
    id: "traffic", title: "Traffic", height: 120, show: rate, isBytes: true,
    series: [
      { name: "sent to clients", colour: "c2", values: line.sent_rate, area: true },
      { name: "received from clients", colour: "c3", values: line.recv_rate },
    ],
  },
  {
    id: "heights", title: "Block heights", height: 84, show: short, isLevel: true,
    series: [
      { name: "daemon", colour: "c7", values: line.daemon_height },
      { name: "index", colour: "c1", values: line.db_height, style: "dashed" },
    ],
  },
].filter((panel) => panel.series.some((series) => isTold(series.values)));
const bars = stacks.map((stack) => ({ ...stack, height: 110 })).filter((stack) => stack.layers.length > 0);
if (total(line.suppressed) > 0) {
  bars.push({ id: "held-back", title: report.against ? "Held back of A" : "Held back", height: 56,
    layers: [{ name: "decisions", colour: "cx", values: line.suppressed }] });
}
if (report.against && total(line.against_suppressed) > 0) {
  bars.push({ id: "against-held-back", title: "Held back of B", height: 56,
    layers: [{ name: "decisions", colour: "cx", values: line.against_suppressed }] });
}
if (total(line.errors) > 0) {
  bars.push({ id: "errors", title: "Errors that the server counted", height: 56,
    layers: [{ name: "errors", colour: "c4", values: line.errors }] });
}

// ---- State: what is shown, and the bin under the pointer.

let view = [first, last];
let at = null;
let drag = null;
let width = 0;
const LEFT = 58;
const RIGHT = 10;
const plot = () => Math.max(40, width - LEFT - RIGHT);
const toX = (ms, [from, to] = view) => LEFT + ((ms - from) / (to - from)) * plot();
const toTime = (x, [from, to] = view) => from + ((x - LEFT) / plot()) * (to - from);
const isWhole = () => view[0] <= first && view[1] >= last;

const show = (from, to) => {
  const length = Math.min(last - first, Math.max(LEAST, to - from));
  const middle = (from + to) / 2;
  const start = Math.min(last - length, Math.max(first, to - from < LEAST ? middle - length / 2 : from));
  view = [start, start + length];
  draw();
};
const zoom = (factor) => {
  const middle = at === null || mid[at] < view[0] || mid[at] > view[1] ? (view[0] + view[1]) / 2 : mid[at];
  const length = (view[1] - view[0]) * factor;
  const part = (middle - view[0]) / (view[1] - view[0]);
  show(middle - length * part, middle + length * (1 - part));
};
const reset = () => show(first, last);

// ---- The frame: tools, brush, panels, tip.

const readout = html("p", { id: "charts-range" });
const button = (label, name, act) => {
  const made = html("button", { type: "button", "aria-label": name }, label);
  made.addEventListener("click", act);
  return made;
};
const closer = button("+", "Zoom in", () => zoom(0.5));
const wider = button("−", "Zoom out", () => zoom(2));
const resetter = button("Reset", "Show the whole recording", reset);
const tools = html("div", { class: "bar-of-tools", role: "group", "aria-label": "Time shown" }, readout, closer, wider, resetter);
const hint = html("p", { class: "note hint" }, "Drag across a chart, or move the handles of the strip, to look closer. Double-click, or Escape, shows all again. With the charts in focus the arrow keys go from poll to poll.");
const handles = ["Start", "End"].map((name, i) => html("div", {
  class: "handle", role: "slider", tabindex: 0, "aria-orientation": "horizontal", "data-handle": i,
  "aria-label": `${name} of the time shown`,
}));
const strip = svg("svg", { "aria-hidden": "true" });
const brush = html("div", { class: "brush" }, strip, ...handles);
const panels = html("div", { class: "panels", tabindex: 0, role: "group", "aria-label": "Charts over time" });
const tip = html("div", { class: "tip", hidden: "" });
const spoken = html("p", { class: "vh", "aria-live": "polite" });
host.append(hint, tools, brush, panels, tip, spoken);

const legend = (title, entries) => html("figcaption", {}, html("b", {}, title),
  ...entries.map(({ name, colour }) => html("span", {}, html("i", { class: `dot ${colour}` }), name)));
for (const panel of [...curves, ...bars]) {
  const entries = panel.series || panel.layers;
  const isPlain = entries.length === 1 && !stacks.some((stack) => stack.id === panel.id);
  panel.svg = svg("svg", { role: "img" });
  panels.append(html("figure", { class: "panel", id: `chart-${panel.id}` },
    legend(panel.title, isPlain ? [] : entries), panel.svg));
}

// ---- Drawing.

const nice = (top, ticks) => {
  const rough = top / ticks;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= rough * 0.999);
};
// From zero up, in steps that read well.
const scale = (top, ticks, { isBytes, isWhole: whole } = {}) => {
  if (!(top > 0)) return { low: 0, high: 1, ticks: [0] };
  const [unit] = isBytes ? unitOf(top) : [1];
  const step = Math.max(whole ? 1 : 0, nice(top / unit, ticks)) * unit;
  const steps = Math.ceil(top / step - 1e-9);
  return { low: 0, high: steps * step, ticks: Array.from({ length: steps + 1 }, (_, i) => i * step) };
};
// Around values far from zero.
const level = (low, high) => {
  const step = Math.max(1, nice(Math.max(1, high - low), 3));
  const from = Math.floor((low - step / 4) / step) * step;
  const to = Math.max(from + step, Math.ceil((high + step / 4) / step) * step);
  const ticks = [];
  for (let tick = from; tick <= to; tick += step) ticks.push(tick);
  return { low: from, high: to, ticks };
};

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TIMES = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND)
  .concat([1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), [1, 2, 3, 6, 12].map((n) => n * HOUR),
    [1, 2, 7, 14, 28, 56, 112, 364].map((n) => n * DAY));
const timeTicks = ([from, to]) => {
  // `00:05` and `01-31` need less room than `00:05:30` and `2026-01-01`.
  const isLong = (time) => time < MINUTE || time >= 364 * DAY;
  const room = (time) => Math.max(2, Math.floor(plot() / (isLong(time) ? 84 : 48)));
  const step = TIMES.find((time) => (to - from) / time <= room(time)) || TIMES[TIMES.length - 1];
  // A recording that begins at midnight has no new day there.
  const isNewDay = (tick) => tick % DAY === 0 && tick > line.from_ms[0];
  const ticks = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) {
    const text = step >= DAY || isNewDay(tick) ? day(tick).slice(step >= 364 * DAY ? 0 : 5) : clock(tick).slice(0, step < MINUTE ? 8 : 5);
    ticks.push({ tick, text });
  }
  return ticks;
};

const frame = (height, y, show, over = view) => {
  const parts = [];
  for (const { tick, text } of timeTicks(over)) {
    const x = toX(tick, over);
    parts.push(svg("line", { class: "grid", x1: x, x2: x, y1: 2, y2: height }));
    const anchor = x > width - 30 ? "end" : "middle";
    parts.push(svg("text", { x: anchor === "end" ? width : x, y: height + 13, "text-anchor": anchor }, text));
  }
  for (const tick of y.ticks) {
    const top = y.at(tick);
    parts.push(svg("line", { class: tick === y.low ? "axis" : "grid", x1: LEFT, x2: LEFT + plot(), y1: top, y2: top }));
    parts.push(svg("text", { x: LEFT - 6, y: top + 4, "text-anchor": "end" }, show(tick)));
  }
  return parts;
};
const withPlace = (y, height) => ({ ...y, at: (value) => height - ((value - y.low) / (y.high - y.low)) * (height - 6) });

// Where polls failed, and where nobody looked.
const shades = (height, over = view) => {
  const parts = [];
  for (let i = 0; i < count; i += 1) {
    if (line.missed[i] > 0 && line.polls[i] === 0) {
      const from = Math.max(LEFT, toX(line.from_ms[i] - spacing / 2, over));
      const to = Math.min(LEFT + plot(), toX(line.to_ms[i] + spacing / 2, over));
      if (to > from) parts.push(svg("rect", { class: "missed", x: from, y: 2, width: to - from, height: height - 2 }));
    }
    if (i + 1 < count && line.from_ms[i + 1] - line.to_ms[i] > GAP) {
      const from = Math.max(LEFT, toX(line.to_ms[i], over));
      const to = Math.min(LEFT + plot(), toX(line.from_ms[i + 1], over));
      if (to > from) parts.push(svg("rect", { class: "unseen", x: from, y: 2, width: to - from, height: height - 2 }));
    }
  }
  return parts;
};

// The bins of the view, and one more on either side, so that lines go on to the edge.
const inView = ([from, to]) => {
  let low = mid.findIndex((time) => time >= from);
  if (low < 0) low = count;
  let high = count;
  while (high > 0 && mid[high - 1] > to) high -= 1;
  return [Math.max(0, low - 1), Math.min(count, high + 1)];
};

// Runs of bins without a break between them.
const runs = (values, [low, high]) => {
  const found = [];
  let run = [];
  for (let i = low; i < high; i += 1) {
    const isBreak = run.length > 0 && mid[i] - mid[run[run.length - 1]] > GAP;
    if (values[i] === null || isBreak) {
      if (run.length > 0) found.push(run);
      run = [];
    }
    if (values[i] !== null) run.push(i);
  }
  if (run.length > 0) found.push(run);
  return found;
};

const curve = (series, y, over, bottom, isLevel = false) => {
  const parts = [];
  const place = (i) => `${toX(mid[i], over).toFixed(1)},${y.at(series.values[i]).toFixed(1)}`;
  let path = "";
  let area = "";
  for (const run of runs(series.values, inView(over))) {
    if (run.length === 1) {
      parts.push(svg("circle", { class: `point ${series.colour}`, cx: toX(mid[run[0]], over), cy: y.at(series.values[run[0]]), r: 3 }));
      continue;
    }
    // A level holds until it is seen to have changed.
    const points = run.map((i, n) => (isLevel && n > 0 ? `H${toX(mid[i], over).toFixed(1)}V${y.at(series.values[i]).toFixed(1)}` : `${n > 0 ? "L" : ""}${place(i)}`)).join("");
    path += `M${points}`;
    area += `M${toX(mid[run[0]], over).toFixed(1)},${bottom}L${points}L${toX(mid[run[run.length - 1]], over).toFixed(1)},${bottom}Z`;
  }
  if (series.area && area) parts.push(svg("path", { class: `area ${series.colour}`, d: area }));
  if (path) parts.push(svg("path", { class: `curve ${series.colour} ${series.style || ""}`, d: path }));
  return parts;
};

// Counts, several bins to a bar where bars would be too thin to see.
const binned = (layers, [from, to]) => {
  const room = Math.max(8, Math.floor(plot() / 5));
  const length = spacing * Math.max(1, Math.ceil((to - from) / spacing / room));
  // A bin stands in the middle of its bar.
  const base = mid[0] - spacing / 2;
  const origin = Math.floor((from - base) / length) * length + base;
  const slots = new Map();
  for (let i = 0; i < count; i += 1) {
    if (mid[i] < origin || mid[i] > to) continue;
    const slot = Math.floor((mid[i] - origin) / length);
    if (!slots.has(slot)) slots.set(slot, layers.map(() => 0));
    layers.forEach((layer, n) => { slots.get(slot)[n] += layer.values[i]; });
  }
  return { slots, length, origin };
};
const columns = (layers, y, over, { slots, length, origin }) => {
  const paths = layers.map(() => "");
  for (const [slot, values] of slots) {
    const from = Math.max(LEFT, toX(origin + slot * length, over));
    const to = Math.min(LEFT + plot(), toX(origin + (slot + 1) * length, over));
    const room = Math.max(1, to - from - (to - from > 4 ? 1 : 0));
    let below = 0;
    values.forEach((value, n) => {
      if (value > 0) {
        const [top, bottom] = [y.at(below + value), y.at(below)];
        paths[n] += `M${from.toFixed(1)},${bottom.toFixed(1)}h${room.toFixed(1)}V${top.toFixed(1)}h${(-room).toFixed(1)}Z`;
        below += value;
      }
    });
  }
  return paths.map((path, n) => svg("path", { class: `bars ${layers[n].colour}`, d: path }));
};

const clip = (id, height, parts) => [
  svg("clipPath", { id }, svg("rect", { x: LEFT, y: 0, width: plot(), height: height + 1 })),
  svg("g", { "clip-path": `url(#${id})` }, ...parts),
];
const put = (element, height, label, parts) => {
  element.setAttribute("viewBox", `0 0 ${width} ${height}`);
  element.setAttribute("width", String(width));
  element.setAttribute("height", String(height));
  if (label) element.setAttribute("aria-label", label);
  element.replaceChildren(...parts);
};

const drawCurves = (panel) => {
  const [low, high] = inView(view);
  const seen = panel.series.flatMap((series) => series.values.slice(low, high)).filter((value) => value !== null);
  const least = seen.reduce((a, b) => Math.min(a, b), Infinity);
  const top = most(seen);
  const y = withPlace(panel.isLevel && seen.length ? level(least, top)
    : scale(top, panel.height > 100 ? 4 : 3, panel), panel.height);
  const label = seen.length ? `${panel.title}: from ${panel.show(least)} to ${panel.show(top)}` : `${panel.title}: unknown`;
  put(panel.svg, panel.height + 18, label, [
    ...frame(panel.height, y, panel.show),
    ...clip(`clip-${panel.id}`, panel.height, [...shades(panel.height), ...panel.series.flatMap((series) => curve(series, y, view, panel.height, panel.isLevel))]),
    svg("g", { class: "over" }),
  ]);
};
const drawBars = (panel) => {
  const grouped = binned(panel.layers, view);
  const sums = [...grouped.slots.values()].map(total);
  // What two sets did is to be compared, and what was held back of them.
  const peers = bars.filter((other) => other.id.replace("against-", "") === panel.id.replace("against-", ""));
  const tops = peers.flatMap((other) => [...binned(other.layers, view).slots.values()].map(total));
  const y = withPlace(scale(most(tops), panel.height > 100 ? 4 : 2, { isWhole: true }), panel.height);
  put(panel.svg, panel.height + 18, `${panel.title}: ${short(total(sums))} in the time shown`, [
    ...frame(panel.height, y, short),
    ...clip(`clip-${panel.id}`, panel.height, [...shades(panel.height), ...columns(panel.layers, y, view, grouped)]),
    svg("g", { class: "over" }),
  ]);
};

const STRIP = 44;
const drawStrip = () => {
  const whole = [first, last];
  const parts = [...shades(STRIP, whole)];
  const sessions = { colour: "cx", values: line.sessions_mean, area: true };
  parts.push(...curve(sessions, withPlace(scale(most(line.sessions_mean), 1), STRIP), whole, STRIP));
  const layers = bars.filter((panel) => panel.id === "acts").flatMap((panel) => panel.layers);
  if (layers.length > 0) {
    const grouped = binned(layers, whole);
    const y = withPlace(scale(most([...grouped.slots.values()].map(total)), 1), STRIP);
    parts.push(...columns(layers, y, whole, grouped));
  }
  const [from, to] = view.map((time) => toX(time, whole));
  parts.push(
    svg("rect", { class: "shade", x: LEFT, y: 0, width: Math.max(0, from - LEFT), height: STRIP }),
    svg("rect", { class: "shade", x: to, y: 0, width: Math.max(0, LEFT + plot() - to), height: STRIP }),
    svg("rect", { class: "window", x: from, y: 0.5, width: Math.max(1, to - from), height: STRIP - 1 }),
  );
  put(strip, STRIP, null, parts);
  handles.forEach((handle, i) => {
    handle.style.left = `${[from, to][i]}px`;
    const bounds = i === 0 ? [first, view[1] - LEAST] : [view[0] + LEAST, last];
    fill(handle, {
      "aria-valuemin": Math.round(bounds[0]), "aria-valuemax": Math.round(bounds[1]),
      "aria-valuenow": Math.round(view[i]), "aria-valuetext": `${moment(view[i])} UTC`,
    }, []);
  });
};

let asked = 0;
const draw = () => {
  host.dataset.from = String(Math.round(view[0]));
  host.dataset.to = String(Math.round(view[1]));
  readout.textContent = span(...(isWhole() ? [line.from_ms[0], line.to_ms[count - 1]] : view));
  resetter.disabled = isWhole();
  wider.disabled = isWhole();
  closer.disabled = view[1] - view[0] <= LEAST;
  if (asked) return;
  asked = requestAnimationFrame(() => {
    asked = 0;
    width = Math.max(240, host.clientWidth);
    curves.forEach(drawCurves);
    bars.forEach(drawBars);
    drawStrip();
    drawOver();
  });
};

// ---- The cross, the tip, the selection.

const drawOver = () => {
  for (const panel of [...curves, ...bars]) {
    const over = panel.svg.querySelector(".over");
    const parts = [];
    if (at !== null && mid[at] >= view[0] && mid[at] <= view[1]) {
      const x = toX(mid[at]);
      parts.push(svg("line", { class: "cross", x1: x, x2: x, y1: 2, y2: panel.height }));
    }
    if (drag && drag.kind === "select" && drag.moved) {
      const [from, to] = [drag.from, drag.to].sort((a, b) => a - b);
      parts.push(svg("rect", { class: "selection", x: from, y: 2, width: to - from, height: panel.height - 2 }));
    }
    over.replaceChildren(...parts);
  }
};

const rows = (i) => {
  const found = [];
  const add = (name, value, colour) => found.push({ name, value, colour });
  if (line.sessions_mean[i] !== null) {
    const mean = line.sessions_mean[i];
    add("client sessions", mean === line.sessions_max[i] ? short(mean) : `${short(mean)}, most ${short(line.sessions_max[i])}`, "c0");
  }
  if (line.sent_rate[i] !== null) add("sent to clients", rate(line.sent_rate[i]), "c2");
  if (line.recv_rate[i] !== null) add("received", rate(line.recv_rate[i]), "c3");
  if (line.daemon_height[i] !== null) add("daemon at block", short(line.daemon_height[i]), "c7");
  if (line.db_height[i] !== null) add("index at block", short(line.db_height[i]), "c1");
  for (const stack of stacks) {
    const acting = stack.layers.filter((layer) => layer.values[i] > 0).sort((a, b) => b.values[i] - a.values[i]);
    for (const layer of acting.slice(0, 8)) {
      add(report.against ? `${stack.id === "acts" ? "A" : "B"}: ${layer.name}` : layer.name, short(layer.values[i]), layer.colour);
    }
  }
  if (line.suppressed[i] > 0) add("held back", short(line.suppressed[i]), "cx");
  if (report.against && line.against_suppressed[i] > 0) add("B: held back", short(line.against_suppressed[i]), "cx");
  if (line.errors[i] > 0) add("errors", short(line.errors[i]), "c4");
  if (line.missed[i] > 0) add(line.polls[i] > 0 ? "polls that failed" : "the poll failed", line.polls[i] > 0 ? short(line.missed[i]) : "", "");
  return found;
};

const point = (i, y) => {
  at = i;
  tip.hidden = i === null;
  if (i !== null) {
    tip.replaceChildren(html("b", {}, span(line.from_ms[i], line.to_ms[i])), ...rows(i).map(({ name, value, colour }) =>
      html("div", {}, html("span", {}, ...(colour ? [html("i", { class: `dot ${colour}` })] : []), name), html("span", {}, value))));
    const x = toX(mid[i]);
    const room = host.clientWidth;
    const isLeft = x > room / 2;
    const left = isLeft ? x - tip.offsetWidth - 14 : x + 14;
    tip.style.left = `${Math.max(0, Math.min(room - tip.offsetWidth, left))}px`;
    const top = y === undefined ? panels.offsetTop + 24 : y + 16;
    tip.style.top = `${Math.max(panels.offsetTop, Math.min(top, host.clientHeight - tip.offsetHeight))}px`;
  }
  drawOver();
};
const nearest = (time) => {
  let best = null;
  for (let i = 0; i < count; i += 1) {
    if (mid[i] < view[0] || mid[i] > view[1]) continue;
    if (best === null || Math.abs(mid[i] - time) < Math.abs(mid[best] - time)) best = i;
  }
  return best;
};

// ---- Pointers: mouse, pen and fingers alike. Up and down stays the page's.

const place = (event) => {
  const box = host.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
const within = (x) => Math.min(LEFT + plot(), Math.max(LEFT, x));
const whole = () => [first, last];

panels.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  const x = within(place(event)[0]);
  drag = { kind: "select", id: event.pointerId, from: x, to: x, moved: false };
});
panels.addEventListener("pointermove", (event) => {
  const [x, y] = place(event);
  if (drag && drag.kind === "select" && drag.id === event.pointerId) {
    drag.to = within(x);
    if (!drag.moved && Math.abs(drag.to - drag.from) > 6) {
      drag.moved = true;
      panels.setPointerCapture(event.pointerId);
    }
  }
  point(nearest(toTime(within(x))), y);
});
const endSelect = (event, isKept) => {
  if (!drag || drag.kind !== "select" || drag.id !== event.pointerId) return;
  const { from, to, moved } = drag;
  drag = null;
  if (moved && isKept) {
    const times = [from, to].sort((a, b) => a - b).map((x) => toTime(x));
    if (event.pointerType !== "mouse") point(null);
    show(...times);
  } else {
    const [x, y] = place(event);
    point(nearest(toTime(within(x))), y);
  }
};
panels.addEventListener("pointerup", (event) => endSelect(event, true));
panels.addEventListener("pointercancel", (event) => endSelect(event, false));
panels.addEventListener("pointerleave", (event) => { if (!drag && event.pointerType === "mouse") point(null); });
panels.addEventListener("dblclick", reset);
addEventListener("pointerdown", (event) => {
  if (event.pointerType !== "mouse" && event.target instanceof Node && !panels.contains(event.target)) point(null);
});

brush.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  const x = within(place(event)[0]);
  const handle = event.target instanceof Element && event.target.closest(".handle");
  const [from, to] = view.map((time) => toX(time, whole()));
  const kind = handle ? `edge${handle.dataset.handle}` : !isWhole() && x >= from && x <= to ? "move" : "new";
  drag = { kind, id: event.pointerId, from: x, view: [...view], moved: false };
  brush.setPointerCapture(event.pointerId);
  if (handle) handle.focus();
  event.preventDefault();
});
brush.addEventListener("pointermove", (event) => {
  if (!drag || drag.kind === "select" || drag.id !== event.pointerId) return;
  const x = within(place(event)[0]);
  const time = toTime(x, whole());
  const by = time - toTime(drag.from, whole());
  drag.moved = drag.moved || Math.abs(x - drag.from) > 3;
  if (!drag.moved) return;
  if (drag.kind === "edge0") show(Math.min(time, view[1] - LEAST), view[1]);
  if (drag.kind === "edge1") setEnd(time);
  if (drag.kind === "move") show(drag.view[0] + by, drag.view[1] + by);
  if (drag.kind === "new") show(Math.min(time, toTime(drag.from, whole())), Math.max(time, toTime(drag.from, whole())));
});
const setEnd = (time) => show(view[0], Math.min(last, Math.max(time, view[0] + LEAST)));
const endBrush = (event) => {
  if (!drag || drag.kind === "select" || drag.id !== event.pointerId) return;
  const { kind, moved, from } = drag;
  drag = null;
  if (kind === "new" && !moved && !isWhole()) {
    const [middle, length] = [toTime(from, whole()), view[1] - view[0]];
    show(middle - length / 2, middle + length / 2);
  }
};
brush.addEventListener("pointerup", endBrush);
brush.addEventListener("pointercancel", endBrush);
brush.addEventListener("dblclick", reset);

// ---- Keys.

handles.forEach((handle, i) => handle.addEventListener("keydown", (event) => {
  const step = (last - first) * (event.shiftKey ? 0.1 : 0.01);
  const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -10 * step, PageUp: 10 * step }[event.key];
  const to = event.key === "Home" ? first : event.key === "End" ? last : by === undefined ? null : view[i] + by;
  if (event.key === "Escape") reset();
  if (to === null) return;
  event.preventDefault();
  if (i === 0) show(Math.max(first, Math.min(to, view[1] - LEAST)), view[1]);
  else setEnd(to);
}));
panels.addEventListener("keydown", (event) => {
  const [low, high] = [mid.findIndex((time) => time >= view[0]), mid.length - 1 - [...mid].reverse().findIndex((time) => time <= view[1])];
  const go = {
    ArrowLeft: () => (at === null ? high : Math.max(0, at - 1)),
    ArrowRight: () => (at === null ? low : Math.min(count - 1, at + 1)),
    Home: () => low,
    End: () => high,
  }[event.key];
  if (go) {
    event.preventDefault();
    const next = go();
    const length = view[1] - view[0];
    if (mid[next] < view[0]) show(mid[next] - length * 0.1, mid[next] + length * 0.9);
    if (mid[next] > view[1]) show(mid[next] - length * 0.9, mid[next] + length * 0.1);
    point(next);
    spoken.textContent = [span(line.from_ms[next], line.to_ms[next]), ...rows(next).map(({ name, value }) => `${name} ${value}`)].join(", ");
  } else if (event.key === "+" || event.key === "=") {
    zoom(0.5);
  } else if (event.key === "-") {
    zoom(2);
  } else if (event.key === "Escape") {
    point(null);
    reset();
  }
});
panels.addEventListener("blur", () => point(null));

// ---- Width.

let drawn = 0;
new ResizeObserver(() => {
  if (host.clientWidth !== drawn) {
    drawn = host.clientWidth;
    point(null);
    draw();
  }
}).observe(host);
draw();
})();
