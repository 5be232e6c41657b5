// What is said about the chosen unit: why it is kept or left out, where it stands, and its scores side by side.

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
  const short = shown.short[index];
  if (shown.isDecision || short < 1) return `Omitted: ${place}, beyond the budget.`;
  return `Omitted: ${place}, ${counted(short, "token")} short when its turn came.`;
}

function describe() {
  const index = state.unit;
  if (index < 0) return;
  const needs = data.needs[index].length ? ` Needs ${data.needs[index].map((need) => `unit ${need + 1}`).join(", ")}.` : "";
  byId("which").textContent = `Unit ${number.format(index + 1)} of ${number.format(units.length)}`;
  byId("verdict").textContent = verdict(index);
  byId("facts").textContent = `${counted(data.costs[index], "token")}, block ${number.format(data.blocks[index] + 1)}, ${linesOf(index, index)}.${needs}`;
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
