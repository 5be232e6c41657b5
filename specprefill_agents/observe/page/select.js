// Greedy selection under a budget in target tokens: the rule of specprefill_agents/selection/budget.py. Pure.
//
// text: {costs: [U], needs: [U][], forced: [U], emptyCost, gapCost, noteCost}, all token counts.

/** Unit indices from the most to the least important: forced ones first, then by falling score, earlier ones first. */
function ranking(scores, forced) {
  const order = Array.from(scores, (_, index) => index);
  return order.sort((a, b) => forced[b] - forced[a] || scores[b] - scores[a] || a - b);
}

/** `index` and what it needs, directly or through others, as far as it is not kept; in the order of the text. */
function missing(text, kept, index) {
  if (!text.needs[index].length) return [index];
  const found = new Set();
  const waiting = [index];
  while (waiting.length) {
    const at = waiting.pop();
    if (found.has(at) || kept[at]) continue;
    found.add(at);
    for (const need of text.needs[at]) waiting.push(need);
  }
  return [...found].sort((a, b) => a - b);
}

/** What keeping one more unit adds: its tokens and the gap marks it opens, less the mark that it stood behind. */
function addedCost(text, kept, isEmpty, index) {
  const before = index > 0 && !kept[index - 1];
  const after = index + 1 < kept.length && !kept[index + 1];
  return text.costs[index] + text.gapCost * (before + after) - (isEmpty ? text.emptyCost : text.gapCost);
}

/** Which units to keep. `by[i]` is the unit that brought unit i in (itself, or the one that needs it), -1 where it is
 *  left out; `short[i]` is how many tokens were missing when it was passed over. A unit comes with all that it needs; what
 *  does not fit is passed over for smaller ones that do. At last, units shorter than the marks that would stand for them
 *  are kept. */
function select(text, order, budget) {
  const kept = new Uint8Array(order.length);
  const by = new Int32Array(order.length).fill(-1);
  const short = new Int32Array(order.length);
  let left = budget - text.emptyCost - text.noteCost;
  let isEmpty = true;
  const keep = (index, limit) => {
    const added = missing(text, kept, index);
    let cost = 0;
    let alone = isEmpty;
    for (const unit of added) {
      cost += addedCost(text, kept, alone, unit);
      kept[unit] = 1;
      alone = false;
    }
    if (cost > limit) {
      for (const unit of added) kept[unit] = 0;
      short[index] = cost - limit;
      return;
    }
    for (const unit of added) by[unit] = index;
    left -= cost;
    isEmpty = false;
  };
  for (const index of order) if (!kept[index]) keep(index, left);
  const missed = short.slice(); // closing gaps tells nothing about what the budget lacked
  if (!isEmpty) for (let index = 0; index < kept.length; index++) if (!kept[index]) keep(index, 0);
  return { kept, by, short: missed, spent: budget - left };
}

/** Estimated tokens of the text when the units of the mask `kept` are kept. */
function estimate(text, kept) {
  let spent = 0;
  let gaps = 0;
  for (let index = 0; index < kept.length; index++) {
    if (kept[index]) spent += text.costs[index];
    else if (index === 0 || kept[index - 1]) gaps++;
  }
  const isEmpty = kept.every((one) => !one);
  return (isEmpty ? text.emptyCost : spent + gaps * text.gapCost) + (gaps ? text.noteCost : 0);
}
