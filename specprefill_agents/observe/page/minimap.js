// The whole text beside itself: what is kept, and one column of heat per scorer. A picture for the mouse; the list of
// units says the same to everyone else.

const COLUMN = 12;
const SPACE = 3;
const tokenEnds = data.costs.reduce((ends, cost) => (ends.push((ends.at(-1) ?? 0) + cost), ends), []);

/** The unit that stands at height `y` of the picture. */
function mapUnit(y) {
  const wanted = (y / byId("map").clientHeight) * (tokenEnds.at(-1) ?? 0);
  let low = 0;
  let high = units.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (tokenEnds[middle] <= wanted) low = middle + 1;
    else high = middle;
  }
  return high;
}

function drawMap() {
  const canvas = byId("map");
  const height = canvas.parentElement.clientHeight;
  if (!height || !units.length) return;
  const width = (COLUMN + SPACE) * (1 + data.scorers.length) + SPACE;
  const zoom = devicePixelRatio || 1;
  canvas.width = width * zoom;
  canvas.height = height * zoom;
  canvas.style.width = `${width}px`;
  const pen = canvas.getContext("2d");
  pen.scale(zoom, zoom);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const heat = Array.from({ length: 8 }, (_, level) => colour(`h${level}`));
  const kept = colour("ink");
  for (let y = 0; y < height; y++) {
    const from = mapUnit(y);
    const to = Math.max(from, mapUnit(y + 0.99));
    let any = false;
    const top = new Array(data.scorers.length).fill(0);
    for (let index = from; index <= to; index++) {
      any ||= Boolean(shown.kept[index]);
      data.levels.forEach((column, scorer) => (top[scorer] = Math.max(top[scorer], column[index])));
    }
    top.forEach((level, scorer) => {
      pen.fillStyle = heat[level];
      pen.fillRect(scorer * (COLUMN + SPACE), y, COLUMN, 1);
    });
    if (any) {
      pen.fillStyle = kept;
      pen.fillRect(top.length * (COLUMN + SPACE), y, COLUMN / 2, 1);
    }
  }
  if (state.unit >= 0) {
    const y = ((tokenEnds[state.unit] - data.costs[state.unit]) / tokenEnds.at(-1)) * height;
    pen.fillStyle = colour("accent");
    pen.fillRect(0, Math.min(y, height - 3), width, 3);
  }
}
