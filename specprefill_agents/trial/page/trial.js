// Filters the list of values at risk; without this script all of them are shown.

function start() {
  const ratio = document.getElementById("ratio");
  const tool = document.getElementById("tool");
  if (ratio && tool) {
    const rows = [...document.querySelectorAll("#list details")];
    const filter = () => {
      for (const row of rows) {
        const isLost = ratio.value === "" || row.dataset.lost.split(" ").includes(ratio.value);
        row.hidden = !isLost || (tool.value !== "" && row.dataset.tool !== tool.value);
      }
      const shown = rows.filter((row) => !row.hidden).length;
      document.getElementById("shown").textContent = shown === rows.length ? `${shown}` : `${shown} of ${rows.length}`;
    };
    ratio.addEventListener("change", filter);
    tool.addEventListener("change", filter);
    filter(); // a browser that goes back to the page keeps what was chosen
  }
  document.documentElement.dataset.ready = "yes";
}
