"use strict";
// The case tables: one metric at a time, sorted by any column, filtered by name. Without this all are shown.
const tables = [...document.querySelectorAll(".cases")];
const metric = document.getElementById("metric");
const filter = document.getElementById("filter");
const count = document.getElementById("count");

function update() {
  const wanted = filter.value.trim().toLowerCase();
  for (const place of tables) {
    place.hidden = place.dataset.table !== metric.value;
    let shown = 0;
    const rows = place.querySelectorAll("tbody tr");
    for (const row of rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    if (!place.hidden) count.textContent = `${shown} of ${rows.length} cases`;
  }
}

// Numbers by value, with what has none at the end either way; names as people sort them.
function sort(heading) {
  const body = heading.closest("table").tBodies[0];
  const column = heading.cellIndex;
  const rising = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentElement.cells) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const value = (row) => (column ? parseFloat(row.cells[column].dataset.value) : row.cells[0].textContent);
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (column === 0) return (rising ? 1 : -1) * x.localeCompare(y, undefined, { numeric: true });
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return rising ? x - y : y - x;
  });
  body.append(...rows);
}

for (const button of document.querySelectorAll(".cases th button")) {
  button.addEventListener("click", () => sort(button.parentElement));
}
metric.addEventListener("change", update);
filter.addEventListener("input", update);
update();

const large = document.getElementById("large");
for (const link of document.querySelectorAll(".enlarge")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const image = link.querySelector("img");
    const copy = large.querySelector("img");
    copy.src = image.src;
    copy.alt = image.alt;
    large.showModal();
  });
}
