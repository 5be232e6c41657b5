// The two pictures: cost over model calls, and the difference between arms with its interval.

const HEIGHT = 300;
const EDGE = { top: 10, right: 16, bottom: 30, left: 66 };

/** Round values from 0 to at least `top`, about four of them. */
function ticks(top) {
  const rough = top / 4 || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= rough);
  return Array.from({ length: Math.ceil(top / step - 1e-9) + 1 }, (_, n) => n * step);
}

function drawCurve(money) {
  const room = byId("curve");
  if (!money.calls) {
    room.replaceChildren(make("p", { class: "hint" }, "No model calls in view. A ledger, given to the command, has them."));
    byId("readout").textContent = "";
    return;
  }
  const points = [[0, 0, 0], ...money.curve];
  const width = Math.max(240, room.clientWidth);
  const top = ticks(Math.max(...points.flatMap(([, plain, sent]) => [plain, sent])) || 1);
  const x = (calls) => EDGE.left + ((width - EDGE.left - EDGE.right) * calls) / money.calls;
  const y = (value) => HEIGHT - EDGE.bottom - ((HEIGHT - EDGE.top - EDGE.bottom) * value) / top.at(-1);
  const line = (column) => points.map((point) => `${x(point[0]).toFixed(1)},${y(point[column]).toFixed(1)}`);
  const [plain, sent] = [line(1), line(2)];
  const said = `${amount(money.plain, money.unit)} without compression, ${amount(money.sent, money.unit)} with it, after ${counted(money.calls, "model call")}`;
  const picture = draw("svg", { width, height: HEIGHT, role: "img", "aria-label": said });
  for (const value of top) {
    picture.append(draw("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }));
    picture.append(draw("text", { x: EDGE.left - 8, y: y(value) + 4, "text-anchor": "end" }, money.unit === "USD" ? dollars(value) : short.format(value)));
  }
  const every = Math.max(1, Math.round(ticks(money.calls)[1]));
  for (let calls = 0; calls <= money.calls; calls += every) {
    picture.append(draw("text", { x: x(calls), y: HEIGHT - EDGE.bottom + 18, "text-anchor": "middle" }, short.format(calls)));
  }
  picture.append(draw("polygon", { class: money.sent <= money.plain ? "saving" : "losing", points: [...plain, ...sent.toReversed()].join(" ") }));
  picture.append(draw("polyline", { class: "plain", points: plain.join(" ") }), draw("polyline", { class: "sent", points: sent.join(" ") }));
  nameLines(picture, points, x, y);
  const cross = draw("line", { class: "cross", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
  picture.append(cross);
  const rest = readout(money, points.at(-1));
  byId("readout").textContent = rest;
  picture.addEventListener("pointermove", (event) => {
    const calls = ((event.offsetX - EDGE.left) / (width - EDGE.left - EDGE.right)) * money.calls;
    const near = points.reduce((best, point) => (Math.abs(point[0] - calls) < Math.abs(best[0] - calls) ? point : best));
    for (const end of ["x1", "x2"]) cross.setAttribute(end, x(near[0]));
    cross.setAttribute("visibility", "visible");
    byId("readout").textContent = readout(money, near);
  });
  picture.addEventListener("pointerleave", () => {
    cross.setAttribute("visibility", "hidden");
    byId("readout").textContent = rest;
  });
  room.replaceChildren(picture);
}

/** A name beside each line, above the upper one and below the lower one, where there is room between them or not. */
function nameLines(picture, points, x, y) {
  const at = points[Math.max(1, Math.round(0.72 * (points.length - 1)))];
  const isSaving = at[2] <= at[1];
  const place = (value, isUpper) => ({ class: "name", x: x(at[0]), y: y(value) + (isUpper ? -8 : 18), "text-anchor": isUpper ? "end" : "start" });
  picture.append(draw("text", place(at[1], isSaving), "without"), draw("text", place(at[2], !isSaving), byId("curve").clientWidth < 480 ? "with" : "with compression"));
}

function readout(money, [calls, plain, sent]) {
  const gap = plain - sent;
  const words = gap >= 0 ? "saved" : "more";
  return `After ${counted(calls, "model call")}: ${amount(plain, money.unit)} without, ${amount(sent, money.unit)} with, ${amount(Math.abs(gap), money.unit)} ${words}.`;
}

/** The difference between two arms on a line with zero: where the interval does not reach zero, the sign is sure. */
function drawDifference(found) {
  const said = make("p", { class: "difference" });
  if (found.usd === null) {
    said.append(`${found.treated || "no arm"} against ${found.control || "no arm"}: a cost is unknown.`);
    return said;
  }
  const relative = found.share === null ? "" : ` (${percentage.format(Math.abs(found.share))})`;
  const is = found.usd < 0 ? "less" : "more";
  said.append(make("strong", {}, `${found.treated || "no arm"} costs ${dollars(Math.abs(found.usd))}${relative} ${is}`), ` a conversation than ${found.control || "no arm"}. `);
  if (!found.interval) {
    said.append("Too few conversations for an interval.");
    return said;
  }
  const [low, high] = found.interval;
  said.append(`95 % interval ${dollars(low)} to ${dollars(high)}: ${low > 0 || high < 0 ? "clear of zero." : "zero is in it, so the sign is not sure yet."}`);
  const far = Math.max(Math.abs(low), Math.abs(high), Math.abs(found.usd)) * 1.15 || 1;
  const width = Math.max(220, Math.min(560, byId("differences").clientWidth));
  const x = (value) => width / 2 + (value / far) * (width / 2 - 6);
  const picture = draw("svg", { width, height: 40, "aria-hidden": "true" });
  picture.append(draw("line", { class: "grid", x1: 0, x2: width, y1: 14, y2: 14 }), draw("line", { class: "zero", x1: x(0), x2: x(0), y1: 4, y2: 24 }));
  picture.append(draw("line", { class: "range", x1: x(low), x2: x(high), y1: 14, y2: 14 }), draw("circle", { class: "point", cx: x(found.usd), cy: 14, r: 5 }));
  picture.append(draw("text", { x: 0, y: 38 }, "← cheaper"), draw("text", { x: x(0), y: 38, "text-anchor": "middle" }, "same"), draw("text", { x: width, y: 38, "text-anchor": "end" }, "dearer →"));
  return make("div", {}, said, picture);
}
