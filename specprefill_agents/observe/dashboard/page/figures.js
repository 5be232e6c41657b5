// Numbers as people read them, and elements made of texts: whatever a name spells, it enters as text.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const percentage = new Intl.NumberFormat("en", { style: "percent", maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });

const counted = (count, what) => `${whole.format(count)} ${what}${count === 1 ? "" : "s"}`;

/** Dollars to three digits, without an exponent; "-" stands before the sign of dollars. */
function dollars(value) {
  if (value === null || value === undefined) return "unknown";
  const size = Math.abs(value);
  const digits = size === 0 || size >= 1 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(size)));
  return `${value < 0 ? "−" : ""}$${size.toLocaleString("en", { minimumFractionDigits: Math.min(2, digits), maximumFractionDigits: digits })}`;
}

const amount = (value, unit) => (unit === "USD" ? dollars(value) : `${short.format(value)} tokens`);
const share = (part, all) => (all ? percentage.format(part / all) : "–");
const wait = (ms) => (ms === null ? "–" : ms < 1000 ? `${ms < 10 ? Number(ms.toPrecision(2)) : whole.format(ms)} ms` : `${Number((ms / 1000).toPrecision(3))} s`);

/** A moment: its time of day, with the date where that is not today's. */
function moment(seconds) {
  const at = new Date(1000 * seconds);
  return (at.toDateString() === new Date(1000 * view.now).toDateString() ? clock : day).format(at);
}

/** An element with attributes and children; a child that is no element becomes text. */
const make = (name, ...within) => filled(document.createElement(name), ...within);
const draw = (name, ...within) => filled(document.createElementNS("http://www.w3.org/2000/svg", name), ...within);

function filled(made, attributes = {}, ...children) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A bar as long as `long` of the room (0 to 1), filled up to `part`. */
function track(part, long = 1) {
  const fill = make("i");
  const bar = make("div", { class: "track", "aria-hidden": "true" }, fill);
  fill.style.setProperty("--share", `${100 * part}%`);
  bar.style.setProperty("--long", `${100 * long}%`);
  return bar;
}
