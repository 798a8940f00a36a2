"use strict";
// Asks for status.json again and again, and draws it. What the server sends is shown as text only.

const SOON_S = 3600;
const opened = new Set(decodeURIComponent(location.hash.slice(1)).split(",").filter(Boolean));
let newest = null;
let fetchedAt = 0;
const unfolded = new Set();

const section = (id) => document.getElementById(id);
const ago = (ms) => `${spoken((now() - ms) / 1000)} ago`;
// The server's clock, carried on by this one's steps: the two may differ.
const now = () => (newest ? newest.at_ms + (performance.now() - fetchedAt) : Date.now());

function answer(s) {
  const loss = s.seconds_to_loss;
  const losing = s.findings.find((each) => each.rule === "losing-data");
  const lost = s.findings.find((each) => each.rule === "data-lost");
  const left = loss === null ? null : spoken(loss);
  if (lost) return [losing ? `Some is lost, more in ${left}` : "Some was lost", lost];
  if (losing) return [loss <= 0 ? "Yes, any moment" : `Yes, in ${left}`, losing];
  if (s.verdict === "cannot-tell") return ["Cannot tell", null];
  if (s.verdict === "critical") return [left ? `Not yet: ${left} left` : "Not yet, but something is wrong", s.findings[0]];
  return ["No", s.findings[0] || null];
}

function calm(s) {
  if (!s.partitions) return "There is nothing to archive yet: no topic in the archive, none in Kafka.";
  if (!s.records_behind) return `Everything that Kafka has is archived, in ${s.partitions} partitions.`;
  const room = s.seconds_to_loss === null ? "and Kafka will not delete them" : `and Kafka keeps them for ${spoken(s.seconds_to_loss)} more`;
  const age = s.seconds_behind === null ? "" : `, the oldest for ${spoken(s.seconds_behind)}`;
  return `${many(s.records_behind)} records wait${age}, ${room}.`;
}

function drawVerdict(s) {
  const [text, finding] = answer(s);
  const why = finding ? `${finding.where}: ${finding.evidence}.` : s.verdict === "cannot-tell" ? s.headline : calm(s);
  const parts = [el("p", { class: "asked" }, "Is data about to be lost?"), el("p", { class: "answer" }, text), el("p", { class: "why" }, why)];
  if (finding && s.verdict === "critical") parts.push(el("p", { class: "why" }, finding.step));
  const place = section("verdict");
  place.className = s.verdict;
  place.replaceChildren(...parts.filter(Boolean), ...race(s));
  document.title = `${{ ok: "✓", warning: "!", critical: "▲", "cannot-tell": "?" }[s.verdict]} ${text} · headrace`;
}

// The time that is left beside the time that catching up takes, for the topic that is nearest to its loss.
function race(s) {
  if (s.verdict !== "critical" || s.seconds_to_loss === null) return [];
  const topic = s.topics.find((each) => each.seconds_to_loss === s.seconds_to_loss);
  if (!topic) return [];
  const arrival = topic.catch_up === "in" ? topic.catch_up_seconds : null;
  const longest = Math.max(s.seconds_to_loss, arrival || 0, 1);
  const row = (label, share, colour, text) => el("div", { class: "row" }, el("span", {}, label), el("b", {}, text),
    svg("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "rest", width: 100, height: 8 }), svg("rect", { class: colour, width: Math.max(1, share * 100), height: 8 })));
  const never = { never: "never at this speed", unknown: "not known", done: "done", in: "not known" }[topic.catch_up];
  return [el("div", { class: "race" },
    row("Kafka deletes in", s.seconds_to_loss / longest, "critical", spoken(s.seconds_to_loss)),
    row("Caught up in", arrival === null ? 0.01 : arrival / longest, "water", arrival === null ? never : spoken(arrival)))];
}

function drawTiles(s) {
  const tile = (label, value, more, soon) => el("div", { class: "card tile" }, el("div", { class: "label" }, label),
    el("div", { class: `value${soon ? " soon" : ""}` }, value), el("div", { class: "more" }, more));
  const waiting = s.topics.reduce((sum, each) => sum + each.waiting, 0);
  const last = Math.max(0, ...s.topics.map((each) => lastCommit(each)));
  const silent = s.workers.filter((each) => each.age_s > 60).length;
  section("tiles").replaceChildren(
    tile("Time until loss", s.seconds_to_loss === null ? "no limit" : spoken(s.seconds_to_loss),
      s.seconds_to_loss === null ? "nothing that Kafka deletes waits" : "by Kafka's retention",
      s.seconds_to_loss !== null && s.seconds_to_loss < SOON_S),
    tile("Not archived yet", many(s.records_behind), `records, in ${waiting} of ${s.partitions} partitions`),
    tile("Oldest of them", s.seconds_behind ? spoken(s.seconds_behind) : "–", s.seconds_behind ? "has waited to be archived" : "nothing waits"),
    tile("Last commit", last ? ago(last) : "–", `${s.workers.length - silent} workers alive${silent ? `, ${silent} silent` : ""}`));
}

const lastCommit = (topic) => {
  const entry = topic.news && topic.news.entries.find((each) => each.kind === "commit");
  return entry ? Date.parse(entry.at) : 0;
};

// One card for what a rule found in one topic: the worst partition speaks, the others are counted.
function folded(found) {
  const cards = new Map();
  for (const each of found) {
    const key = `${each.rule} ${each.severity} ${each.topic}`;
    if (cards.has(key)) cards.get(key).places.push(each.where);
    else cards.set(key, { ...each, key, places: [each.where] });
  }
  return [...cards.values()];
}

function drawFindings(s) {
  const place = section("findings");
  if (!s.findings.length) return place.replaceChildren();
  const all = folded(s.findings);
  const cards = all.slice(0, unfolded.has("findings") ? all.length : 6).map((each) => {
    const commands = each.commands.map((text) => el("div", { class: "command" }, el("code", {}, text),
      el("button", { onclick: (event) => copy(event.target, text) }, "Copy")));
    const more = each.places.length - 1;
    const card = el("details", { class: `card finding ${each.severity}`, open: unfolded.has(each.key) },
      el("summary", {}, el("span", { class: "told" }, el("span", { class: "rule" }, each.rule),
        el("span", { class: "where" }, each.where), more ? el("span", { class: "quiet" }, `and ${more} more  `) : null, each.evidence)),
      el("p", {}, each.step), ...commands,
      more ? el("p", { class: "quiet mono" }, each.places.slice(0, 40).join(" ") + (more >= 40 ? " …" : "")) : null,
      el("p", { class: "quiet" }, "Runbook: ", el("code", {}, each.runbook)));
    card.addEventListener("toggle", () => (card.open ? unfolded.add(each.key) : unfolded.delete(each.key)));
    return card;
  });
  if (all.length > cards.length) {
    cards.push(el("button", { onclick: () => { unfolded.add("findings"); draw(); } }, `Show ${all.length - cards.length} more`));
  }
  place.replaceChildren(el("h2", {}, "What is wrong", el("span", { class: "count" }, `${s.finding_count} findings`)), ...cards);
}

async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy";
  }
}

// The topics' samples, put together by moment: sums, or the worst.
function together(s, column, worst) {
  const found = new Map();
  for (const topic of s.topics) {
    for (const point of topic.history) {
      const before = found.get(point[0]);
      const value = point[column];
      if (before === undefined || before === null) found.set(point[0], value === null && before !== undefined ? before : value);
      else if (value !== null) found.set(point[0], worst ? Math.max(before, value) : before + value);
    }
  }
  return [...found.entries()].sort((a, b) => a[0] - b[0]);
}

function drawCharts(s) {
  section("charts").replaceChildren(
    chart("Records not archived yet", together(s, 1, false), many, false),
    chart("Age of the oldest of them", together(s, 2, true), spoken, true));
}

const arrival = (when, seconds) => (when === "in" && seconds !== null ? `in ${spoken(seconds)}` : { done: "–", never: "never", unknown: "?", in: "?" }[when]);

function drawTopics(s) {
  const heads = ["Topic", "State", "Behind, last hour", "Records", "Oldest", "Loss in", "Caught up", "Waiting"];
  const body = el("tbody", {});
  for (const t of s.topics) {
    const soon = t.seconds_to_loss !== null && t.seconds_to_loss < SOON_S;
    const open = opened.has(t.name);
    const worst = s.findings.find((each) => each.topic === t.name);
    const cell = (label, text, extra) => el("td", { class: `n ${extra || ""}`, "data-label": label }, text);
    body.append(el("tr", { class: `topic-row${open ? " open" : ""}`, onclick: () => toggle(t.name) },
      el("td", { class: "topic" }, el("button", { "aria-expanded": open ? "true" : "false" }, t.name)),
      el("td", {}, el("span", { class: `chip ${worst ? worst.severity : t.state}` }, worst ? worst.rule : t.state)),
      el("td", { class: "spark" }, sparkline(t.history.map((point) => [point[0], point[1]]), `${t.name}: records behind`)),
      cell("records", t.unknown === t.partitions ? "?" : many(t.records_behind)),
      cell("oldest", t.seconds_behind ? spoken(t.seconds_behind) : t.waiting || t.unknown ? "?" : "–", t.seconds_behind ? "" : "quiet"),
      cell("loss in", t.seconds_to_loss === null ? "–" : spoken(t.seconds_to_loss), soon ? "soon" : t.seconds_to_loss === null ? "quiet" : ""),
      cell("caught up", arrival(t.catch_up, t.catch_up_seconds), t.catch_up === "done" ? "quiet" : ""),
      cell("waiting", t.waiting ? `${t.waiting} of ${t.partitions}` : `0 of ${t.partitions}`, t.waiting ? "" : "quiet")));
    if (open) body.append(el("tr", { class: "inner" }, el("td", { colspan: heads.length }, partitions(s, t))));
  }
  const head = el("tr", {}, ...heads.map((text, number) => el("th", { class: number > 2 ? "n" : "" }, text)));
  section("topics").replaceChildren(el("div", { class: "card" }, el("h2", {}, "Topics", el("span", { class: "count" }, `${s.topics.length}`)),
    s.topics.length ? el("table", { class: "topics" }, el("thead", {}, head), body) : el("p", { class: "quiet" }, "None yet.")));
}

function partitions(s, t) {
  const at = (name) => s.fields.indexOf(name);
  const heads = ["Partition", "State", "Behind", "Oldest", "Loss in", "Caught up", "Start", "Durable", "Taken", "Committed", "End", "Worker", "Note"];
  const shown = unfolded.has(`rows ${t.name}`) ? t.rows : t.rows.slice(0, 50);
  const rows = shown.map((row) => {
    const get = (name) => row[at(name)];
    const silent = get("heartbeat_age_seconds") > 60;
    const n = (text) => el("td", { class: "n" }, text === null ? "–" : text);
    return el("tr", {}, n(String(get("partition"))), el("td", {}, el("span", { class: `chip ${get("state")}` }, get("state"))),
      n(many(get("records_behind"))), n(get("seconds_behind") === null ? "?" : get("seconds_behind") ? spoken(get("seconds_behind")) : "–"),
      n(get("seconds_to_loss") === null ? "–" : spoken(get("seconds_to_loss"))), n(arrival(get("catch_up"), get("catch_up_seconds"))),
      ...["log_start", "durable_next", "taken", "committed", "log_end"].map((name) => n(get(name) === null ? "–" : many(get(name)))),
      el("td", { class: "mono" }, get("worker") === null ? "none" : silent ? `${get("worker")} (silent)` : get("worker")), el("td", {}, get("note")));
  });
  const box = el("div", { class: "wide" }, el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((text, number) =>
    el("th", { class: number > 10 || number === 1 ? "" : "n" }, text)))), el("tbody", {}, ...rows)));
  if (t.rows.length > shown.length) box.append(el("button", { onclick: () => { unfolded.add(`rows ${t.name}`); draw(); } }, `Show all ${t.rows.length}`));
  const archived = t.news ? `Archived: ${many(t.news.rows)} rows; last hour ${many(t.hour_rows)}, ${many(t.hour_quarantined)} undecoded.` : "";
  return el("div", {}, archived ? el("p", { class: "quiet" }, archived) : null, box);
}

function toggle(name) {
  if (opened.has(name)) opened.delete(name);
  else opened.add(name);
  history.replaceState(null, "", `#${[...opened].map(encodeURIComponent).join(",")}`);
  drawTopics(newest);
}

function listing(id, title, count, heads, rows, none) {
  const place = section(id);
  const content = rows.length ? el("div", { class: "wide" }, el("table", {},
    heads.length ? el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { class: text.startsWith("#") ? "n" : "" }, text.replace("#", ""))))) : null,
    el("tbody", {}, ...rows))) : el("p", { class: "quiet" }, none);
  place.className = "card";
  place.replaceChildren(el("h2", {}, title, count === null ? null : el("span", { class: "count" }, String(count))), content);
}

function drawRest(s) {
  const entries = s.topics.flatMap((t) => (t.news ? t.news.entries.map((each) => ({ ...each, topic: t.name })) : []));
  entries.sort((a, b) => (a.at < b.at ? 1 : -1));
  const td = (text, className) => el("td", { class: className || "" }, text);
  listing("commits", "Commits", null, ["When", "Topic", "#Records", "#Size", "By"], entries.slice(0, 8).map((each) => el("tr", {},
    td(ago(Date.parse(each.at))), td(each.topic), td(each.kind === "commit" ? many(each.records) : each.kind === "seal" ? `sealed ${each.dt}` : each.kind, "n"),
    td(each.bytes ? size(each.bytes) : "–", "n"), td(each.writer, "mono quiet"))), "Nothing has been committed yet.");

  const dates = section("dates");
  dates.className = "card";
  const blocks = s.topics.filter((t) => t.news && (t.news.sealed.length || t.news.open_dates.length)).slice(0, 8).flatMap((t) => [
    el("h3", {}, t.name), el("div", { class: "dates" }, ...[
      ...t.news.open_dates.slice(0, 4).map((text) => [text, false]), ...t.news.sealed.slice(0, 6).map((text) => [text, true]),
    ].sort((a, b) => (a[0] < b[0] ? 1 : -1)).map(([text, sealed]) => el("span", { class: `date${sealed ? " sealed" : ""}` }, text)))]);
  dates.replaceChildren(el("h2", {}, "Dates", el("span", { class: "count" }, "✓ sealed: complete")), ...(blocks.length ? blocks : [el("p", { class: "quiet" }, "No dates yet.")]));

  listing("workers", "Archiver workers", s.workers.length, ["Worker", "#Partitions", "Last heard"], s.workers.map((each) => el("tr", {},
    td(each.worker, "mono"), td(String(each.partitions), "n"), td(each.trouble ? each.trouble : each.age_s > 60 ? `silent for ${spoken(each.age_s)}` : `${spoken(each.age_s)} ago`,
      each.trouble || each.age_s > 60 ? "soon" : ""))), "No worker has told Kafka of itself.");

  listing("spools", "Apps' queues", s.spools.length || null, ["Service", "Host", "#Waiting", "#Full in"], s.spools.map((each) => el("tr", {},
    td(each.service), td(each.host, "mono"), td(many(each.waiting) + (each.in_memory ? " in memory" : ""), "n"),
    td(each.until_drop_s === null ? "not growing" : spoken(each.until_drop_s), each.until_drop_s !== null && each.until_drop_s < SOON_S ? "n soon" : "n"))),
    "No app has told of itself in the last hour (audit=True makes it).");

  const gaps = s.topics.flatMap((t) => (t.news ? t.news.gaps.map((each) => ({ ...each, topic: t.name })) : []));
  const gapCount = s.topics.reduce((sum, t) => sum + (t.news ? t.news.gap_count : 0), 0);
  listing("gaps", "Gaps on record", gapCount, ["Partition", "#Offsets", "Reason"], gaps.slice(0, 8).map((each) => el("tr", {},
    td(`${each.topic}/${each.partition}`), td(`${many(each.start)} to ${each.end === null ? "?" : many(each.end)}`, "n"), td(each.reason))),
    "None: nothing is missing from the archive.");

  listing("troubles", "Last errors", s.troubles.length, ["When", "Who", "What"], s.troubles.slice(0, 8).map((each) => el("tr", {},
    td(ago(each.last_ms)), td(each.who, "mono"), td(each.text))), "None since this page's server started.");
}

function drawHead(s) {
  const source = (name, up) => el("span", { class: `source${up ? "" : " down"}` }, up ? name : `${name} does not answer`);
  section("sources").replaceChildren(source("Kafka", s.kafka), source("S3", s.s3));
}

function draw() {
  const s = newest;
  drawHead(s);
  drawVerdict(s);
  drawTiles(s);
  drawFindings(s);
  drawCharts(s);
  drawTopics(s);
  drawRest(s);
  document.body.dataset.drawn = String(s.at_ms);
  performance.mark("drawn");
}

function tick() {
  if (!newest) return;
  const age = (now() - newest.at_ms) / 1000;
  const stale = age > 3 * newest.every_s + newest.took_s + 5;
  document.body.classList.toggle("stale", stale);
  section("asof").textContent = stale ? `this is ${spoken(age)} old: its server does not answer` : `looked ${spoken(age)} ago`;
}

async function load() {
  try {
    const response = await fetch("status.json", { cache: "no-store" });
    if (!response.ok) throw new Error(String(response.status));
    const value = await response.json();
    const selecting = newest && !getSelection().isCollapsed; // drawing anew would lose what somebody is about to copy
    if (!selecting && (!newest || value.at_ms !== newest.at_ms)) {
      newest = value;
      fetchedAt = performance.now();
      draw();
    }
  } catch {
    if (!newest) section("asof").textContent = "its server does not answer";
  }
  tick();
  setTimeout(load, Math.min(15, Math.max(2, newest ? newest.every_s / 2 : 2)) * 1000);
}

setInterval(tick, 1000);
load();
