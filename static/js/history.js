// The address keeps the filters, and the bar counts what is selected.
const rows = $("rows");
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

rows.onchange = ({ target }) => {
  if (target.id === "select-all") for (const box of boxes()) box.checked = target.checked;
  count();
};

// The address: with the filters, and without a notice that a reload must not repeat.
function update() {
  count();
  const here = [...document.querySelectorAll("[data-here]")].at(-1);
  if (here) history.replaceState(null, "", here.dataset.here);
}
update();
on("htmx:after:swap", update);

// A step of an input method is no search.
$("filters")?.addEventListener("input", (event) => { if (event.isComposing) event.stopPropagation(); }, true);
