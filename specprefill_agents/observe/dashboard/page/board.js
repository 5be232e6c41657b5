// The page: what the server says is in view, under the filters; asked again every few seconds while the page is looked at.

let view = data.view;
let tag = "";
let asking = 0; // the last request: answers to those before it are not shown
const filters = { conversation: "", tool: "", seconds: "0" };
const rows = new Map();

function show() {
  answerPays(view.money);
  answerDrops(view.kept);
  answerHealth(view.trouble);
  answerTakes(view.speed);
  drawCurve(view.money);
  showTools(view.kept);
  showTroubles(view.trouble);
  showArms(view.arms);
  showDecisions();
  const notes = [];
  if (view.left_out) notes.push(`${counted(view.left_out, "older record")} left out: only the newest are held.`);
  if (view.unreadable) notes.push(`${counted(view.unreadable, "line")} could not be read.`);
  byId("notice").textContent = notes.join(" ");
  byId("notice").hidden = !notes.length;
  if (data.live) showFilters();
}

function showDecisions() {
  const focused = document.activeElement?.closest?.("#decisions tr")?.dataset.id;
  const before = new Map(rows);
  rows.clear();
  for (const row of view.decisions) rows.set(String(row.id), before.get(String(row.id)) ?? decisionRow(row));
  byId("decisions").tBodies[0].replaceChildren(...rows.values());
  if (focused && rows.has(focused)) rows.get(focused).querySelector("button").focus({ preventScroll: true });
  const total = view.decisions_total;
  byId("listed").textContent = total > view.decisions.length ? `the newest ${whole.format(view.decisions.length)} of ${whole.format(total)}` : whole.format(total);
  byId("none").hidden = total > 0;
  byId("decisions").hidden = !total;
}

function decisionRow(row) {
  const when = make("button", { type: "button", "aria-haspopup": "dialog", "aria-label": `${moment(row.at)}, ${row.tool}: open` }, moment(row.at));
  const tokens = make("div", { class: "cell" }, make("span", {}, `${whole.format(row.kept)} of ${whole.format(row.original)}`), track(row.original ? row.kept / row.original : 0));
  const cells = [when, row.conversation, row.tool, OUTCOMES[row.outcome] ?? row.outcome, tokens, row.why];
  const classes = ["", "roomy", "", "roomy", "", "roomy why"];
  const made = make("tr", { "data-id": row.id }, ...cells.map((cell, index) => make("td", classes[index] ? { class: classes[index] } : {}, cell)));
  made.addEventListener("click", () => openDecision(row));
  return made;
}

function showFilters() {
  const fill = (id, names) => {
    const all = [...new Set([...names, ...(filters[id] ? [filters[id]] : [])])];
    const known = [...byId(id).options].slice(1).map((option) => option.value);
    if (all.length !== known.length || all.some((name, index) => name !== known[index])) {
      byId(id).replaceChildren(make("option", { value: "" }, "all"), ...all.map((name) => make("option", { value: name }, name)));
    }
  };
  fill("conversation", view.choices.conversations);
  fill("tool", view.choices.tools);
  for (const [id, value] of Object.entries(filters)) {
    byId(id).value = value;
    byId(id).classList.toggle("set", Boolean(value) && value !== "0");
  }
  byId("reset").disabled = Object.values(filters).every((value) => !value || value === "0");
}

/** Look at something else; `focus` says what has the focus afterwards, since the panels are made anew. */
async function choose(changes, focus) {
  Object.assign(filters, changes);
  const parts = new URLSearchParams(Object.entries(filters).filter(([, value]) => value && value !== "0"));
  history.replaceState(null, "", `#${parts}`);
  tag = "";
  await refresh();
  focus?.()?.focus();
}

/** An answer of the server; null where it gives none. */
async function ask(address, headers = {}) {
  try {
    return await fetch(address, { headers, cache: "no-store" });
  } catch {
    tell("lost", "the server does not answer: was it ended?");
    return null;
  }
}

async function refresh() {
  const mine = ++asking;
  const answer = await ask(`view.json?${new URLSearchParams(filters)}`, tag ? { "If-None-Match": tag } : {});
  if (!answer || mine !== asking) return;
  if (answer.status === 200) {
    const next = await answer.json();
    if (mine !== asking) return;
    view = next;
    tag = answer.headers.get("ETag") ?? "";
    show();
  } else if (answer.status !== 304) {
    tell("lost", "the files cannot be read");
    return;
  }
  tell("live", "live");
}

function tell(state, words) {
  byId("state").className = `state ${state}`;
  byId("state").textContent = view.last && state !== "lost" ? `${words}, last record at ${moment(view.last)}` : words;
}

async function follow() {
  if (!document.hidden) await refresh();
  setTimeout(follow, data.poll_ms);
}

function start() {
  byId("files").textContent = data.files.join(", ");
  byId("close").addEventListener("click", () => byId("map").replaceChildren());
  byId("detail").addEventListener("click", (event) => event.target === byId("detail") && byId("detail").close());
  byId("detail").addEventListener("close", () => byId("map").replaceChildren());
  addEventListener("resize", () => (drawCurve(view.money), showArms(view.arms)));
  if (data.live) {
    for (const [name, value] of new URLSearchParams(location.hash.slice(1))) if (name in filters) filters[name] = value;
    if (![...byId("seconds").options].some((option) => option.value === filters.seconds)) filters.seconds = "0";
    for (const id of Object.keys(filters)) byId(id).addEventListener("change", () => choose({ [id]: byId(id).value }));
    byId("reset").addEventListener("click", () => choose({ conversation: "", tool: "", seconds: "0" }, () => byId("conversation")));
  }
  show();
  tell(data.live ? "live" : "", data.live ? "live" : `as of ${day.format(new Date(1000 * view.now))}`);
  document.documentElement.dataset.ready = "yes";
  if (data.live) follow();
}
