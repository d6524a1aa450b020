// The list of the history: the address keeps the filters, and the bar counts what is selected.
const filters = $("filters"), rows = $("rows");
const boxes = () => [...rows.querySelectorAll("[name=id]")];

function count() {
  const whole = $("select-all"), all = boxes(), picked = all.filter((box) => box.checked).length;
  if (!whole) return;
  whole.checked = picked === all.length;
  whole.indeterminate = picked > 0 && picked < all.length;
  rows.querySelector("[data-picked]").textContent = picked;
  const compare = rows.querySelector("[data-compare]");
  if (compare) compare.disabled = picked < 2 || picked > 4;
}
count();

rows.onchange = ({ target }) => {
  if (target.id === "select-all") for (const box of boxes()) box.checked = target.checked;
  count();
};

on("htmx:after:swap", (event) => {
  const target = event.detail?.ctx?.target ?? event.target;
  if (!rows.contains(target)) return;
  count();
  if (!filters || target !== rows) return;
  const given = new URLSearchParams(new FormData(filters));
  for (const [name, value] of [...given]) if (!value.trim()) given.delete(name);
  history.replaceState(null, "", given.size ? `/history?${given}` : "/history");
});

// A step of an input method is no search; its end is.
filters?.addEventListener("input", (event) => { if (event.isComposing) event.stopPropagation(); }, true);
filters?.addEventListener("compositionend", ({ target }) => target.dispatchEvent(new Event("input", { bubbles: true })));

// A reload must not tell again what was done.
if (document.querySelector("[data-notice]")) {
  const address = new URL(location);
  for (const name of ["notice", "count"]) address.searchParams.delete(name);
  history.replaceState(null, "", address);
}
