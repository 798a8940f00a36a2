"use strict";
// Small inline SVG charts and durations for people. No library. Everything from the server goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A duration in its two largest units, as the command line says it: 45 s, 12 min 5 s, 3 h 10 min, 6 d 2 h.
function spoken(seconds) {
  let left = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count || parts.length || unit === "s") parts.push([count, unit]);
    if (parts.length === 2) break;
  }
  return parts.filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ") || "0 s";
}

const many = (count) => (count === null || count === undefined ? "?" : count.toLocaleString("en-US"));

function size(bytes) {
  for (const [unit, factor] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (bytes >= factor) return `${(bytes / factor).toFixed(bytes >= 10 * factor ? 0 : 1)} ${unit}`;
  }
  return `${bytes} B`;
}

const clockTime = (ms) => new Date(ms).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

// Points are [ms, value or null]; a null is a hole. Returns path texts in a box of w times h.
function paths(points, w, h, top) {
  const first = points[0][0];
  const span = Math.max(1, points[points.length - 1][0] - first);
  const x = (ms) => ((ms - first) / span) * w;
  const y = (value) => h - (value / top) * h;
  let line = "";
  let area = "";
  let run = [];
  const close = () => {
    if (!run.length) return;
    if (run.length === 1) run.push([run[0][0] + 1, run[0][1]]);
    const text = run.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join(" L");
    line += `M${text}`;
    area += `M${run[0][0].toFixed(1)} ${h} L${text} L${run[run.length - 1][0].toFixed(1)} ${h} Z`;
    run = [];
  };
  for (const [ms, value] of points) {
    if (value === null) close();
    else run.push([x(ms), y(value)]);
  }
  close();
  return { line, area, x, y };
}

function sparkline(points, label) {
  if (points.length < 2) return el("span", { class: "quiet" }, "");
  const top = Math.max(1, ...points.map(([, value]) => value || 0));
  const drawn = paths(points, 120, 24, top * 1.05);
  return svg("svg", { viewBox: "0 0 120 24", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("path", { class: "area", d: drawn.area }), svg("path", { class: "line", d: drawn.line }));
}

// The smallest of 1, 2, 5 times a power of ten (or of a unit of time) that is at least the value.
function ceiling(value, times) {
  const steps = times ? [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800] : [];
  for (const step of steps) if (value <= step) return step;
  let power = 1;
  while (power * 10 < value) power *= 10;
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => value <= top) || value;
}

function chart(title, points, say, times) {
  const card = el("div", { class: "card chart" }, el("h2", {}, title));
  const known = points.filter(([, value]) => value !== null);
  if (known.length < 2) {
    card.append(el("p", { class: "quiet" }, "The chart begins with the second look."));
    return card;
  }
  const w = 500, h = 150;
  const top = ceiling(Math.max(1, ...known.map(([, value]) => value)), times);
  const drawn = paths(points, w, h, top);
  const cursor = svg("line", { class: "cursor", y1: 0, y2: h });
  const at = el("span", { class: "at" });
  const picture = svg("svg", { viewBox: `0 0 ${w} ${h}`, preserveAspectRatio: "none", role: "img", "aria-label":
    `${title}: ${say(known[known.length - 1][1])} now, at most ${say(Math.max(...known.map(([, value]) => value)))}` },
    svg("line", { class: "grid", x1: 0, x2: w, y1: 0, y2: 0 }), svg("line", { class: "grid", x1: 0, x2: w, y1: h / 2, y2: h / 2 }),
    svg("line", { class: "grid", x1: 0, x2: w, y1: h, y2: h }), svg("path", { class: "area", d: drawn.area }),
    svg("path", { class: "line", d: drawn.line }), cursor);
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const wanted = ((event.clientX - box.left) / box.width) * w;
    const nearest = known.reduce((best, each) =>
      Math.abs(drawn.x(each[0]) - wanted) < Math.abs(drawn.x(best[0]) - wanted) ? each : best);
    for (const name of ["x1", "x2"]) cursor.setAttribute(name, drawn.x(nearest[0]));
    cursor.classList.add("on");
    at.textContent = `${clockTime(nearest[0])}  ${say(nearest[1])}`;
  });
  picture.addEventListener("pointerleave", () => {
    cursor.classList.remove("on");
    at.textContent = "";
  });
  const plot = el("div", { class: "plot" }, picture, at,
    el("div", { class: "x" }, el("span", {}, clockTime(points[0][0])), el("span", {}, clockTime(points[points.length - 1][0]))));
  for (const [share, value] of [[0, top], [0.5, top / 2]]) {
    const label = el("span", { class: "y" }, say(value));
    label.style.top = `${share * h}px`;
    plot.append(label);
  }
  card.append(plot);
  return card;
}
