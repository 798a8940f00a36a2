"use strict";
// Asks for monitor.json again and again, and draws the monitor's rules: values, the baseline's band, where they fired.

const RULES_EVERY_S = 5;
const STALE_S = 300;

const shownNumber = (value) => (value === null || value === undefined ? "?" : Math.abs(value) >= 1000 ? many(Math.round(value))
  : String(Number(value.toPrecision(3))));

// A round number that is at least the value: 1, 2 or 5 times a power of ten.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => value <= top * 1.0001);
}

// Runs of neighbouring points that all have something, as lists of points.
function runs(points, has) {
  const found = [];
  let open = null;
  for (const point of points) {
    if (!has(point)) open = null;
    else if (open) open.push(point);
    else found.push(open = [point]);
  }
  return found;
}

function rulePicture(name, series) {
  const w = 500, h = 130, points = series.points;
  const numbers = points.flatMap(([, value, low, high]) => [value, low, high]).filter((each) => each !== null);
  const top = roundUp(Math.max(...numbers, 0)), bottom = Math.min(...numbers) < 0 ? -roundUp(-Math.min(...numbers)) : 0;
  const first = points[0][0], last = points[points.length - 1][0];
  const x = (ms) => ((ms - first) / Math.max(1, last - first)) * w;
  const y = (value) => h - ((value - bottom) / (top - bottom)) * h;
  const at = (ms, value) => `${x(ms).toFixed(1)} ${y(value).toFixed(1)}`;
  const step = points.length > 1 ? (last - first) / (points.length - 1) : 1;
  const now = points[points.length - 1];

  const grid = [top, (top + bottom) / 2, bottom].map((value) => svg("line", { class: "grid", x1: 0, x2: w, y1: y(value), y2: y(value) }));
  const fired = runs(points, (point) => point[4]).map((run) => {
    const from = Math.max(0, x(run[0][0] - step)), to = x(run[run.length - 1][0]);
    return svg("rect", { class: "fired", x: from.toFixed(1), y: 0, width: Math.max(1, to - from).toFixed(1), height: h });
  });
  const bands = runs(points, (point) => point[2] !== null && point[3] !== null).map((run) => svg("path", { class: "band", d:
    `M${run.map((each) => at(each[0], each[3])).join(" L")} L${[...run].reverse().map((each) => at(each[0], each[2])).join(" L")} Z` }));
  const lines = runs(points, (point) => point[1] !== null).map((run) => svg("path", { class: "line", d:
    `M${run.map((each) => at(each[0], each[1])).join(" L")}${run.length === 1 ? ` l1 0` : ""}` }));
  const marks = series.marks.filter(([ms]) => ms >= first && ms <= last);
  const posts = marks.map(([ms, state]) => svg("line", { class: `mark ${state}`, x1: x(ms), x2: x(ms), y1: 0, y2: h }));
  const cursor = svg("line", { class: "cursor", y1: 0, y2: h });
  const expected = (point) => (point[2] === null || point[3] === null ? "" : `, expected ${shownNumber(point[2])} to ${shownNumber(point[3])}`);
  const picture = svg("svg", { viewBox: `0 0 ${w} ${h}`, preserveAspectRatio: "none", role: "img", "aria-label":
    `${name}: ${shownNumber(now[1])} now${expected(now)}, ${now[4] ? "firing" : "not firing"}; fired ${marks.filter((each) => each[1] === "firing").length} times` },
    ...grid, ...fired, ...bands, ...lines, ...posts, cursor);
  const said = el("span", { class: "at" });
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const wanted = ((event.clientX - box.left) / box.width) * w;
    const nearest = points.reduce((best, each) => (Math.abs(x(each[0]) - wanted) < Math.abs(x(best[0]) - wanted) ? each : best));
    for (const side of ["x1", "x2"]) cursor.setAttribute(side, x(nearest[0]));
    cursor.classList.add("on");
    said.textContent = `${clockTime(nearest[0])}  ${shownNumber(nearest[1])}${expected(nearest)}`;
  });
  picture.addEventListener("pointerleave", () => {
    cursor.classList.remove("on");
    said.textContent = "";
  });
  const plot = el("div", { class: "plot" }, picture, said,
    el("div", { class: "x" }, el("span", {}, clockTime(first)), el("span", {}, clockTime(last))));
  for (const [ms, state, message] of marks) {
    const flag = el("span", { class: `flag ${state}`, title: `${clockTime(ms)} ${state}: ${message}` }, state === "resolved" ? "✓" : "▲");
    flag.style.left = `${(x(ms) / w) * 100}%`;
    plot.append(flag);
  }
  for (const value of [top, (top + bottom) / 2]) {
    const label = el("span", { class: "y" }, shownNumber(value));
    label.style.top = `${y(value)}px`;
    plot.append(label);
  }
  return plot;
}

function ruleCard(rule, series, atMs) {
  const name = series.group ? `${rule.rule}: ${series.group}` : rule.rule;
  const chip = series.firing ? el("span", { class: `chip ${["critical", "page"].includes(rule.severity) ? "critical" : "warning"}` }, `firing, ${rule.severity}`)
    : el("span", { class: "chip caught-up" }, "quiet");
  const told = series.marks.filter((each) => each[1] === "firing").pop();
  const why = series.firing && told ? el("p", { class: "told" }, `${told[2]} (${spoken((atMs - told[0]) / 1000)} ago)`) : null;
  return el("div", { class: `card chart rule${series.firing ? " firing" : ""}` }, el("h2", {}, name, " ", chip),
    rule.about ? el("p", { class: "about quiet" }, rule.about) : null, why,
    series.points.length ? rulePicture(name, series) : el("p", { class: "quiet" }, "No window has closed yet."));
}

function drawRules(m) {
  const place = document.getElementById("rules");
  document.body.dataset.rules = String(m.at_ms || m.state);
  if (m.state === "off") return place.replaceChildren();
  const firing = m.rules.reduce((sum, rule) => sum + rule.series.filter((each) => each.firing).length, 0);
  const silent = m.written_ms ? (m.at_ms - m.written_ms) / 1000 : null;
  const age = silent === null ? "" : `, written ${spoken(silent)} ago`;
  const parts = [el("h2", {}, "Rules of the monitor", el("span", { class: silent !== null && silent > STALE_S ? "count soon" : "count" },
    m.state === "there" ? `${firing} of ${m.rules.length} firing${age}` : ""))];
  const note = (text, className) => parts.push(el("p", { class: className || "quiet" }, text));
  if (m.state === "missing") note(`No monitor has written here yet: ${m.problem}. \`headrace monitor run\` with --charts begins it.`);
  else if (m.state === "unreadable") note(`The monitor's charts cannot be read: ${m.problem}`, "soon");
  else if (!m.rules.length) note("The monitor runs without rules.");
  else if (silent !== null && silent > STALE_S) note(`What follows is ${spoken(silent)} old: does the monitor run, and do events come?`, "soon");
  const cards = [];
  for (const rule of m.rules) {
    if (!rule.series.length) cards.push(ruleCard(rule, { group: "", firing: false, points: [], marks: [] }, m.at_ms));
    for (const series of rule.series) cards.push(ruleCard(rule, series, m.at_ms));
    if (rule.groups > rule.series.length) cards.push(el("p", { class: "quiet" }, `${rule.rule}: ${rule.groups - rule.series.length} more groups`));
  }
  parts.push(el("div", { class: "charts" }, ...cards));
  return place.replaceChildren(...parts);
}

let rulesShown = "";
async function loadRules() {
  let m = null;
  try {
    const response = await fetch("monitor.json", { cache: "no-store" });
    if (!response.ok) throw new Error(`its server answers ${response.status}`);
    const text = await response.text();
    m = JSON.parse(text);
    // The pointer over a chart, or a selection, is not taken away while nothing changed.
    const same = text.replace(/"at_ms":\d+/, "") === rulesShown;
    if (!same || !document.querySelector("#rules :hover")) {
      if (getSelection().isCollapsed) drawRules(m);
      rulesShown = text.replace(/"at_ms":\d+/, "");
    }
  } catch (error) {
    if (m) drawRules({ state: "unreadable", problem: `its answer cannot be drawn: ${error.message}`, rules: [] });
  }
  if (!m || m.state !== "off") setTimeout(loadRules, RULES_EVERY_S * 1000);
}

loadRules();
