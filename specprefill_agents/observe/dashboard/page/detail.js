// One decision in a dialog: what was kept of the text, why, and the heat map where the log holds the text.

let opening = 0; // the click that is answered: the answer to an earlier one may come after it

async function openDecision(row) {
  const mine = ++opening;
  const shown = data.live ? await ask(`decision.json?id=${row.id}`).then((answer) => answer?.json?.() ?? null) : data.details[row.id];
  if (mine !== opening) return;
  const dialog = byId("detail");
  byId("detail-title").textContent = `${row.tool}, ${moment(row.at)}`;
  const part = row.original ? ` (${share(row.kept, row.original)})` : "";
  const outcome = OUTCOMES[row.outcome] ?? row.outcome;
  const why = row.why ? `: ${row.why}` : "";
  byId("detail-said").textContent = `Kept ${whole.format(row.kept)} of ${counted(row.original, "token")}${part}; ${outcome}${why}.${row.conversation ? ` Conversation ${row.conversation}.` : ""}`;
  byId("spans").replaceChildren(...(shown ? spansOf(shown) : []));
  byId("why").hidden = !(shown === null || shown === undefined || shown.why_no_map || !data.live);
  byId("why").textContent = !shown ? "The record is gone: its file was removed." : `No heat map. ${shown.why_no_map || "This page has no server that could make it; specprefill dashboard without --html has."}`;
  byId("facts").replaceChildren(...(shown ? factsOf(shown) : []));
  byId("map").replaceChildren(...(shown && data.live && !shown.why_no_map ? heatMap(row) : []));
  if (!dialog.open) dialog.showModal();
}

/** The text as a bar, from its first character to its last, and how much of it was sent. */
function spansOf(shown) {
  if (!shown.chars) return [];
  const spans = shown.whole && !shown.spans.length ? [[0, shown.chars]] : shown.spans;
  const kept = spans.reduce((sum, [start, end]) => sum + end - start, 0);
  const said = `${whole.format(kept)} of ${counted(shown.chars, "character")} were sent, in ${counted(spans.length + shown.more_spans, "span")}.`;
  const extra = `${shown.more_spans ? " The bar shows the first ones." : ""}${shown.repeats ? " The rest repeats an earlier text, and is named there." : ""}${shown.recalls ? " Parts of earlier texts were brought back with it." : ""}`;
  const picture = draw("svg", { viewBox: "0 0 1000 28", height: 28, preserveAspectRatio: "none", role: "img", "aria-label": said });
  for (const [start, end] of spans) {
    picture.append(draw("rect", { class: "keep", x: (1000 * start) / shown.chars, y: 0, width: Math.max(0.6, (1000 * (end - start)) / shown.chars), height: 28 }));
  }
  return [picture, make("p", { class: "hint" }, make("span", { class: "sample kept" }), ` ${said}${extra}`)];
}

function factsOf(shown) {
  const facts = shown.query ? [["question", shown.query], ...shown.facts] : shown.facts;
  return facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
}

function heatMap(row) {
  const address = `heatmap?id=${row.id}`;
  const link = make("a", { href: address, target: "_blank", rel: "noopener" }, "Open the heat map in a tab of its own");
  // Of its own origin: what a text might get to run there could ask this server for nothing.
  return [make("p", {}, link), make("iframe", { src: address, sandbox: "allow-scripts", title: `Heat map: ${row.tool}` })];
}
