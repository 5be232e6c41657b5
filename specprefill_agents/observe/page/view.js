// The page itself: budget, scorer and chosen unit -> what is shown. Texts go into the page by textContent only.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const units = [...document.querySelectorAll("#text .u")];
const unitOf = new Map(units.map((element, index) => [element, index]));
const orders = data.scores.map((scores) => ranking(scores, data.forced));
const ranks = orders.map((order) => {
  const rank = new Int32Array(order.length);
  order.forEach((index, place) => (rank[index] = place + 1));
  return rank;
});
const best = data.scores.map((scores) => scores.reduce((top, score) => Math.max(top, score), 0));
const number = new Intl.NumberFormat("en");
const percent = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 1 });

// Unit costs are estimates, what counts is the text as sent; the decision tells how far apart the two are.
const decidedEstimate = estimate(data, data.decided);
const isCut = data.decided.some((one) => !one) && data.keptTokens > 0;
const scale = isCut ? decidedEstimate / data.keptTokens : 1;

const state = { percent: decidedPercent(), scorer: 0, unit: -1, hide: false };
let tabStop = 0; // the unit that Tab reaches
let shown = null; // what `choose` said last
let levels = null; // levels now in the class names

function decidedPercent() {
  return Math.max(1, Math.round(100 * data.keepRatio));
}

/** The library's own decision where the slider and the scorer are as configured, otherwise greedy selection. */
function choose(at, scorer) {
  const isDecision = at === decidedPercent() && scorer === 0;
  const ratio = at === decidedPercent() ? data.keepRatio : at / 100;
  const budget = Math.floor(data.originalTokens * ratio);
  const greedy = select(data, orders[scorer], Math.floor(budget * scale));
  if (isDecision) return { ...greedy, kept: data.decided, tokens: data.keptTokens, budget, ratio, isDecision };
  const tokens = Math.round(greedy.spent / scale);
  if (ratio >= 1 || tokens >= data.originalTokens) {
    const everything = new Uint8Array(units.length).fill(1);
    return { ...greedy, kept: everything, tokens: data.originalTokens, budget, ratio, isDecision };
  }
  return { ...greedy, tokens, budget, ratio, isDecision };
}

function update() {
  const next = choose(state.percent, state.scorer);
  const heat = data.levels[state.scorer];
  units.forEach((element, index) => {
    const kept = Boolean(next.kept[index]);
    if (shown && Boolean(shown.kept[index]) === kept && levels[index] === heat[index]) return;
    element.className = `u h${heat[index]} ${kept ? "kept" : "dropped"}${data.forced[index] ? " forced" : ""}`;
    element.setAttribute("aria-selected", kept);
  });
  shown = next;
  levels = heat;
  if (state.hide) {
    markGaps();
    const first = seek(0, 1, isShown);
    if (!isShown(tabStop) && first >= 0) moveTabStop(first);
  }
  summarize();
  describe();
  drawMap();
}

function summarize() {
  const count = shown.kept.reduce((sum, one) => sum + one, 0);
  const sign = shown.isDecision ? "" : "about ";
  const share = data.originalTokens ? percent.format(shown.tokens / data.originalTokens) : "all";
  byId("ratio").textContent = percent.format(shown.ratio);
  byId("summary").textContent =
    `${shown.isDecision ? "Decision" : "Preview"}: kept ${sign}${number.format(shown.tokens)} of ${number.format(data.originalTokens)} tokens (${share}), ` +
    `${number.format(count)} of ${number.format(units.length)} units.`;
  byId("budget").setAttribute("aria-valuetext", `${percent.format(shown.ratio)}, ${number.format(shown.budget)} tokens`);
  byId("reset").disabled = shown.isDecision;
}

/** Each run of omitted units is named at its first unit. */
function markGaps() {
  units.forEach((element) => element.removeAttribute("data-gap"));
  for (let start = 0; start < units.length; start++) {
    if (shown.kept[start]) continue;
    let end = start;
    let tokens = 0;
    while (end < units.length && !shown.kept[end]) tokens += data.costs[end++];
    const what = end - start === 1 ? "1 unit" : `${number.format(end - start)} units`;
    units[start].dataset.gap = `${what}, ${number.format(tokens)} tokens omitted (lines ${data.first[start]}–${data.last[end - 1]})`;
    start = end - 1;
  }
}

/** Why unit `index` is kept or left out, in a sentence. */
function verdict(index) {
  const place = `rank ${number.format(ranks[state.scorer][index])} of ${number.format(units.length)}`;
  const by = shown.by[index];
  if (shown.kept[index]) {
    if (!shown.kept.includes(0)) return "Kept: the whole text passes unchanged.";
    if (data.forced[index]) return "Kept: a force_keep pattern matches.";
    if (by >= 0 && by !== index) return `Kept: unit ${number.format(by + 1)} needs it.`;
    return `Kept: ${place}, within the budget.`;
  }
  const short = Math.ceil(shown.short[index] / scale);
  if (shown.isDecision || short < 1) return `Omitted: ${place}, beyond the budget.`;
  return `Omitted: ${place}, ${number.format(short)} tokens short when its turn came.`;
}

function describe() {
  const index = state.unit;
  if (index < 0) return;
  const lines = data.first[index] === data.last[index] ? `line ${data.first[index]}` : `lines ${data.first[index]}–${data.last[index]}`;
  const needs = data.needs[index].length ? ` Needs ${data.needs[index].map((need) => `unit ${need + 1}`).join(", ")}.` : "";
  byId("which").textContent = `Unit ${number.format(index + 1)} of ${number.format(units.length)}`;
  byId("verdict").textContent = verdict(index);
  byId("facts").textContent = `${number.format(data.costs[index])} tokens, block ${number.format(data.blocks[index] + 1)}, ${lines}.${needs}`;
  byId("scores").tBodies[0].replaceChildren(...data.scorers.map((name, scorer) => scoreRow(name, scorer, index)));
}

function scoreRow(name, scorer, index) {
  const row = document.createElement("tr");
  const score = data.scores[scorer][index];
  const label = document.createElement("div");
  label.textContent = name;
  label.style.setProperty("--share", `${best[scorer] > 0 ? (100 * Math.max(score, 0)) / best[scorer] : 0}%`);
  const head = document.createElement("th");
  head.scope = "row";
  head.append(label);
  row.append(head);
  for (const value of [score === 0 ? "0" : score.toPrecision(3), `#${number.format(ranks[scorer][index])}`]) {
    const cell = document.createElement("td");
    cell.textContent = value;
    row.append(cell);
  }
  row.classList.toggle("chosen", scorer === state.scorer);
  return row;
}

/** What the chosen unit tells assistive technology; its place too, which cannot be counted where blocks are not laid out. */
function chosenAttributes(index) {
  return {
    "aria-current": "true",
    "aria-describedby": "verdict facts",
    "aria-posinset": index + 1,
    "aria-setsize": units.length,
  };
}

/** Make a unit the one that is described and that Tab reaches; `focus` moves the focus there too. */
function pick(index, focus) {
  if (index < 0 || index >= units.length) return;
  for (const name of Object.keys(chosenAttributes(0))) units[tabStop].removeAttribute(name);
  state.unit = index;
  moveTabStop(index);
  for (const [name, value] of Object.entries(chosenAttributes(index))) units[index].setAttribute(name, value);
  describe();
  drawMap();
  if (focus) {
    units[index].focus({ preventScroll: true });
    const show = () => units[index].scrollIntoView({ block: "nearest" });
    show();
    requestAnimationFrame(() => requestAnimationFrame(show)); // blocks on the way have their true heights only now
  }
}

function moveTabStop(index) {
  units[tabStop].tabIndex = -1;
  tabStop = index;
  units[index].tabIndex = 0;
}

const isShown = (index) => !state.hide || Boolean(shown.kept[index]);

/** The nearest unit from `start` on, going by `step`, that `accepts` takes; `start - step` where there is none. */
function seek(start, step, accepts) {
  for (let index = start; index >= 0 && index < units.length; index += step) if (accepts(index)) return index;
  return start - step;
}

/** The first unit of the next block, or of this one, or of the one before where this one's first is chosen. */
function blockStart(index, step) {
  const target = step > 0 ? data.blocks[index] + 1 : index > 0 ? data.blocks[index - 1] : 0;
  const found = data.blocks.indexOf(target);
  return found < 0 ? units.length - 1 : found;
}

const KEYS = {
  ArrowRight: (index) => seek(index + 1, 1, isShown),
  ArrowDown: (index) => seek(index + 1, 1, isShown),
  ArrowLeft: (index) => seek(index - 1, -1, isShown),
  ArrowUp: (index) => seek(index - 1, -1, isShown),
  PageDown: (index) => seek(blockStart(index, 1), 1, isShown),
  PageUp: (index) => seek(blockStart(index, -1), -1, isShown),
  Home: () => seek(0, 1, isShown),
  End: () => seek(units.length - 1, -1, isShown),
  n: (index) => seek(index + 1, 1, (other) => shown.kept[other]),
  p: (index) => seek(index - 1, -1, (other) => shown.kept[other]),
};

function onKey(event) {
  const move = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!move || event.ctrlKey || event.altKey || event.metaKey || !unitOf.has(event.target)) return;
  event.preventDefault();
  const index = unitOf.get(event.target);
  const target = move(index);
  pick(target >= 0 && target < units.length && isShown(target) ? target : index, true);
}

/** The address holds what is shown, so that a view can be linked to: #keep=20&scorer=bm25&unit=7&only=kept. */
function writeAddress() {
  const parts = new URLSearchParams();
  if (state.percent !== decidedPercent()) parts.set("keep", state.percent);
  if (state.scorer) parts.set("scorer", data.scorers[state.scorer]);
  if (state.unit >= 0) parts.set("unit", state.unit + 1);
  if (state.hide) parts.set("only", "kept");
  history.replaceState(null, "", `#${parts}`);
}

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const keep = Number.parseInt(parts.get("keep"), 10);
  if (keep >= 1 && keep <= 100) state.percent = keep;
  state.scorer = Math.max(0, data.scorers.indexOf(parts.get("scorer")));
  state.hide = parts.get("only") === "kept";
  byId("budget").value = state.percent;
  byId("hide").checked = state.hide;
  document.querySelectorAll("[name=scorer]")[state.scorer].checked = true;
  byId("text").classList.toggle("only-kept", state.hide);
  return Number.parseInt(parts.get("unit"), 10) - 1;
}

function listen() {
  let frame = 0;
  const soon = () => (frame ||= requestAnimationFrame(() => ((frame = 0), update())));
  byId("budget").addEventListener("input", (event) => ((state.percent = event.target.valueAsNumber), soon()));
  byId("reset").addEventListener("click", () => {
    state.percent = decidedPercent();
    state.scorer = 0;
    byId("budget").value = state.percent;
    document.querySelector("[name=scorer]").checked = true;
    byId("budget").focus();
    soon();
  });
  document.querySelectorAll("[name=scorer]").forEach((radio) =>
    radio.addEventListener("change", () => ((state.scorer = Number(radio.value)), soon())),
  );
  byId("hide").addEventListener("change", (event) => {
    state.hide = event.target.checked;
    byId("text").classList.toggle("only-kept", state.hide);
    soon();
  });
  byId("text").addEventListener("keydown", onKey);
  byId("text").addEventListener("focusin", (event) => unitOf.has(event.target) && pick(unitOf.get(event.target), false));
  byId("text").addEventListener("click", (event) => {
    const index = unitOf.get(event.target.closest(".u"));
    if (index !== undefined && isShown(index)) pick(index, true);
  });
  document.addEventListener("change", writeAddress);
  document.addEventListener("focusout", writeAddress);
  addEventListener("resize", drawMap);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
  byId("map").addEventListener("click", (event) => {
    const index = mapUnit(event.offsetY);
    pick(state.hide ? seek(index, 1, isShown) : index, true);
  });
}

/** Guess each block's height in rows, so that the scroll bar is right before the block is laid out. */
function reserveRows() {
  const columns = Math.max(20, Math.floor(byId("text").clientWidth / 8));
  const rows = (line) => Math.max(1, Math.ceil(line.length / columns));
  for (const block of document.querySelectorAll(".block")) {
    const lines = block.textContent.replace(/\n$/, "").split("\n");
    block.style.setProperty("--rows", lines.reduce((sum, line) => sum + rows(line), 0));
  }
}

function start() {
  if (byId("text").classList.contains("long")) reserveRows();
  const chosen = readAddress();
  update();
  listen();
  if (chosen >= 0 && chosen < units.length) pick(chosen, true);
  document.documentElement.dataset.ready = "yes";
}
