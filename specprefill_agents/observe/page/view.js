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

const tokensOf = gauge(data);

const counted = (count, what) => `${number.format(count)} ${what}${count === 1 ? "" : "s"}`;

/** The lines from where one unit begins to where another ends. */
function linesOf(first, last) {
  const [from, to] = [data.first[first], data.last[last]];
  return from === to ? `line ${number.format(from)}` : `lines ${number.format(from)}–${number.format(to)}`;
}

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
  const found = { ...fill(data, orders[scorer], budget, tokensOf), budget, ratio, isDecision };
  if (isDecision) return { ...found, kept: data.decided, tokens: data.keptTokens };
  if (ratio < 1 && found.tokens < data.originalTokens) return found;
  return { ...found, kept: new Uint8Array(units.length).fill(1), tokens: data.originalTokens };
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
    units[start].dataset.gap = `${counted(end - start, "unit")}, ${counted(tokens, "token")} omitted (${linesOf(start, end - 1)})`;
    start = end - 1;
  }
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
