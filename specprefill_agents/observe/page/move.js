// Going from unit to unit: which one is chosen, which one Tab reaches, and what each key does.

/** What the chosen unit tells assistive technology; its place too, which cannot be counted where blocks are not laid out. */
function chosenAttributes(index) {
  return {
    "aria-current": "true",
    "aria-describedby": "verdict facts",
    "aria-posinset": index + 1,
    "aria-setsize": units.length,
  };
}

/** Make a unit the one that is described and that Tab reaches; `focus` moves the focus there too. */
function pick(index, focus) {
  if (index < 0 || index >= units.length) return;
  for (const name of Object.keys(chosenAttributes(0))) units[tabStop].removeAttribute(name);
  state.unit = index;
  moveTabStop(index);
  for (const [name, value] of Object.entries(chosenAttributes(index))) units[index].setAttribute(name, value);
  describe();
  drawMap();
  if (focus) {
    units[index].focus({ preventScroll: true });
    const show = () => units[index].scrollIntoView({ block: "nearest" });
    show();
    requestAnimationFrame(() => requestAnimationFrame(show)); // blocks on the way have their true heights only now
  }
}

function moveTabStop(index) {
  units[tabStop].tabIndex = -1;
  tabStop = index;
  units[index].tabIndex = 0;
}

const isShown = (index) => !state.hide || Boolean(shown.kept[index]);

/** The nearest unit from `start` on, going by `step`, that `accepts` takes; `start - step` where there is none. */
function seek(start, step, accepts) {
  for (let index = start; index >= 0 && index < units.length; index += step) if (accepts(index)) return index;
  return start - step;
}

/** The first unit of the next block, or of this one, or of the one before where this one's first is chosen. */
function blockStart(index, step) {
  const target = step > 0 ? data.blocks[index] + 1 : index > 0 ? data.blocks[index - 1] : 0;
  const found = data.blocks.indexOf(target);
  return found < 0 ? units.length - 1 : found;
}

const KEYS = {
  ArrowRight: (index) => seek(index + 1, 1, isShown),
  ArrowDown: (index) => seek(index + 1, 1, isShown),
  ArrowLeft: (index) => seek(index - 1, -1, isShown),
  ArrowUp: (index) => seek(index - 1, -1, isShown),
  PageDown: (index) => seek(blockStart(index, 1), 1, isShown),
  PageUp: (index) => seek(blockStart(index, -1), -1, isShown),
  Home: () => seek(0, 1, isShown),
  End: () => seek(units.length - 1, -1, isShown),
  n: (index) => seek(index + 1, 1, (other) => shown.kept[other]),
  p: (index) => seek(index - 1, -1, (other) => shown.kept[other]),
};

function onKey(event) {
  const move = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!move || event.ctrlKey || event.altKey || event.metaKey || !unitOf.has(event.target)) return;
  event.preventDefault();
  const index = unitOf.get(event.target);
  const target = move(index);
  pick(target >= 0 && target < units.length && isShown(target) ? target : index, true);
}
