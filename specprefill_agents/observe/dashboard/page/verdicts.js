// Four answers in a word each, and the panels that say more.

function answer(id, state, big, sub) {
  const card = byId(id);
  card.className = `card ${state}`;
  card.querySelector(".big").textContent = big;
  card.querySelector(".sub").textContent = sub;
}

function answerPays(money) {
  if (!money.calls) return answer("pays", "", "No model calls", "A ledger file has what they cost.");
  const costs = `${amount(money.plain, money.unit)} without, ${amount(money.sent, money.unit)} with, over ${counted(money.calls, "model call")}.`;
  const billed = money.billed === null ? "" : ` Billed: ${dollars(money.billed)}.`;
  const part = money.saved_share ?? 0;
  const size = percentage.format(Math.abs(part));
  if (Math.abs(part) < 0.005) return answer("pays", "", "No difference", costs + billed);
  const noPrices = money.unit === "USD" ? "" : " A price is missing, so input tokens are counted.";
  answer("pays", part > 0 ? "good" : "bad", part > 0 ? `Saves ${size}` : `Costs ${size} more`, costs + billed + noPrices);
}

const OUTCOMES = { compressed: "shortened", passthrough: "whole", protected: "protected" };

function answerDrops(kept) {
  if (!kept.original) return answer("drops", "", "No decisions", "An audit file has them.");
  const outcomes = Object.entries(kept.outcomes).map(([name, count]) => `${whole.format(count)} ${OUTCOMES[name] ?? name}`);
  const gone = percentage.format(1 - kept.kept / kept.original);
  answer("drops", "", `${gone} of tokens`, `${short.format(kept.kept)} of ${short.format(kept.original)} sent. Texts: ${outcomes.join(", ")}.`);
}

function answerHealth(trouble) {
  const bad = [
    [trouble.fallbacks, "fallback"],
    [trouble.drift, "drift alert"],
    [trouble.moved, "broken prefix", "broken prefixes"],
  ].filter(([count]) => count);
  const said = bad.map(([count, one, many]) => (many && count > 1 ? `${whole.format(count)} ${many}` : counted(count, one)));
  const asked = trouble.expand_calls ? `The model asked ${counted(trouble.expand_calls, "time")} for what was left out.` : "";
  if (bad.length) return answer("health", "bad", said.join(", "), `${trouble.reasons[0]?.reason ?? trouble.alerts[0]?.what ?? ""} ${asked}`);
  answer("health", "good", "Nothing", `No fallback, no drift alert, no broken prefix. ${asked}`);
}

function answerTakes(speed) {
  const cache = speed.prompt_hit_share === null ? "" : ` ${percentage.format(speed.prompt_hit_share)} of billed input came from the provider's cache.`;
  const first = speed.streamed ? ` Streamed answers began after ${wait(speed.first_chunk_ms)}: the median of ${counted(speed.streamed, "call")}.` : "";
  if (!speed.calls) return answer("takes", "", cache || first ? "–" : "No calls", `${cache}${first}`.trim() || "An audit file has how long they took.");
  const known = `The scorer knew ${whole.format(speed.scorer_hits)} of ${counted(speed.scorer_texts, "text")}.`;
  answer("takes", "", `${wait(speed.median_ms)} a call`, `Added before the first token: median, 95 % under ${wait(speed.p95_ms)}. ${known}${cache}${first}`);
}

function showTools(kept) {
  const most = Math.max(1, ...kept.tools.map((tool) => tool.original));
  byId("tools").replaceChildren(
    ...kept.tools.map((tool) => {
      const name = data.live ? make("button", { type: "button", "aria-pressed": String(tool.name === filters.tool) }, tool.name) : make("span", {}, tool.name);
      if (data.live) name.addEventListener("click", () => choose({ tool: tool.name === filters.tool ? "" : tool.name }, () => [...byId("tools").querySelectorAll("button")].find((one) => one.textContent === tool.name)));
      const said = make("span", { class: "share" }, `${share(tool.kept, tool.original)} `, make("small", {}, `of ${short.format(tool.original)}`));
      return make("li", {}, name, track(tool.original ? tool.kept / tool.original : 0, tool.original / most), said);
    }),
  );
  if (!kept.tools.length) byId("tools").append(make("li", {}, "None in view."));
  if (kept.more_tools) byId("tools").append(make("li", {}, `and ${counted(kept.more_tools, "tool")} more`));
}

function showTroubles(trouble) {
  const entry = (count, what, more, isBad) =>
    make("li", isBad ? { class: "bad" } : {}, make("strong", {}, whole.format(count)), make("span", {}, what, make("small", {}, more)));
  const entries = [
    ...trouble.reasons.map((one) => entry(one.count, one.reason, `fallback, last at ${moment(one.last)}`, true)),
    ...trouble.alerts.map((one) => entry(1, one.what, `drift alert at ${moment(one.at)}`, true)),
  ];
  if (trouble.more_reasons) entries.push(entry(trouble.more_reasons, "further reasons", "see specprefill audit show --failures", true));
  if (trouble.moved) entries.push(entry(trouble.moved, "requests did not begin with the whole request before", "the provider's cache missed from there; see specprefill ledger show --by step", true));
  if (trouble.flagged) entries.push(entry(trouble.flagged, "steps with incomplete or contradictory usage", "see specprefill ledger show", false));
  if (trouble.expand_calls) entries.push(entry(trouble.expand_calls, "calls to expand", `what was left out was asked for; ${counted(trouble.extra_steps, "extra step")}, counted against compression`, false));
  byId("troubles").replaceChildren(...(entries.length ? entries : [make("li", {}, make("strong", {}, "0"), "Everything went as configured.")]));
}

function showArms(arms) {
  byId("arms").hidden = !arms;
  if (!arms) return;
  byId("arms-table").tBodies[0].replaceChildren(
    ...arms.arms.map((arm) =>
      make("tr", {}, make("th", { scope: "row" }, arm.name || "none"), make("td", {}, whole.format(arm.conversations)), make("td", {}, arm.steps.toFixed(1)), make("td", {}, `${dollars(arm.mean)} ${arms.basis}`)),
    ),
  );
  byId("differences").replaceChildren(...arms.differences.map(drawDifference));
}
