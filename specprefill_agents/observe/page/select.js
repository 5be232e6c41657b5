// Greedy selection under a budget in target tokens: the rule of specprefill_agents/selection/budget.py. Pure.
//
// text: {costs: [U], needs: [U][], forced: [U], emptyCost, gapCost, noteCost}, costs in target tokens.

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
 *  left out; `short[i]` is how many tokens were missing when it was passed over. A unit comes with all that it needs; forced
 *  units are kept whatever they cost; what else does not fit is passed over for smaller ones that do. At last, units shorter
 *  than the marks that would stand for them are kept. */
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
  for (const index of order) if (!kept[index]) keep(index, text.forced[index] ? Infinity : left);
  const missed = short.slice(); // closing gaps tells nothing about what the budget lacked
  if (!isEmpty) for (let index = 0; index < kept.length; index++) if (!kept[index]) keep(index, 0);
  return { kept, by, short: missed };
}

/** Tokens of the units of the mask `kept`, and the number of runs that it leaves out. */
function tally(text, kept) {
  let tokens = 0;
  let gaps = 0;
  for (let index = 0; index < kept.length; index++) {
    if (kept[index]) tokens += text.costs[index];
    else if (index === 0 || kept[index - 1]) gaps++;
  }
  return { tokens, gaps };
}

/** A function that tells how many tokens the text has, as sent, with a mask of units kept. Costs of units and gaps are
 *  estimates; what the text has whole, and what it has by the decision (text.decided, text.keptTokens), says how far off. */
function gauge(text) {
  const whole = text.costs.reduce((sum, cost) => sum + cost, 0);
  const joined = whole ? text.originalTokens / whole : 1;
  const decided = tally(text, text.decided);
  const inGaps = text.keptTokens - joined * decided.tokens - text.noteCost;
  const perGap = decided.gaps && text.keptTokens ? inGaps / decided.gaps : text.gapCost;
  return (kept) => {
    const { tokens, gaps } = tally(text, kept);
    if (!tokens) return text.emptyCost + text.noteCost;
    return Math.round(joined * tokens + perGap * gaps + (gaps ? text.noteCost : 0));
  };
}

/** The best selection whose text as sent fits the budget, or what the forced units come to where that is more: the target
 *  is raised by what was left over and lowered by what was too much, as the library does with the rendered text. Adds
 *  `tokens`, as sent, to what `select` says. */
function fill(text, order, budget, tokensOf) {
  const attempt = () => {
    const found = select(text, order, target);
    found.tokens = tokensOf(found.kept);
    return found;
  };
  let target = 0;
  const least = text.forced.some(Boolean) ? attempt() : null;
  if (least) budget = Math.max(budget, least.tokens);
  let best = null;
  target = budget;
  for (let round = 0; round < 3; round++) {
    const found = attempt();
    const spare = budget - found.tokens;
    if (spare >= 0) best = found;
    if ((spare >= 0 && spare * 100 <= budget) || (spare < 0 && best)) break;
    target += spare;
  }
  while (!best && target > 0) {
    target = Math.min(target - 1, Math.floor(0.97 * target));
    const found = attempt();
    if (found.tokens <= budget) best = found;
  }
  return best ?? least ?? { ...select(text, order, 0), kept: new Uint8Array(order.length), tokens: 0 };
}
