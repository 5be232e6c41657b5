// Greedy selection under a budget in target tokens: the rule of specprefill_agents/selection/budget.py. Pure.
//
// text: {costs: [U], needs: [U][], forced: [U], emptyCost, gapCost}, all token counts.

/** Unit indices from the most to the least important: forced ones first, then by falling score, earlier ones first. */
function ranking(scores, forced) {
  const order = Array.from(scores, (_, index) => index);
  return order.sort((a, b) => forced[b] - forced[a] || scores[b] - scores[a] || a - b);
}

/** `index` and all that it drags along, directly or through others, in the order of the text. */
function withNeeds(needs, index) {
  if (!needs[index].length) return [index];
  const found = new Set();
  const waiting = [index];
  while (waiting.length) {
    const at = waiting.pop();
    if (found.has(at)) continue;
    found.add(at);
    waiting.push(...needs[at]);
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
 *  left out; `short[i]` is how many tokens were missing when it was passed over. A unit that does not fit is passed over
 *  for smaller ones that do. */
function select(text, order, budget) {
  const kept = new Uint8Array(order.length);
  const by = new Int32Array(order.length).fill(-1);
  const short = new Int32Array(order.length);
  let left = budget - text.emptyCost;
  let isEmpty = true;
  for (const index of order) {
    if (kept[index]) continue;
    const added = withNeeds(text.needs, index).filter((unit) => !kept[unit]);
    let cost = 0;
    let alone = isEmpty;
    for (const unit of added) {
      cost += addedCost(text, kept, alone, unit);
      kept[unit] = 1;
      alone = false;
    }
    if (cost <= left) {
      for (const unit of added) by[unit] = index;
      left -= cost;
      isEmpty = false;
    } else {
      for (const unit of added) kept[unit] = 0;
      short[index] = cost - left;
    }
  }
  return { kept, by, short, spent: budget - left };
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
  return isEmpty ? text.emptyCost : spent + gaps * text.gapCost;
}
