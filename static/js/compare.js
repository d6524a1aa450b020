// The compare page: begins all columns at once, and shows the difference when answers are complete.
const setup = document.getElementById("setup");
const difference = document.getElementById("difference");

// Enter in a line of text must not start anything that costs; Ctrl + Enter does.
setup.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return;
  if (event.ctrlKey || event.metaKey) event.target.form?.requestSubmit(document.getElementById("compare-button"));
  else if (event.target.matches("input")) event.preventDefault();
});
setup.addEventListener("input", ({ target }) => {
  const shown = setup.querySelector(`[data-value-of="${target.id}"]`);
  if (shown) shown.textContent = target.value;
});

document.addEventListener("htmx:after:swap", () => {
  const faults = setup.querySelector("[data-new]");
  faults?.removeAttribute("data-new");
  faults?.focus();
});

// Columns may have ended before this script came: the page says how many ran.
function look() {
  const running = document.querySelectorAll("[data-running]").length;
  if (running < difference.dataset.left) htmx.trigger(difference, "refresh");
  difference.dataset.left = running;
}
if (difference) for (const event of ["htmx:after:swap", "DOMContentLoaded"]) document.addEventListener(event, look);
